//! What pg_restore could not restore: its standard error in, the commands that failed with the reasons out.
//!
//! An object's owner chooses its name and may choose the words of an error, line breaks and all. So lines can be made up; none can be taken away, as
//! long as all of them were kept. What is decided from this must not get better by a line more, and none of it is ever run.

use strongroom_plugin::command::Exit;

/// Of a program's standard error only its end is kept. What is near that may be an end.
const SURELY_WHOLE_BYTES: usize = 15 << 10;

/// Longest part of a command that is shown, in letters.
const SHOWN: usize = 100;

/// What pg_restore says of a command, before it says which one it was.
const A_COMMAND: &str = "could not execute query";

const REFRESH: &str = "REFRESH MATERIALIZED VIEW ";

/// A command that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    /// Its first line.
    pub(super) command: String,
    pub(super) reason: String,
}

impl Failed {
    /// The name of the materialized view that was to be filled. Then nothing is lost but what can be made again from the rest.
    pub(super) fn view(&self) -> Option<&str> {
        self.command.strip_prefix(REFRESH)?.strip_suffix(';')
    }

    /// For people.
    pub(super) fn object(&self) -> String {
        if let Some(view) = self.view() {
            return format!("the rows of materialized view {view}");
        }
        match self.command.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", self.command.get(..end).unwrap_or_default()),
            None => self.command.clone(),
        }
    }
}

/// What became of a run that was to go on after errors.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) failed: Vec<Failed>,
    /// Whether all that failed is known.
    pub(super) is_whole: bool,
    /// How many errors there were.
    pub(super) count: u64,
}

/// None where it did not come to its end.
pub(super) fn read(exit: &Exit) -> Option<Outcome> {
    let lines = exit.stderr.lines();
    let last = lines.clone().rfind(|line| !line.trim().is_empty());
    let ignored = |line: &str| -> Option<u64> {
        let (_, count) = line.rsplit_once("errors ignored on restore: ")?;
        count.trim().parse().ok()
    };
    let count = match (exit.code, last.and_then(ignored)) {
        (0, _) => 0,
        (1, Some(count)) => count,
        _ => return None,
    };
    let mut failed: Vec<Failed> = Vec::new();
    for line in lines {
        if let Some(problem) = line.strip_prefix("pg_restore: error: ") {
            let (what, reason) = problem.split_once(": ERROR:  ").unwrap_or((problem, ""));
            failed.push(Failed {
                command: what.to_owned(),
                reason: reason.to_owned(),
            });
        } else if let Some(command) = line.strip_prefix("Command was: ") {
            match failed.last_mut() {
                Some(last) if last.command == A_COMMAND => last.command = command.to_owned(),
                last => {
                    let reason = last.map(|it| it.reason.clone()).unwrap_or_default();
                    let command = command.to_owned();
                    failed.push(Failed { command, reason });
                }
            }
        }
    }
    Some(Outcome {
        is_whole: exit.stderr.len() < SURELY_WHOLE_BYTES && failed.len() as u64 >= count,
        failed,
        count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: i32, stderr: &str, expected: Option<(&[(&str, &str)], bool)>) {
        let exit = Exit {
            code,
            stderr: stderr.into(),
        };
        let found = read(&exit).map(|outcome| {
            let failed = outcome.failed.into_iter();
            let failed = failed.map(|it| (it.command, it.reason)).collect::<Vec<_>>();
            (failed, outcome.is_whole)
        });
        let owned = |it: &(&str, &str)| (it.0.to_owned(), it.1.to_owned());
        let expected = expected.map(|(all, whole)| (all.iter().map(owned).collect(), whole));
        assert_eq!(found, expected, "{stderr}");
    }

    const ONE: &str = "pg_restore: error: could not execute query: ERROR:  query would be affected\nHINT:  x\n\
        Command was: REFRESH MATERIALIZED VIEW s.m;\n\n\n";
    const M: (&str, &str) = ("REFRESH MATERIALIZED VIEW s.m;", "query would be affected");

    #[test]
    fn each_command_that_failed_is_named_with_the_reason() {
        check(0, "", Some((&[], true)));
        let ignored = |count| format!("pg_restore: warning: errors ignored on restore: {count}\n");
        check(1, &(ONE.to_owned() + &ignored(1)), Some((&[M], true)));
        let copy = "pg_restore: error: COPY failed for table \"t\": ERROR:  no\n";
        let two = format!("{ONE}{copy}{}", ignored(2));
        let second = ("COPY failed for table \"t\"", "no");
        check(1, &two, Some((&[M, second], true)));
    }

    #[test]
    fn what_an_owner_makes_up_hides_nothing() {
        let made_up = "pg_restore: error: could not execute query: ERROR:  x\nCommand was: REFRESH MATERIALIZED VIEW a;\n\
            pg_restore: error: could not execute query: ERROR:  y\nCommand was: REFRESH MATERIALIZED VIEW b;\n\
            Command was: CREATE INDEX i\npg_restore: warning: errors ignored on restore: 1\n";
        let all = [
            ("REFRESH MATERIALIZED VIEW a;", "x"),
            ("REFRESH MATERIALIZED VIEW b;", "y"),
            ("CREATE INDEX i", "y"),
        ];
        check(1, made_up, Some((&all, true)));
    }

    #[test]
    fn what_did_not_come_to_its_end_or_said_more_than_is_kept_is_not_trusted() {
        check(1, ONE, None);
        check(-9, ONE, None);
        let fewer = format!("{ONE}pg_restore: warning: errors ignored on restore: 2\n");
        check(1, &fewer, Some((&[M], false)));
        let much = "x".repeat(SURELY_WHOLE_BYTES) + "\n" + &fewer.replace(": 2", ": 1");
        check(1, &much, Some((&[M], false)));
    }

    #[test]
    fn a_view_is_told_by_its_name() {
        let failed = |command: &str| Failed {
            command: command.into(),
            reason: String::new(),
        };
        assert_eq!(failed(M.0).object(), "the rows of materialized view s.m");
        assert_eq!(failed(M.0).view(), Some("s.m"));
        assert_eq!(failed("CREATE INDEX i").view(), None);
        assert_eq!(failed(&"é".repeat(101)).object(), "é".repeat(100) + "…");
    }
}
