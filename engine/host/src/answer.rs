//! What a destination is asked for, as the guest sees it: `strongroom:plugin/object.answer`. Bytes in, in buffers that are used again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use strongroom_repository::{Error, ErrorKind};
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;

use crate::bindings::imports::{object, types};
use crate::convert;
use crate::sandbox::Sandbox;

/// A buffer grows by so much at once: what was asked for may never come, and memory for it would stay empty.
const STEP: usize = 8 << 20;
/// So many buffers wait to be used again.
const MOST_SPARES: usize = 4;
/// The size of those buffers. Smaller ones are quickly made, larger ones are rare.
const SPARE: std::ops::RangeInclusive<usize> = 256 << 10..=2 * STEP;

/// The bytes that were answered so far.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Answer {
    buffer: Buffer,
    /// Bytes that are wanted at most.
    most: u64,
    /// Whether `most` is only a limit.
    is_open_ended: bool,
    /// Bytes that were given, those not wanted included.
    given: u64,
}

impl Answer {
    /// Takes `length` bytes, or as many as come but not more than `most`.
    pub(crate) fn new(spares: &Arc<Spares>, length: Option<u64>, most: u64) -> Self {
        let wanted = length.map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
        Self {
            buffer: Buffer {
                bytes: spares.take(wanted),
                filled: 0,
                home: Arc::clone(spares),
            },
            most: length.unwrap_or(most),
            is_open_ended: length.is_none(),
            given: 0,
        }
    }

    /// How many bytes the plugin gave, which may be more than were kept.
    pub(crate) fn given(&self) -> u64 {
        self.given
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.buffer)
    }

    fn write(&mut self, bytes: &[u8]) {
        let wanted = self.wanted(bytes.len() as u64);
        let kept = bytes.get(..wanted).unwrap_or(bytes);
        self.buffer.room(kept.len()).copy_from_slice(kept);
        self.buffer.filled += kept.len();
        self.given = self.given.saturating_add(bytes.len() as u64);
    }

    /// Appends up to `length` bytes of `file` from `offset`, fewer where it ends or no more is wanted. Where nobody said how many that is, it is
    /// looked whether the file goes on, and counted: an answer that was cut short must not look complete.
    fn copy(&mut self, file: &File, offset: u64, length: u64) -> io::Result<u64> {
        let wanted = self.wanted(length);
        let mut copied = 0;
        while copied < wanted {
            let room = self.buffer.room((wanted - copied).min(STEP));
            let read = read_at(file, room, offset.saturating_add(copied as u64))?;
            if read == 0 {
                return Ok(copied as u64);
            }
            self.buffer.filled += read;
            // With each read: a plugin may go on after an error, and what was kept is kept.
            self.given = self.given.saturating_add(read as u64);
            copied += read;
        }
        if self.is_open_ended && length > copied as u64 {
            let beyond = read_at(file, &mut [0], offset.saturating_add(copied as u64))?;
            self.given = self.given.saturating_add(beyond as u64);
        }
        Ok(copied as u64)
    }

    /// How many of `length` more bytes are wanted.
    fn wanted(&self, length: u64) -> usize {
        let left = self.most.saturating_sub(self.given);
        usize::try_from(left.min(length)).unwrap_or(usize::MAX)
    }
}

fn read_at(file: &File, room: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(room, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Memory that returns to its spares when nobody needs the bytes any more.
struct Buffer {
    /// As long as it ever was, so that no byte is cleared twice.
    bytes: Vec<u8>,
    filled: usize,
    home: Arc<Spares>,
}

impl Buffer {
    /// The next `length` bytes.
    fn room(&mut self, length: usize) -> &mut [u8] {
        let end = self.filled + length;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes.get_mut(self.filled..end).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.bytes));
    }
}

/// Buffers to be used again: on a virtual machine, memory that is new costs more than to read into it.
#[derive(Default)]
pub(crate) struct Spares(Mutex<Vec<Vec<u8>>>);

impl Spares {
    /// A buffer for about `length` bytes.
    fn take(&self, length: usize) -> Vec<u8> {
        let spare = match length < *SPARE.start() {
            true => None,
            false => self.0.lock().unwrap_or_else(PoisonError::into_inner).pop(),
        };
        spare.unwrap_or_else(|| Vec::with_capacity(length.min(STEP)))
    }

    fn give_back(&self, bytes: Vec<u8>) {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < MOST_SPARES && SPARE.contains(&bytes.capacity()) {
            spares.push(bytes);
        }
    }
}

impl object::HostAnswer for Sandbox {
    fn write(&mut self, answer: Resource<Answer>, bytes: Vec<u8>) -> wasmtime::Result<()> {
        self.table.get_mut(&answer)?.write(&bytes);
        Ok(())
    }

    fn copy(
        &mut self,
        answer: Resource<Answer>,
        from: Resource<Descriptor>,
        offset: u64,
        length: u64,
    ) -> wasmtime::Result<Result<u64, types::Error>> {
        let Descriptor::File(from) = self.table.get(&from)? else {
            let error = Error::new(ErrorKind::Failed, "a directory cannot be read");
            return Ok(Err(convert::error_to_guest(&error)));
        };
        let file = Arc::clone(&from.file);
        let copied = self.table.get_mut(&answer)?.copy(&file, offset, length);
        Ok(copied.map_err(|error| convert::error_to_guest(&Error::io("cannot be read", error))))
    }

    fn drop(&mut self, answer: Resource<Answer>) -> wasmtime::Result<()> {
        self.table.delete(answer)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn more_than_is_wanted_is_counted_and_not_kept() {
        let spares = Arc::default();
        let mut answer = Answer::new(&spares, Some(5), 100);
        answer.write(b"abc");
        answer.write(b"defg");
        answer.write(b"h");
        assert_eq!((answer.given(), &*answer.into_bytes()), (8, &b"abcde"[..]));

        let mut answer = Answer::new(&spares, None, 4);
        answer.write(b"abcdef");
        assert_eq!((answer.given(), &*answer.into_bytes()), (6, &b"abcd"[..]));
    }

    #[test]
    fn a_file_is_copied_up_to_its_end_or_to_what_is_wanted() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"0123456789").expect("written");
        let check = |length, offset, asked, expected: &[u8]| {
            let mut answer = Answer::new(&Arc::default(), length, 100);
            answer.write(b"<");
            let copied = answer.copy(&file, offset, asked).expect("copied");
            assert_eq!(copied + 1, expected.len() as u64);
            assert_eq!(&*answer.into_bytes(), expected);
        };
        check(None, 2, 3, b"<234");
        check(None, 8, 100, b"<89");
        check(None, 11, 1, b"<");
        check(Some(3), 0, 10, b"<01");
    }

    #[test]
    fn a_file_beyond_the_limit_is_counted_and_not_cut_short_in_silence() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"0123456789").expect("written");
        let check = |most, asked, given| {
            let mut answer = Answer::new(&Arc::default(), None, most);
            let copied = answer.copy(&file, 0, asked).expect("copied");
            assert_eq!(answer.given(), given);
            assert_eq!(copied, answer.into_bytes().len() as u64);
        };
        check(9, 10, 10);
        check(4, u64::MAX, 5);
        check(10, 100, 10);
        check(4, 4, 4);
    }

    #[test]
    fn what_came_before_an_error_is_counted() {
        let (mut file, folder) = (
            tempfile::tempfile().expect("a file"),
            tempfile::tempdir().expect("a folder"),
        );
        file.write_all(b"0123456789").expect("written");
        let mut answer = Answer::new(&Arc::default(), Some(12), 100);
        answer.copy(&file, 0, 4).expect("copied");
        let folder = File::open(folder.path()).expect("opened");
        answer.copy(&folder, 0, 4).expect_err("a folder");
        assert_eq!((answer.given(), &*answer.into_bytes()), (4, &b"0123"[..]));
    }

    #[test]
    fn memory_comes_back_when_the_bytes_are_dropped_and_only_so_much_of_it_is_kept() {
        let spares = Arc::new(Spares::default());
        let answer = |length: usize| {
            let mut answer = Answer::new(&spares, Some(length as u64), 0);
            answer.write(&vec![7; length]);
            answer.into_bytes()
        };
        let bytes = answer(1 << 20);
        let (address, slice) = (bytes.as_ptr(), bytes.slice(9..10));
        drop(bytes);
        assert_ne!(answer(1 << 20).as_ptr(), address, "a slice still needs it");
        drop(slice);
        let shorter = answer(300 << 10);
        assert_eq!((shorter.as_ptr(), shorter.len()), (address, 300 << 10));

        let many: Vec<_> = (0..2 * MOST_SPARES).map(|_| answer(1 << 20)).collect();
        drop((many, answer(100), answer(40 << 20)));
        let kept = spares.0.lock().expect("kept");
        assert_eq!(kept.len(), MOST_SPARES);
        assert!(kept.iter().all(|spare| spare.capacity() < 2 << 20));
    }
}
