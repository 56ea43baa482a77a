//! Standard error as the progress bar sees it: a few columns narrower than it is.
//!
//! The bar fills its line to the last column. When a person presses Ctrl-C, the terminal echoes `^C` behind it; on a full line that would wrap,
//! and the bar would be cleared one line too low.

use std::io;

use console::Term;
use indicatif::TermLike;

/// Room for `^C`.
const RESERVED: u16 = 3;

/// The terminal behind standard error, with some columns reserved.
#[derive(Debug)]
pub struct NarrowTerm(Term);

impl NarrowTerm {
    /// Buffered: a bar is drawn in one write.
    pub fn stderr() -> Self {
        Self(Term::buffered_stderr())
    }

    /// Columns that a bar may use.
    pub fn columns() -> u16 {
        Term::stderr().size().1.saturating_sub(RESERVED)
    }
}

impl TermLike for NarrowTerm {
    fn width(&self) -> u16 {
        Self::columns()
    }

    fn height(&self) -> u16 {
        self.0.size().0
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.0.move_cursor_up(lines)
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.0.move_cursor_down(lines)
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.0.move_cursor_right(columns)
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.0.move_cursor_left(columns)
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.0.write_line(line)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}
