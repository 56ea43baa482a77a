//! What programs print of snapshots: JSON in, what a soak has to know of them out.

use crate::error::{Error, Result};

/// A backup that is in a repository.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listed {
    /// The snapshot's id.
    pub(super) id: String,
    /// What our program calls it: its run, where it was ours that made it.
    pub(super) backup: String,
    /// The number of the state of the data that it holds.
    pub(super) state: u64,
}

/// The snapshots in what `restic snapshots --json` prints, oldest first. Whoever made one marked it with the number of a state.
pub(super) fn snapshots(listing: &str) -> Result<Vec<Listed>> {
    let parts: Vec<&str> = listing.split("\"short_id\"").collect();
    let snapshots = parts.split_last().map_or(parts.as_slice(), |(_, all)| all);
    snapshots
        .iter()
        .map(|part| {
            let after = |mark: &str| part.rsplit_once(mark).map(|(_, rest)| rest);
            let state =
                after("state-").and_then(|rest| up_to(rest, |c| c.is_ascii_digit()).parse().ok());
            let (Some(id), Some(state)) = (id_in(part), state) else {
                return Err(Error::new(format!("a snapshot that nobody made: {part}")));
            };
            let run = after("\"run:").map(|rest| up_to(rest, |c| c != '"'));
            Ok(Listed {
                backup: run.unwrap_or_else(|| id.clone()),
                id,
                state,
            })
        })
        .collect()
}

/// The last id in a document without spaces.
pub(super) fn id_in(document: &str) -> Option<String> {
    let (_, id) = document.rsplit_once("\"id\":\"")?;
    Some(up_to(id, |c| c != '"'))
}

fn up_to(text: &str, is_part: fn(char) -> bool) -> String {
    text.chars().take_while(|c| is_part(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_tells_which_state_each_snapshot_holds() {
        let listing = r#"[{"time":"x","tree":"ab","tags":["job:soak","run:7k3m","note:state-12"],"id":"0a1b","short_id":"0a1b"},
            {"time":"y","tree":"cd","tags":["state-3"],"id":"ffee","short_id":"ffee"}]"#;
        let listed = |id: &str, backup: &str, state| Listed {
            id: id.into(),
            backup: backup.into(),
            state,
        };
        assert_eq!(
            snapshots(listing).unwrap(),
            [listed("0a1b", "7k3m", 12), listed("ffee", "ffee", 3)]
        );
        assert_eq!(snapshots("[]").unwrap(), []);
        assert!(snapshots(&listing.replace("state-3", "other")).is_err());
    }
}
