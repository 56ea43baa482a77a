//! What this version checks and does not act on: schedules and retention. A configuration in, what to tell people out.

use strongroom_repository::{Error, ErrorKind};

use super::Config;

/// Says which keys are checked only, and what to do meanwhile. None where there are none.
pub fn not_acted_on(config: &Config) -> Option<Error> {
    let jobs = || config.model().jobs.values();
    let keys: Vec<&str> = [
        ("schedule", jobs().any(|job| job.schedule.is_some())),
        ("retention", jobs().any(|job| job.retention.is_some())),
        (
            "on_demand_retention",
            jobs().any(|job| job.on_demand_retention.is_some()),
        ),
    ]
    .into_iter()
    .filter_map(|(key, is_used)| is_used.then_some(key))
    .collect();
    let (last, others) = keys.split_last()?;
    let (keys, are) = if others.is_empty() {
        ((*last).to_owned(), "is")
    } else {
        (format!("{} and {last}", others.join(", ")), "are")
    };
    let message = format!("{keys} {are} checked but not acted on by this version");
    Some(
        Error::new(ErrorKind::Unsupported, message)
            .hint("run `strongroom backup` from cron; no backup is removed by itself"),
    )
}
