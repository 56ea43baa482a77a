//! Content in, a file out whose long runs of zeros take no room.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// A run of zeros of this length becomes a hole.
const HOLE: usize = 64 * 1024;

/// Writes all but long runs of zeros, which a file of the right length has already. They become holes. Returns
/// where the last of what was written ends.
pub(super) fn write_with_holes(file: &File, content: &[u8], position: u64) -> std::io::Result<u64> {
    let (mut start, mut end) = (0, 0);
    let mut write = |data: &[u8], start: usize| {
        if !data.is_empty() {
            file.write_all_at(data, position + start as u64)?;
            end = start + data.len();
        }
        std::io::Result::Ok(())
    };
    for run in zero_runs(content) {
        write(content.get(start..run.start).unwrap_or_default(), start)?;
        start = run.end;
    }
    write(content.get(start..).unwrap_or_default(), start)?;
    Ok(position + end as u64)
}

/// Runs of zeros of at least [`HOLE`] bytes, found at multiples of it.
fn zero_runs(content: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> {
    content
        .chunks(HOLE)
        .enumerate()
        .filter_map(|(number, block)| {
            let start = number * HOLE;
            (block.len() == HOLE && is_zero(block)).then_some(start..start + HOLE)
        })
}

fn is_zero(block: &[u8]) -> bool {
    // Most blocks end this at the first byte; the rest compares words.
    block.first() == Some(&0)
        && block
            .chunks(16)
            .all(|word| word.iter().fold(0, |sum, byte| sum | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_become_holes_and_read_back_as_zeros() {
        let file = tempfile::tempfile().expect("a file");
        let mut content = vec![7; 4 * HOLE + 100];
        content[HOLE..3 * HOLE].fill(0);
        content[3 * HOLE + 5..].fill(0);
        file.set_len(10 + content.len() as u64).expect("set");
        write_with_holes(&file, &content, 10).expect("written");
        let mut read = vec![1; content.len()];
        file.read_exact_at(&mut read, 10).expect("read");
        assert_eq!(read, content);
        assert_eq!(zero_runs(&content).count(), 2);
    }
}
