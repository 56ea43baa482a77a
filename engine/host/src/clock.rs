//! The time of day as a plugin sees it.

use std::time::{Duration, SystemTime};

use wasmtime_wasi::HostWallClock;

/// The host's clock. Before 1970, as on a machine whose battery is empty, it stands at the beginning of 1970, because WASI knows no time before;
/// the clock of wasmtime would end the plugin.
pub(crate) struct Clock;

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap_or_default()
    }
}
