//! From the engine's JSON to a plugin's own types, and from those types to the JSON Schema that the engine checks with.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;

use crate::{Error, ErrorKind, Result};

/// Reads a configuration or options. An empty text is an empty object. Errors are `invalid-config` and name the key.
pub(crate) fn parse<T: DeserializeOwned>(json: &str) -> Result<T> {
    let json = if json.trim().is_empty() { "{}" } else { json };
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let problem = without_position(error.inner());
        match error.path().to_string().as_str() {
            "." => Error::new(ErrorKind::InvalidConfig, problem),
            key => Error::invalid_config(key, problem),
        }
    })
}

/// The JSON Schema (2020-12) of a configuration, without references but for that of the restore options, under
/// `$defs/RestoreOptions`.
pub(crate) fn schema<Config: JsonSchema>(restore_options: Option<schemars::Schema>) -> String {
    let mut schema = schema_of::<Config>();
    if let Some(options) = restore_options {
        schema.insert(
            "$defs".into(),
            serde_json::json!({ "RestoreOptions": options }),
        );
    }
    schema.to_value().to_string()
}

/// The JSON Schema of one type.
pub(crate) fn schema_of<T: JsonSchema>() -> schemars::Schema {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<T>()
}

/// The engine wrote the JSON, so a line and a column in it would mislead.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::{HostPath, Secret};

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Config {
        /// Where it lies.
        path: HostPath,
        password: Option<Secret>,
        #[serde(default)]
        exclude: Vec<String>,
    }

    fn check(json: &str, message: &str) {
        let error = parse::<Config>(json).expect_err("the configuration is wrong");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert_eq!(error.message(), message);
    }

    #[test]
    fn a_wrong_configuration_names_the_key() {
        check(
            r#"{"path":"media"}"#,
            "path: `media` is not an absolute path",
        );
        check(
            r#"{"path":"/m","exclude":["a",1]}"#,
            "exclude[1]: invalid type: integer `1`, expected a string",
        );
        check(
            r#"{"path":"/m","exlude":[]}"#,
            "exlude: unknown field `exlude`, expected one of `path`, `password`, `exclude`",
        );
        check("{}", "missing field `path`");
        check("", "missing field `path`");
    }

    #[test]
    fn a_wrong_secret_is_not_repeated() {
        check(
            r#"{"path":"/m","password":12345678}"#,
            "password: a secret must be a string",
        );
    }

    #[test]
    fn the_schema_is_closed_and_marks_secrets() {
        let schema: Value = serde_json::from_str(&schema::<Config>(Some(schema_of::<HostPath>())))
            .expect("a schema is JSON");
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema["required"], json!(["path"]));
        assert_eq!(
            schema["properties"]["path"]["description"],
            "Where it lies."
        );
        assert_eq!(schema["properties"]["password"]["writeOnly"], json!(true));
        assert_eq!(schema["$defs"]["RestoreOptions"]["type"], "string");
    }
}
