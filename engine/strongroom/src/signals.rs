//! Ctrl-C and SIGTERM: the first cancels the run, the second ends the program at once.

use std::sync::Arc;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use strongroom_repository::{Error, Progress, Result};

use crate::exit::Exit;
use crate::render::screen::Screen;

/// Starts to listen.
pub fn cancel_on_signals(progress: &Arc<Progress>, screen: &Arc<Screen>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Error::io("cannot listen for signals", error))?;
    let progress = Arc::clone(progress);
    let screen = Arc::clone(screen);
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if progress.is_cancelled() {
                std::process::exit(Exit::Cancelled.code().into());
            }
            progress.cancel();
            screen.note("cancelling… (once more ends it at once)");
        }
    });
    Ok(())
}
