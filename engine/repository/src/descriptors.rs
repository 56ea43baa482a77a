//! Open files: how many of those that the process may have go to what takes as many as it gets.

use rustix::process::{Resource, getrlimit};

/// What the rest of the process needs: standard streams, instances of plugins, objects on their way.
const OTHERS: u64 = 48;

/// At most `wanted`, at least one, and no more than one in `part` of what the rest of the process leaves.
pub(crate) fn share(wanted: usize, part: u64) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    share_of(limit, wanted, part)
}

fn share_of(limit: u64, wanted: usize, part: u64) -> usize {
    let left = limit.saturating_sub(OTHERS) / part;
    usize::try_from(left).unwrap_or(usize::MAX).clamp(1, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_files_are_shared_and_many_are_not_all_taken() {
        for (limit, expected) in [(0, 1), (64, 4), (1024, 244), (u64::MAX, 256)] {
            assert_eq!(share_of(limit, 256, 4), expected, "{limit}");
        }
    }
}
