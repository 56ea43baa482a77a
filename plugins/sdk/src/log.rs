//! Log records, attached to the run. Lower case, no full stop, no secrets.

use crate::bindings::plugin::strongroom::plugin::log;

/// How grave a record is.
pub use log::Level;

/// A record with details.
pub fn emit(level: Level, message: impl AsRef<str>, fields: &[(&str, &str)]) {
    let fields: Vec<_> = fields
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    log::emit(level, message.as_ref(), &fields);
}

/// For finding a fault.
pub fn debug(message: impl AsRef<str>) {
    emit(Level::Debug, message, &[]);
}

/// Normal.
pub fn info(message: impl AsRef<str>) {
    emit(Level::Info, message, &[]);
}

/// Someone should look.
pub fn warn(message: impl AsRef<str>) {
    emit(Level::Warn, message, &[]);
}

/// Something was not done.
pub fn error(message: impl AsRef<str>) {
    emit(Level::Error, message, &[]);
}
