//! What the target does not take: it is named, with the next thing to try, and everything else is restored. A file system that is full ends the
//! restore instead, as does a system that has no more files to open.

use rustix::io::Errno;

use crate::backup::Problem;
use crate::tree::NodeType;
use crate::{Error, ErrorKind, Result};

/// So many are named, the others counted.
const NAMED: usize = 10_000;

/// So many files in a row that found no room are a file system that is full.
pub(super) const FULL: usize = 100;

/// What was refused so far.
#[derive(Default)]
pub(super) struct Refused {
    problems: Vec<Problem>,
    more: u64,
    without_room: usize,
}

impl Refused {
    /// Names `path`, unless it shows that nothing more can be written.
    pub(super) fn add(&mut self, path: &[u8], node_type: NodeType, error: &Error) -> Result<()> {
        let mut message = error.message().to_owned();
        if let Some(advice) = advice(error, node_type) {
            message = format!("{message} ({advice})");
        }
        self.name(path, message);
        self.without_room = match is_no_room(error) {
            true => self.without_room + 1,
            false => 0,
        };
        match self.without_room {
            ..FULL => Ok(()),
            count => Err(full(count)),
        }
    }

    /// Names `path` for what was found out before.
    pub(super) fn name(&mut self, path: &[u8], message: String) {
        if self.problems.len() >= NAMED {
            self.more += 1;
            return;
        }
        let path = String::from_utf8_lossy(path).into_owned();
        self.problems.push(Problem { path, message });
    }

    /// All of them. `target` stands for those that are not named.
    pub(super) fn into_problems(mut self, target: &str) -> Vec<Problem> {
        if self.more > 0 {
            self.problems.push(Problem {
                path: target.to_owned(),
                message: format!("{} more could not be written", self.more),
            });
        }
        self.problems
    }
}

/// The error that stands for `files` files without room.
pub(super) fn full(files: usize) -> Error {
    Error::new(
        ErrorKind::OutOfSpace,
        format!(
            "the target is full: there is no room for {files} files, nor for what comes after them"
        ),
    )
    .hint("make room, then restore again with --keep-existing: every file that is there is whole")
}

/// Whether the file system, or what its user may have of it, is full.
pub(super) fn is_no_room(error: &Error) -> bool {
    is_one_of(error, &[Errno::NOSPC, Errno::DQUOT])
}

/// Whether this would be the same for every file that comes.
pub(super) fn is_fatal(error: &Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    error.kind() == ErrorKind::Cancelled || is_one_of(error, &exhausted)
}

/// What the system said.
pub(super) fn os_error(error: &Error) -> Option<i32> {
    let mut source = std::error::Error::source(error);
    while let Some(it) = source {
        if let Some(io) = it.downcast_ref::<std::io::Error>() {
            return io.raw_os_error();
        }
        source = it.source();
    }
    None
}

fn is_one_of(error: &Error, numbers: &[Errno]) -> bool {
    let number = os_error(error);
    number.is_some_and(|number| numbers.iter().any(|it| it.raw_os_error() == number))
}

/// The next thing to try.
fn advice(error: &Error, node_type: NodeType) -> Option<&'static str> {
    let is = |numbers: &[Errno]| is_one_of(error, numbers);
    let is_plain = matches!(node_type, NodeType::File | NodeType::Dir);
    if is(&[Errno::PERM]) && is_plain {
        Some("it or its folder may be immutable: lsattr shows that, chattr -i ends it")
    } else if is(&[Errno::PERM, Errno::NOTSUP, Errno::NOSYS]) {
        Some(
            "its folder may be immutable, which chattr -i ends, or only another file system can hold it",
        )
    } else if is(&[Errno::ACCESS]) {
        Some("restore as a user who may write there, or as root")
    } else if is(&[Errno::ROFS]) {
        Some("mount it for writing, or choose another target")
    } else if is(&[Errno::BUSY]) {
        Some("something is mounted there or uses it: end that, and restore it again")
    } else if is(&[Errno::NAMETOOLONG, Errno::INVAL, Errno::ILSEQ]) {
        Some("restore it to another file system, or download it as .tar")
    } else if is(&[Errno::FBIG]) {
        Some("choose a file system for larger files, or raise `ulimit -f`")
    } else if is(&[Errno::NOSPC, Errno::DQUOT]) {
        Some("make room, and restore again with --keep-existing")
    } else if is(&[Errno::NOTEMPTY, Errno::ISDIR]) {
        Some("a folder with files of its own is in the way: move it away")
    } else if error.kind() == ErrorKind::AlreadyExists {
        Some("move it away, or say --overwrite")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(number: Errno) -> Error {
        Error::io("cannot be written", number.into())
    }

    #[test]
    fn files_in_a_row_without_room_end_it_and_others_never_do() {
        let mut refused = Refused::default();
        for number in 0..5 * FULL {
            let error = match number % FULL {
                0 => system(Errno::PERM),
                _ => system(Errno::NOSPC),
            };
            refused.add(b"a", NodeType::File, &error).expect("goes on");
        }
        let mut refused = Refused::default();
        let ends = (1..).find(|_| {
            refused
                .add(b"a", NodeType::File, &system(Errno::DQUOT))
                .is_err()
        });
        assert_eq!(ends, Some(FULL));
    }

    #[test]
    fn what_is_named_is_bounded() {
        let mut refused = Refused::default();
        for _ in 0..NAMED + 5 {
            let added = refused.add(b"a", NodeType::File, &system(Errno::ACCESS));
            added.expect("goes on");
        }
        let problems = refused.into_problems("/target");
        assert_eq!(problems.len(), NAMED + 1);
        let last = problems.last().expect("one");
        assert_eq!(
            (last.path.as_str(), last.message.as_str()),
            ("/target", "5 more could not be written")
        );
    }
}
