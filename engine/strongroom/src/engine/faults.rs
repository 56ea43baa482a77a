//! What can be wrong with what the configuration names, and whose fault it is.

use strongroom_repository::{Error, ErrorKind};

use crate::config::document::Place;
use crate::config::nearest::did_you_mean_or_list;

/// Why a source or a destination cannot be prepared.
#[derive(Debug)]
pub enum Fault {
    /// What the file says is wrong by itself: whoever wrote it has to look.
    Configuration(Error),
    /// What the file names is not there, or does not work at present: a secret, the plugin. The others have nothing to do with it.
    World(Error),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Configuration(error) | Fault::World(error) => error,
        }
    }
}

/// An unknown name, with the nearest known one.
pub fn unknown_name<S: AsRef<str>>(what: &str, name: &str, known: &[S]) -> Error {
    Error::new(
        ErrorKind::InvalidConfig,
        format!("there is no {what} '{}'", name.escape_debug()),
    )
    .hint(did_you_mean_or_list(
        name,
        &format!("configured {what}s"),
        known,
    ))
}

/// A command that has nothing to work on.
pub fn nothing_configured(section: &str) -> Error {
    Error::new(
        ErrorKind::InvalidConfig,
        format!("no {section} are configured"),
    )
    .hint(format!("add a table [{section}.NAME] to the configuration"))
}

pub(super) fn as_config_error(error: &Error, place: Place) -> Error {
    let same = Error::new(ErrorKind::InvalidConfig, error.to_string()).on(place);
    match error.hint_text() {
        Some(hint) => same.hint(hint),
        None => same,
    }
}

pub(super) fn bad_schema(plugin: &str, error: &serde_json::Error) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("its configuration schema is no JSON: {error}"),
    )
    .on(format!("plugin {plugin}"))
}
