//! An option for a plugin, as a person writes it: `KEY=VALUE` in, a value at its place in a JSON object out.

use std::str::FromStr;

use serde_json::{Map, Value};
use strongroom_repository::{Error, ErrorKind, Result};

/// `rename.shop=copy` is `{"rename": {"shop": "copy"}}`. A value that is JSON is taken as it is, any other as text.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginOption {
    keys: Vec<String>,
    value: Value,
}

impl PluginOption {
    /// From `KEY=VALUE`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .ok_or("write it as KEY=VALUE, such as parallel=4")?;
        let keys: Vec<String> = key.split('.').map(str::to_owned).collect();
        if keys.iter().any(String::is_empty) {
            return Err("its key is empty".into());
        }
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
        let key = self.keys.join(".");
        Error::new(
            ErrorKind::InvalidConfig,
            format!("the option {key} was given more than once"),
        )
    }
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
    fn an_option_without_a_value_or_given_twice_is_refused() {
        check(&["parallel"], None);
        check(&["=4"], None);
        check(&["a=1", "a=2"], None);
        check(&["a=1", "a.b=2"], None);
    }
}
