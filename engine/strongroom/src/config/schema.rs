//! JSON Schemas: the engine's own, a plugin's with its secrets turned into references, both in one for editors, and look-ups in them.

use serde_json::{Map, Value, json};

use super::model::{Model, SecretReference};
use super::pointer::Pointer;

/// Sources or destinations: the tables whose `config` belongs to a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// `[sources.…]`.
    Sources,
    /// `[destinations.…]`.
    Destinations,
}

impl Section {
    /// The name of the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sources => "sources",
            Self::Destinations => "destinations",
        }
    }
}

/// A plugin's name, where it may stand, and the schema of its `config`.
pub struct PluginSchema<'a> {
    /// As in `plugin = "…"`.
    pub name: &'a str,
    /// The table that it belongs to.
    pub section: Section,
    /// As the plugin describes it.
    pub schema: &'a Value,
}

/// The schema of the whole file, with any table as a plugin's `config`.
pub fn engine_schema() -> Value {
    schemars::schema_for!(Model).to_value()
}

/// A plugin's schema for what stands in the file: every field that is marked `"writeOnly": true` takes a reference in place of the secret.
pub fn with_references(schema: &Value) -> Value {
    let reference = schemars::schema_for!(SecretReference).to_value();
    replace_secrets(schema, &reference)
}

/// The schema of the whole file with the `config` tables of `plugins`.
pub fn full_schema(plugins: &[PluginSchema<'_>]) -> Value {
    let mut schema = engine_schema();
    for section in [Section::Sources, Section::Destinations] {
        let known: Vec<_> = plugins
            .iter()
            .filter(|plugin| plugin.section == section)
            .collect();
        let names: Vec<_> = known.iter().map(|plugin| plugin.name).collect();
        let rules: Vec<_> = known
            .iter()
            .map(|plugin| {
                json!({
                    "if": {"properties": {"plugin": {"const": plugin.name}}, "required": ["plugin"]},
                    "then": {"properties": {"config": embedded(plugin)}},
                })
            })
            .collect();
        let table = match section {
            Section::Sources => "/$defs/SourceTable",
            Section::Destinations => "/$defs/DestinationTable",
        };
        if let Some(table) = schema.pointer_mut(table).and_then(Value::as_object_mut) {
            if !rules.is_empty() {
                table.insert("allOf".into(), Value::Array(rules));
            }
            if let Some(plugin) = table
                .get_mut("properties")
                .and_then(|p| p.get_mut("plugin"))
            {
                plugin["examples"] = json!(names);
            }
        }
    }
    schema
}

/// A plugin's schema as a resource of its own inside another, so that its `#/$defs/…` keep their meaning.
fn embedded(plugin: &PluginSchema<'_>) -> Value {
    let mut schema = with_references(plugin.schema);
    if let Value::Object(schema) = &mut schema {
        schema.insert("$id".into(), json!(format!("plugin:{}", plugin.name)));
    }
    schema
}

fn replace_secrets(schema: &Value, reference: &Value) -> Value {
    match schema {
        Value::Object(object) if is_secret(object) => {
            let mut replaced = reference.clone();
            for annotation in ["title", "description"] {
                if let Some(text) = object.get(annotation) {
                    replaced[annotation] = text.clone();
                }
            }
            if let Some(replaced) = replaced.as_object_mut() {
                replaced.remove("$schema");
            }
            replaced
        }
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| (key.clone(), replace_secrets(value, reference)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(values) => values
            .iter()
            .map(|value| replace_secrets(value, reference))
            .collect(),
        other => other.clone(),
    }
}

fn is_secret(schema: &Map<String, Value>) -> bool {
    schema.get("writeOnly") == Some(&Value::Bool(true))
}

/// Whether the value at `pointer` is a secret by `root`.
pub fn marks_secret(root: &Value, pointer: &Pointer) -> bool {
    subschemas(root, pointer)
        .iter()
        .any(|schema| schema.as_object().is_some_and(is_secret))
}

/// The keys that the table at `pointer` may have by `root`, as far as they have names.
pub fn known_keys(root: &Value, pointer: &Pointer) -> Vec<String> {
    let mut keys: Vec<String> = subschemas(root, pointer)
        .iter()
        .filter_map(|schema| schema.get("properties")?.as_object())
        .flat_map(|properties| properties.keys().cloned())
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

/// The keys of the top table and of tables in it that `root` marks as secrets, as `a.b`.
pub fn secret_keys(root: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect_secret_keys(root, &Pointer::root(), 0, &mut found);
    found
}

fn collect_secret_keys(root: &Value, pointer: &Pointer, depth: usize, found: &mut Vec<String>) {
    // A schema may refer to itself; nobody nests secrets deeper.
    if depth > 4 {
        return;
    }
    for key in known_keys(root, pointer) {
        let inner = pointer.key(&key);
        if marks_secret(root, &inner) {
            found.push(inner.to_string());
        } else {
            collect_secret_keys(root, &inner, depth + 1, found);
        }
    }
}

/// Every part of the schema `root` that speaks of the value at `pointer`.
pub fn subschemas<'a>(root: &'a Value, pointer: &Pointer) -> Vec<&'a Value> {
    let mut current = expand(root, root);
    for segment in pointer.segments() {
        current = current
            .into_iter()
            .filter_map(|schema| child(schema, &segment))
            .flat_map(|schema| expand(root, schema))
            .collect();
    }
    current
}

fn child<'a>(schema: &'a Value, segment: &str) -> Option<&'a Value> {
    let is_index = segment.bytes().all(|byte| byte.is_ascii_digit());
    schema
        .get("properties")
        .and_then(|properties| properties.get(segment))
        .or_else(|| schema.get("items").filter(|_| is_index))
        .or_else(|| schema.get("additionalProperties"))
}

/// The schema itself and all that it refers to or combines.
fn expand<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let mut found: Vec<&Value> = Vec::new();
    let mut waiting = vec![schema];
    while let Some(schema) = waiting.pop() {
        if found.iter().any(|known| std::ptr::eq(*known, schema)) {
            continue;
        }
        found.push(schema);
        let reference = schema.get("$ref").and_then(Value::as_str);
        waiting.extend(reference.and_then(|at| root.pointer(at.strip_prefix('#')?)));
        for combinator in ["allOf", "anyOf", "oneOf"] {
            let parts = schema.get(combinator).and_then(Value::as_array);
            waiting.extend(parts.into_iter().flatten());
        }
        waiting.extend(["then", "else"].iter().filter_map(|key| schema.get(*key)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin_schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "host": {"type": "string"},
                "password": {"type": ["string", "null"], "writeOnly": true, "description": "Of the user."},
                "tls": {"anyOf": [{"$ref": "#/$defs/Tls"}, {"type": "null"}]},
                "servers": {"type": "array", "items": {"$ref": "#/$defs/Tls"}},
            },
            "$defs": {"Tls": {"type": "object", "properties": {"key": {"type": "string", "writeOnly": true}}}},
        })
    }

    #[test]
    fn a_secret_is_found_through_references_and_arrays() {
        let schema = plugin_schema();
        let root = Pointer::root();
        assert!(marks_secret(&schema, &root.key("password")));
        assert!(marks_secret(&schema, &root.key("tls").key("key")));
        assert!(marks_secret(
            &schema,
            &root.key("servers").index(3).key("key")
        ));
        assert!(!marks_secret(&schema, &root.key("host")));
        assert!(!marks_secret(&schema, &root.key("nothing")));
    }

    #[test]
    fn a_secret_takes_a_reference_and_keeps_its_description() {
        let schema = with_references(&plugin_schema());
        let password = &schema["properties"]["password"];
        assert_eq!(password["description"], "Of the user.");
        assert_eq!(password["type"], "object");
        assert_eq!(password["maxProperties"], 1);
        assert_eq!(
            secret_keys(&plugin_schema()),
            ["password", "tls.key"],
            "what is listed in the hint"
        );
    }

    #[test]
    fn a_schema_that_refers_to_itself_comes_to_an_end() {
        let schema = json!({"$ref": "#/$defs/A", "$defs": {"A": {"properties": {"a": {"$ref": "#/$defs/A"}, "s": {"writeOnly": true}}}}});
        assert!(marks_secret(
            &schema,
            &Pointer::root().key("a").key("a").key("s")
        ));
        assert!(secret_keys(&schema).contains(&"s".to_owned()));
    }
}
