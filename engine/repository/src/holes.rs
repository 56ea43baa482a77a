//! An open file in, the ranges of it that hold data out: what lies between them are holes, which read as zeros and need not be read.

use std::ops::Range;
use std::os::fd::AsFd;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// The ranges of a file that hold data, ascending, none of them empty, none beyond `size`.
///
/// Asking for the next one moves the file's position.
#[derive(Debug)]
pub struct Extents<F> {
    file: F,
    size: u64,
    position: u64,
}

impl<F: AsFd> Extents<F> {
    /// Of the first `size` bytes of `file`.
    pub fn of(file: F, size: u64) -> Self {
        Self {
            file,
            size,
            position: 0,
        }
    }
}

impl<F: AsFd> Iterator for Extents<F> {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        if self.position >= self.size {
            return None;
        }
        let start = match seek(&self.file, SeekFrom::Data(self.position)) {
            Ok(start) => start.max(self.position),
            // There is no more data.
            Err(Errno::NXIO) => self.size,
            // The file system does not know its holes: all is data.
            Err(_) => self.position,
        };
        // Without an answer the rest is data: reading zeros does no harm, taking data for a hole would.
        let end = match seek(&self.file, SeekFrom::Hole(start)) {
            Ok(end) if end > start => end.min(self.size),
            _ => self.size,
        };
        self.position = end;
        (start < self.size).then_some(start..end)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    const BLOCK: u64 = 64 * 1024;

    fn extents(file: impl AsFd, size: u64) -> Vec<(u64, u64)> {
        Extents::of(file, size)
            .map(|extent| (extent.start, extent.end))
            .collect()
    }

    #[test]
    fn data_is_found_between_holes() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10 * BLOCK).unwrap();
        file.write_all_at(b"x", 2 * BLOCK).unwrap();
        file.write_all_at(b"x", 5 * BLOCK).unwrap();
        let found = extents(&file, 10 * BLOCK);
        assert_eq!(found.len(), 2);
        for ((from, to), start) in found.into_iter().zip([2 * BLOCK, 5 * BLOCK]) {
            assert_eq!(from, start);
            assert!(to > start && to <= start + BLOCK);
        }
        assert_eq!(extents(&file, 2 * BLOCK), []);
        assert_eq!(extents(&file, 2 * BLOCK + 1), [(2 * BLOCK, 2 * BLOCK + 1)]);
    }

    #[test]
    fn a_file_without_holes_is_one_extent() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(extents(&file, 0), []);
        file.write_all_at(&[1; 10], 0).unwrap();
        assert_eq!(extents(&file, 10), [(0, 10)]);
        // The file is shorter than it was believed to be.
        assert_eq!(extents(&file, 20), [(0, 10)]);
        let hole = tempfile::tempfile().unwrap();
        hole.set_len(BLOCK).unwrap();
        assert_eq!(extents(&hole, BLOCK), []);
    }

    #[test]
    fn what_knows_no_holes_is_one_extent() {
        let (read, _write) = std::io::pipe().unwrap();
        assert_eq!(extents(&read, 100), [(0, 100)]);
    }
}
