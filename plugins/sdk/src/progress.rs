//! What a person watching the run sees. The engine counts bytes by itself.

use crate::bindings::plugin::strongroom::plugin::progress;
use crate::{Error, ErrorKind, Result};

/// A short phrase for what is in hand: a table, a file, a phase.
pub fn step(label: impl AsRef<str>) {
    progress::step(label.as_ref());
}

/// The size of the whole work, as far as it is known.
pub fn expect(bytes: Option<u64>, items: Option<u64>) {
    progress::expect(bytes, items);
}

/// Fails with [`ErrorKind::Cancelled`] once the run is being cancelled. Ask in every long loop.
pub fn check_cancelled() -> Result<()> {
    if progress::cancelled() {
        Err(Error::new(ErrorKind::Cancelled, "cancelled"))
    } else {
        Ok(())
    }
}
