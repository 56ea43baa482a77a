//! A TOML text as JSON, with the place of every key and value: text in, [`Document`] out.
//!
//! Everything that checks the configuration works on the JSON and asks here where in the file a value stands.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::Value;
use strongroom_repository::{Error, ErrorKind, Result};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::pointer::Pointer;

/// A parsed configuration file.
#[derive(Debug, Clone)]
pub struct Document {
    path: PathBuf,
    text: String,
    value: Value,
    marks: HashMap<Pointer, Mark>,
}

/// Where a value stands, in bytes.
#[derive(Debug, Clone)]
struct Mark {
    /// Of the key, or of the value where there is none (in an array).
    key: Range<usize>,
    value: Range<usize>,
}

/// A place in a file, shown as `file:line:column`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    file: PathBuf,
    line: usize,
    column: usize,
}

impl Place {
    /// Line and column, for sorting within a file.
    pub fn order(&self) -> (usize, usize) {
        (self.line, self.column)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

impl Document {
    /// Parses `text`, which was read from `path`. The error names the place, and never quotes the line: it may hold a secret.
    pub fn parse(path: &Path, text: String) -> Result<Self> {
        let mut document = Self {
            path: path.to_path_buf(),
            ..Self::empty()
        };
        let parsed = DeTable::parse(&text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            Error::new(ErrorKind::InvalidConfig, syntax_message(error.message()))
                .on(place(path, &text, offset))
        })?;
        let whole = parsed.span();
        document.mark(&Pointer::root(), 0..0, whole);
        let table = document.table(&Pointer::root(), parsed.get_ref());
        document.value = table.map_err(|(offset, message)| {
            Error::new(ErrorKind::InvalidConfig, message).on(place(path, &text, offset))
        })?;
        document.text = text;
        Ok(document)
    }

    /// No file at all.
    pub fn empty() -> Self {
        Self {
            path: PathBuf::new(),
            text: String::new(),
            value: Value::Object(serde_json::Map::new()),
            marks: HashMap::new(),
        }
    }

    /// The file's path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file as JSON.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Where the key at `pointer` stands, or the nearest table around it that is in the file.
    pub fn key_place(&self, pointer: &Pointer) -> Place {
        self.place_of(pointer, |mark| mark.key.start)
    }

    /// Where the value at `pointer` stands, or the nearest table around it that is in the file.
    pub fn value_place(&self, pointer: &Pointer) -> Place {
        self.place_of(pointer, |mark| mark.value.start)
    }

    /// An error about the value at `pointer`.
    pub fn error(&self, pointer: &Pointer, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidConfig, message).on(self.value_place(pointer))
    }

    /// The keys of the table at `pointer`, in the order of the file.
    pub fn keys(&self, pointer: &Pointer) -> Vec<String> {
        let Some(Value::Object(table)) = self.value.pointer(pointer.as_str()) else {
            return Vec::new();
        };
        let mut keys: Vec<String> = table.keys().cloned().collect();
        keys.sort_by_key(|key| {
            self.marks
                .get(&pointer.key(key))
                .map_or(0, |mark| mark.key.start)
        });
        keys
    }

    fn place_of(&self, pointer: &Pointer, start: impl Fn(&Mark) -> usize) -> Place {
        let mut at = pointer.clone();
        let offset = loop {
            if let Some(mark) = self.marks.get(&at) {
                break start(mark);
            }
            match at.parent() {
                Some(parent) => at = parent,
                None => break 0,
            }
        };
        place(&self.path, &self.text, offset)
    }

    fn mark(&mut self, pointer: &Pointer, key: Range<usize>, value: Range<usize>) {
        self.marks.insert(pointer.clone(), Mark { key, value });
    }

    fn table(&mut self, pointer: &Pointer, table: &DeTable<'_>) -> Converted {
        let mut object = serde_json::Map::new();
        for (key, value) in table {
            let inner = pointer.key(key.get_ref());
            self.mark(&inner, key.span(), value.span());
            let value = self.convert(&inner, value)?;
            object.insert(key.get_ref().to_string(), value);
        }
        Ok(Value::Object(object))
    }

    fn convert(&mut self, pointer: &Pointer, value: &Spanned<DeValue<'_>>) -> Converted {
        let wrong = |message: &str| (value.span().start, message.to_owned());
        Ok(match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Datetime(time) => Value::String(time.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map(Value::from)
                .map_err(|_| wrong("the number does not fit into 64 bits"))?,
            DeValue::Float(number) => number
                .as_str()
                .parse::<f64>()
                .ok()
                .and_then(serde_json::Number::from_f64)
                .map(Value::Number)
                .ok_or_else(|| wrong("the number is not finite"))?,
            DeValue::Array(values) => {
                let mut array = Vec::with_capacity(values.len());
                for (index, value) in values.iter().enumerate() {
                    let inner = pointer.index(index);
                    self.mark(&inner, value.span(), value.span());
                    array.push(self.convert(&inner, value)?);
                }
                Value::Array(array)
            }
            DeValue::Table(table) => self.table(pointer, table)?,
        })
    }
}

/// JSON, or the offset and the message of what has no form in JSON.
type Converted = Result<Value, (usize, String)>;

fn place(path: &Path, text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        file: path.to_path_buf(),
        line: before.matches('\n').count() + 1,
        column: before
            .get(line_start..)
            .map_or(0, |line| line.chars().count())
            + 1,
    }
}

/// The parser's words in one line.
fn syntax_message(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::parse(Path::new("a.toml"), text.into()).expect("the text is TOML")
    }

    #[test]
    fn a_key_and_its_value_have_places_of_their_own() {
        let document = document("[a]\n\"é\" = 1\nb = [2, {c = 3}]\n");
        let a = Pointer::root().key("a");
        assert_eq!(document.key_place(&a).to_string(), "a.toml:1:2");
        assert_eq!(document.value_place(&a.key("é")).to_string(), "a.toml:2:7");
        let c = a.key("b").index(1).key("c");
        assert_eq!(document.key_place(&c).to_string(), "a.toml:3:10");
        assert_eq!(document.value_place(&c).to_string(), "a.toml:3:14");
    }

    #[test]
    fn a_key_that_is_not_there_is_placed_at_the_table_around_it() {
        let document = document("x = 1\n[a.b]\nc = 1\n");
        let missing = Pointer::root().key("a").key("b").key("d");
        assert_eq!(document.key_place(&missing).to_string(), "a.toml:2:4");
    }

    #[test]
    fn keys_come_in_the_order_of_the_file() {
        let document = document("[jobs.b]\n[jobs.a]\n[jobs.c]\n");
        assert_eq!(document.keys(&Pointer::root().key("jobs")), ["b", "a", "c"]);
    }

    #[test]
    fn a_syntax_error_names_the_place_and_not_the_line() {
        let error = Document::parse(Path::new("a.toml"), "x = 1\ny = hunter2\n".into())
            .expect_err("not TOML");
        assert!(error.to_string().starts_with("a.toml:2:5: "), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
