//! Aligned tables: rows of cells in, lines out.

use super::style::Style;
use super::text::{clean, truncate, width};

/// Which side of its column a cell keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Figures.
    Right,
}

/// One cell. Its text is cleaned and may be coloured as a whole.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    paint: Option<fn(Style, &str) -> String>,
}

/// A table with a heading.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
    expendable: Vec<&'static str>,
}

const GAP: &str = "  ";

/// What the last column should have left of it, where other columns can be left out instead.
const LAST_COLUMN: usize = 20;

impl Cell {
    /// A cell in colour.
    pub fn painted(text: impl Into<String>, paint: fn(Style, &str) -> String) -> Self {
        Self {
            text: clean(&text.into()).into_owned(),
            paint: Some(paint),
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: clean(&text.into()).into_owned(),
            paint: None,
        }
    }
}

impl Table {
    /// An empty table.
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
            expendable: Vec::new(),
        }
    }

    /// Columns that may be left out where the terminal is too narrow, the least important first.
    #[must_use]
    pub fn expendable(mut self, names: &[&'static str]) -> Self {
        self.expendable = names.to_vec();
        self
    }

    /// Adds a row of as many cells as there are columns.
    pub fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines. Columns that are empty in every row are left out, and expendable ones where a line would be longer than `max_width`; then
    /// the last one is cut.
    pub fn render(&self, style: Style, max_width: Option<usize>) -> String {
        let used = self.used_columns(max_width);
        let heading: Vec<Cell> = self
            .columns
            .iter()
            .map(|(name, _)| Cell::painted(*name, Style::bold))
            .collect();
        self.lines(
            std::iter::once(&heading).chain(&self.rows),
            &used,
            style,
            max_width,
        )
    }

    /// As [`render`](Self::render), without the heading, and however long the lines are.
    pub fn rows(&self, style: Style) -> String {
        self.lines(self.rows.iter(), &self.used_columns(None), style, None)
    }

    fn lines<'a>(
        &self,
        rows: impl Iterator<Item = &'a Vec<Cell>>,
        used: &[usize],
        style: Style,
        max_width: Option<usize>,
    ) -> String {
        let widths: Vec<usize> = used
            .iter()
            .map(|&column| self.column_width(column))
            .collect();
        let mut text = String::new();
        for row in rows {
            let line = self.line(row, used, &widths, style, max_width);
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn used_columns(&self, max_width: Option<usize>) -> Vec<usize> {
        let mut used: Vec<usize> = (0..self.columns.len())
            .filter(|&column| self.cells(column).any(|cell| !cell.text.is_empty()))
            .collect();
        for name in &self.expendable {
            let last = used.last().copied();
            let widths = used.iter().map(|&column| {
                let width = self.column_width(column);
                // The last one can be cut.
                let is_last = Some(column) == last;
                GAP.len()
                    + if is_last {
                        width.min(LAST_COLUMN)
                    } else {
                        width
                    }
            });
            if max_width.is_none_or(|max| widths.sum::<usize>() <= max + GAP.len()) {
                break;
            }
            used.retain(|&column| self.columns.get(column).is_some_and(|(n, _)| n != name));
        }
        used
    }

    fn column_width(&self, column: usize) -> usize {
        let heading = self.columns.get(column).map_or(0, |(name, _)| width(name));
        let cells = self.cells(column).map(|cell| width(&cell.text));
        cells.max().unwrap_or(0).max(heading)
    }

    fn cells(&self, column: usize) -> impl Iterator<Item = &Cell> {
        self.rows.iter().filter_map(move |row| row.get(column))
    }

    fn line(
        &self,
        row: &[Cell],
        used: &[usize],
        widths: &[usize],
        style: Style,
        max_width: Option<usize>,
    ) -> String {
        let mut line = String::new();
        let mut taken = 0;
        for (position, (&column, &column_width)) in used.iter().zip(widths).enumerate() {
            let (Some(cell), Some((_, align))) = (row.get(column), self.columns.get(column)) else {
                continue;
            };
            if position > 0 {
                line.push_str(GAP);
                taken += GAP.len();
            }
            let is_last = position + 1 == used.len();
            let room = match max_width {
                Some(max) if is_last => max.saturating_sub(taken).max(8),
                _ => usize::MAX,
            };
            let text = truncate(&cell.text, room);
            let padding = " ".repeat(column_width.saturating_sub(width(&text)));
            let painted = match cell.paint {
                Some(paint) => paint(style, &text),
                None => text.into_owned(),
            };
            match align {
                Align::Left if is_last => line.push_str(&painted),
                Align::Left => line.push_str(&(painted + &padding)),
                Align::Right => line.push_str(&(padding + &painted)),
            }
            taken += column_width;
        }
        line
    }
}

/// Names and values below each other, for one thing: `name   value`.
pub fn details(rows: &[(&str, String)], style: Style) -> String {
    let widest = rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    rows.iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| {
            let padding = " ".repeat(widest - width(name) + GAP.len());
            format!("{}{padding}{}\n", style.dim(name), value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[
            ("NAME", Align::Left),
            ("SIZE", Align::Right),
            ("NOTE", Align::Left),
        ]);
        table.row(vec!["a".into(), "1 B".into(), "".into()]);
        table.row(vec!["日本".into(), "12.0 KiB".into(), "".into()]);
        table
    }

    #[test]
    fn columns_are_aligned_and_an_empty_one_is_left_out() {
        assert_eq!(
            table().render(Style::default(), None),
            "NAME      SIZE\na          1 B\n日本  12.0 KiB\n"
        );
    }

    #[test]
    fn a_long_last_column_is_cut_to_the_terminal() {
        let mut table = table();
        table.row(vec![
            "b".into(),
            "2 B".into(),
            "a note\nof two lines".into(),
        ]);
        let text = table.render(Style::default(), Some(30));
        let last = text.lines().last().expect("a line");
        assert_eq!(last, "b          2 B  a note\\nof tw…");
    }

    #[test]
    fn a_narrow_terminal_gets_fewer_columns() {
        let table = table().expendable(&["SIZE"]);
        assert_eq!(table.render(Style::default(), Some(13)), "NAME\na\n日本\n");
        assert!(table.render(Style::default(), Some(14)).contains("SIZE"));
    }

    #[test]
    fn colour_does_not_move_columns() {
        let mut table = Table::new(&[("A", Align::Left), ("B", Align::Left)]);
        table.row(vec![Cell::painted("x", Style::bad), "y".into()]);
        assert_eq!(
            table.render(Style::new(true), None),
            "\u{1b}[1mA\u{1b}[0m  \u{1b}[1mB\u{1b}[0m\n\u{1b}[1;31mx\u{1b}[0m  y\n"
        );
    }
}
