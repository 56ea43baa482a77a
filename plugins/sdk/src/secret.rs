//! A string that must not be shown.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny};

/// A password, token or key of the configuration.
///
/// Its schema is `{"type":"string","writeOnly":true}`: by that the engine knows that the operator must refer to it (`{ env = "NAME" }`)
/// rather than write it out, and that it must not be shown. It has no `Display`, its `Debug` says nothing, and an error about it does
/// not repeat it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// The secret itself. Keep it out of messages.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Value {
            Text(Box<str>),
            Other(IgnoredAny),
        }
        // serde's own message would quote a number that should have been a string.
        match Value::deserialize(deserializer)? {
            Value::Text(text) => Ok(Self(text)),
            Value::Other(_) => Err(D::Error::custom("a secret must be a string")),
        }
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").expect("it is a string");
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn a_secret_of_the_wrong_type_is_not_repeated() {
        let error = serde_json::from_str::<Secret>("12345678").expect_err("it is a number");
        assert!(!error.to_string().contains("1234"), "{error}");
        assert!(error.to_string().contains("must be a string"), "{error}");
    }
}
