//! An option for a plugin, as a person writes it: `KEY=VALUE` in, a value at its place in a JSON object out.

use std::str::FromStr;

use serde_json::{Map, Value};
use strongroom_repository::{Error, ErrorKind, Result};

/// `rename.shop=copy` is `{"rename": {"shop": "copy"}}`; a name that holds a dot or `=` stands in quotes: `rename."my.shop"=copy`. A value that is JSON is
/// taken as it is, any other as text.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginOption {
    keys: Vec<String>,
    value: Value,
}

impl PluginOption {
    /// From `KEY=VALUE`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys = Vec::new();
        let mut rest = text;
        loop {
            let (key, after) = match rest.strip_prefix('"') {
                Some(quoted) => quoted_key(quoted)?,
                None => rest.split_at(rest.find(['.', '=']).unwrap_or(rest.len())),
            };
            let key = unescaped(key, rest.starts_with('"'));
            if key.is_empty() {
                return Err("its key is empty".into());
            }
            keys.push(key);
            match after.strip_prefix('.') {
                Some(next) => rest = next,
                None => {
                    rest = after;
                    break;
                }
            }
        }
        let value = rest
            .strip_prefix('=')
            .ok_or("write it as KEY=VALUE, such as parallel=4")?;
        Ok(Self {
            keys,
            value: Value::from_str(value).unwrap_or_else(|_| value.into()),
        })
    }

    /// Puts the value at its place.
    pub fn put_into(&self, options: &mut Map<String, Value>) -> Result<()> {
        let Some((last, tables)) = self.keys.split_last() else {
            return Ok(());
        };
        let mut table = options;
        for key in tables {
            let inner = table.entry(key).or_insert_with(|| Map::new().into());
            table = inner.as_object_mut().ok_or_else(|| self.twice())?;
        }
        match table.insert(last.clone(), self.value.clone()) {
            None => Ok(()),
            Some(_) => Err(self.twice()),
        }
    }

    fn twice(&self) -> Error {
        let key = self.written();
        Error::new(
            ErrorKind::InvalidConfig,
            format!("the option {key} was given more than once"),
        )
        .hint("a name that holds a dot is written in quotes: --option 'rename.\"my.shop\"=copy'")
    }

    /// The key as a person writes it.
    fn written(&self) -> String {
        let keys = self
            .keys
            .iter()
            .map(|key| match key.contains(['.', '=', '"']) {
                true => format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\"")),
                false => key.clone(),
            });
        keys.collect::<Vec<_>>().join(".")
    }
}

/// What stands up to the closing quote, with its backslashes; and what follows.
fn quoted_key(text: &str) -> Result<(&str, &str), String> {
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            '"' => {
                let (key, rest) = text.split_at(at);
                return Ok((key, rest.strip_prefix('"').unwrap_or_default()));
            }
            _ => {}
        }
    }
    Err("the quote in its key is not closed".into())
}

/// A quoted key without the backslashes before quotes and backslashes.
fn unescaped(key: &str, is_quoted: bool) -> String {
    let mut plain = String::new();
    let mut letters = key.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if is_quoted => plain.extend(letters.next()),
            letter => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(texts: &[&str], expected: Option<Value>) {
        let mut options = Map::new();
        let result = texts.iter().try_for_each(|text| {
            PluginOption::parse(text)
                .map_err(|problem| Error::new(ErrorKind::InvalidConfig, problem))?
                .put_into(&mut options)
        });
        let made = result.ok().map(|()| Value::Object(options));
        assert_eq!(made, expected, "{texts:?}");
    }

    #[test]
    fn an_option_is_a_key_and_json_or_text() {
        check(&["parallel=4"], Some(json!({"parallel": 4})));
        check(&["lsn=0/16B3748"], Some(json!({"lsn": "0/16B3748"})));
        check(&["where=a=b"], Some(json!({"where": "a=b"})));
        check(
            &["rename.shop=copy", "rename.crm=crm 2"],
            Some(json!({"rename": {"shop": "copy", "crm": "crm 2"}})),
        );
    }

    #[test]
    fn a_name_that_holds_a_dot_stands_in_quotes() {
        check(
            &[r#"rename."my.db"=x"#, r#"rename."a=b"."c"=1"#],
            Some(json!({"rename": {"my.db": "x", "a=b": {"c": 1}}})),
        );
        check(
            &[r#"rename."a\"b\\c"=x"#],
            Some(json!({"rename": {"a\"b\\c": "x"}})),
        );
        check(&[r#"rename."my.db=x"#], None);
        check(&[r#"rename."my"db=x"#], None);
        check(&[r#"rename.""=x"#], None);
        check(&["rename.=x"], None);
        let option = PluginOption::parse(r#"rename."my.db"=x"#).expect("parsed");
        assert_eq!(option.written(), r#"rename."my.db""#);
    }

    #[test]
    fn an_option_without_a_value_or_given_twice_is_refused() {
        check(&["parallel"], None);
        check(&["=4"], None);
        check(&["a=1", "a=2"], None);
        check(&["a=1", "a.b=2"], None);
    }
}
