//! What this version checks and does not act on: schedules. A configuration in, what to tell people out.

use strongroom_repository::{Error, ErrorKind};

use super::Config;

/// Says which key is checked only, and what to do meanwhile. None where it is not there.
pub fn not_acted_on(config: &Config) -> Option<Error> {
    let jobs = || config.model().jobs.values();
    let backs_up = jobs().any(|job| job.schedule.is_some());
    let mut tables = jobs().filter_map(|job| job.verify.as_ref());
    let verifies = tables.any(|table| table.schedule.is_some());
    let hint = match (backs_up, verifies) {
        (false, false) => return None,
        (true, false) => {
            "run `strongroom backup --scheduled` and `strongroom forget --prune` from cron"
        }
        (true, true) => {
            "run `strongroom backup --scheduled`, `strongroom forget --prune` and `strongroom verify` from cron"
        }
        (false, true) => "run `strongroom verify` from cron",
    };
    let message = "schedule is checked but not acted on by this version";
    Some(Error::new(ErrorKind::Unsupported, message).hint(hint))
}
