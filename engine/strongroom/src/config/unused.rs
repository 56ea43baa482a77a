//! What this version checks and does not act on: schedules. A configuration in, what to tell people out.

use strongroom_repository::{Error, ErrorKind};

use super::Config;

/// Says which key is checked only, and what to do meanwhile. None where it is not there.
pub fn not_acted_on(config: &Config) -> Option<Error> {
    let is_used = config
        .model()
        .jobs
        .values()
        .any(|job| job.schedule.is_some());
    is_used.then(|| {
        let message = "schedule is checked but not acted on by this version";
        Error::new(ErrorKind::Unsupported, message)
            .hint("run `strongroom backup --scheduled` and `strongroom forget --prune` from cron")
    })
}
