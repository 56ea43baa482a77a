//! A place in the binary log, as `FILE:OFFSET`.

use std::fmt;
use std::str::FromStr;

/// A place in the log of one server. What comes later is greater.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    /// A name such as `mariadb-bin.000012`.
    pub(crate) file: String,
    /// Bytes from the file's begin.
    pub(crate) offset: u64,
}

impl Position {
    pub(crate) fn new(file: impl Into<String>, offset: u64) -> Self {
        Self {
            file: file.into(),
            offset,
        }
    }

    /// For comparing: the files' numbers get another digit when they run out of them.
    fn key(&self) -> (usize, &str, u64) {
        (self.file.len(), &self.file, self.offset)
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (file, offset) = text.rsplit_once(':').ok_or(())?;
        let offset = offset.parse().map_err(|_| ())?;
        Ok(Self::new(file, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_the_order_of_the_log() {
        let places = [
            "log.000002:4",
            "log.000002:10",
            "log.999999:5",
            "log.1000000:4",
        ];
        let parsed: Vec<Position> = places
            .iter()
            .map(|place| place.parse().expect("a place"))
            .collect();
        assert!(parsed.is_sorted(), "{parsed:?}");
        let shown: Vec<String> = parsed.iter().map(Position::to_string).collect();
        assert_eq!(shown, places);
    }
}
