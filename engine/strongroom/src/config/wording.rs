//! The words for what a JSON Schema has to say against a value.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

/// A table that looks like `{ env = … }`.
pub(super) fn is_reference(value: &Value) -> bool {
    value.as_object().is_some_and(|table| {
        table.len() == 1
            && ["env", "file", "command"]
                .iter()
                .any(|form| table.contains_key(*form))
    })
}

pub(super) fn limit(kind: &Kind) -> String {
    match kind {
        Kind::Minimum { limit } => format!("must be {limit} or more"),
        Kind::Maximum { limit } => format!("must be {limit} or less"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MinLength { limit: 1 } | Kind::MinItems { limit: 1 } => "must not be empty".into(),
        Kind::MinLength { limit } => format!("must have at least {limit} characters"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::MinItems { limit } => format!("must have at least {limit} elements"),
        Kind::MaxItems { limit } => format!("must have at most {limit} elements"),
        Kind::MinProperties { limit: 1 } => "must have at least one key".into(),
        Kind::MinProperties { limit } => format!("must have at least {limit} keys"),
        Kind::MaxProperties { limit: 1 } => "must have exactly one key".into(),
        Kind::MaxProperties { limit } => format!("must have at most {limit} keys"),
        Kind::UniqueItems => "names something twice".into(),
        Kind::Pattern { pattern } => format!("does not match {pattern}"),
        Kind::Format { format } => format!("is no {format}"),
        Kind::FalseSchema => "is not allowed here".into(),
        other => format!("is not what its schema asks for ({})", other.keyword()),
    }
}

pub(super) fn strings(options: &Value) -> Vec<String> {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    options
        .iter()
        .filter(|option| !option.is_null())
        .map(|option| match option {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect()
}

/// TOML has no null: where a schema allows it, the key may be left out.
pub(super) fn type_names(kind: &TypeKind) -> Vec<&'static str> {
    let types: Vec<String> = match kind {
        TypeKind::Single(one) => vec![one.to_string()],
        TypeKind::Multiple(several) => several.iter().map(|one| one.to_string()).collect(),
    };
    types.iter().filter_map(|name| toml_type(name)).collect()
}

pub(super) fn toml_type(json_type: &str) -> Option<&'static str> {
    Some(match json_type {
        "null" => return None,
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a string",
        "array" => "an array",
        _ => "a table",
    })
}

pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "a table",
    }
}

pub(super) fn either(types: &[&str]) -> String {
    match types {
        [] => "absent".into(),
        [only] => (*only).into(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
