//! How often each operation came out how: operations and outcomes in, a table out.

use std::collections::BTreeMap;

use super::operation::{ALL, Outcome};

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Operations that were begun.
    pub(super) operations: u64,
    counts: BTreeMap<(&'static str, Outcome), u64>,
}

impl Tally {
    /// An operation begins.
    pub(super) fn begin(&mut self) {
        self.operations += 1;
    }

    /// It came out so.
    pub(super) fn count(&mut self, operation: &'static str, outcome: Outcome) {
        *self.counts.entry((operation, outcome)).or_default() += 1;
    }

    /// How often any came out so.
    pub(super) fn of(&self, outcome: Outcome) -> u64 {
        let of = self
            .counts
            .iter()
            .filter(|((_, other), _)| *other == outcome);
        of.map(|(_, count)| count).sum()
    }

    /// How often this one came out so.
    pub(super) fn count_of(&self, operation: &'static str, outcome: Outcome) -> u64 {
        self.counts.get(&(operation, outcome)).copied().unwrap_or(0)
    }

    /// A line for each operation.
    pub(super) fn table(&self) -> String {
        let mut table = format!(
            "{:<16}{:>6}{:>8}{:>22}\n",
            "operation", "done", "killed", "done before the kill"
        );
        for operation in &ALL {
            let [done, killed, ended] =
                [Outcome::Done, Outcome::Killed, Outcome::Ended].map(|outcome| {
                    match self.count_of(operation.name, outcome) {
                        0 => String::new(),
                        count => count.to_string(),
                    }
                });
            let line = format!("{:<16}{done:>6}{killed:>8}{ended:>22}", operation.name);
            table.push_str(line.trim_end());
            table.push('\n');
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut tally = Tally::default();
        tally.count("backup", Outcome::Done);
        tally.count("backup, killed", Outcome::Killed);
        let table = tally.table();
        let mut lines = table.lines();
        assert_eq!(
            lines.next(),
            Some("operation         done  killed  done before the kill")
        );
        assert_eq!(lines.next(), Some("backup               1"));
        assert_eq!(lines.next(), Some("backup, killed               1"));
    }
}
