//! Ctrl-C and SIGTERM: the first cancels the run, the second ends the program at once.

use std::sync::Arc;
use std::thread::Builder;

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use strongroom_repository::{Error, Progress, Result};

use crate::exit::Exit;
use crate::render::screen::Screen;

/// Starts to listen.
pub fn cancel_on_signals(progress: &Arc<Progress>, screen: &Arc<Screen>) -> Result<()> {
    // A file that is larger than `ulimit -f` allows is then an error of that file.
    signal_hook::flag::register(SIGXFSZ, Arc::default())
        .map_err(|error| Error::io("cannot listen for signals", error))?;
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Error::io("cannot listen for signals", error))?;
    let progress = Arc::clone(progress);
    let screen = Arc::clone(screen);
    let listen = move || {
        for _ in signals.forever() {
            if progress.is_cancelled() {
                std::process::exit(Exit::Cancelled.code().into());
            }
            progress.cancel();
            screen.note("cancelling… (once more ends it at once)");
        }
    };
    Builder::new()
        .name("signals".into())
        .spawn(listen)
        .map(drop)
        .map_err(Error::no_thread)
}
