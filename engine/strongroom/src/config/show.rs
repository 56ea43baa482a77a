//! The configuration as the engine understands it, for people: defaults in place, secrets hidden.

use serde_json::{Map, Value, json};

use super::{Config, HIDDEN};

/// The whole configuration as JSON. A secret shows as the reference that it is, without a command's arguments; a password inside a URL is
/// hidden.
pub fn show(config: &Config) -> Value {
    let mut shown = serde_json::to_value(config.model()).unwrap_or(Value::Null);
    shown["engine"]["state"] = json!(config.state_folder());
    if let Some(plugins) = shown.get_mut("plugins").and_then(Value::as_object_mut) {
        for (name, table) in plugins {
            if let Some(plugin) = config.model().plugins.get(name) {
                table["path"] = json!(config.path(&plugin.path));
            }
        }
    }
    hide(&mut shown);
    shown["file"] = json!(config.document().path());
    shown
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(table) => {
            hide_command(table);
            table.values_mut().for_each(hide);
        }
        Value::Array(values) => values.iter_mut().for_each(hide),
        Value::String(text) => {
            if let Some(hidden) = without_password(text) {
                *text = hidden;
            }
        }
        _ => {}
    }
}

/// `{ command = ["pass", "show", "x"] }` keeps the program's name.
fn hide_command(table: &mut Map<String, Value>) {
    if table.len() == 1
        && let Some(Value::Array(line)) = table.get_mut("command")
        && line.len() > 1
    {
        line.truncate(1);
        line.push(json!(HIDDEN));
    }
}

/// `scheme://user:password@host` without the password; `None` where there is none.
fn without_password(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let (user_info, host) = authority.rsplit_once('@')?;
    let (user, _) = user_info.split_once(':')?;
    Some(format!("{scheme}://{user}:{HIDDEN}@{host}{path}"))
}

/// The value as TOML, in tables of two levels as the file has them.
pub fn to_toml(value: &Value) -> String {
    let mut text = String::new();
    let Value::Object(sections) = value else {
        return text;
    };
    for (section, table) in sections {
        let Value::Object(table) = table else {
            continue;
        };
        if section == "engine" {
            push_table(&mut text, section, table);
            continue;
        }
        for (name, table) in table {
            if let Value::Object(table) = table {
                push_table(&mut text, &format!("{section}.{}", toml_key(name)), table);
            }
        }
    }
    text
}

fn push_table(text: &mut String, header: &str, table: &Map<String, Value>) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&format!("[{header}]\n"));
    for (key, value) in table {
        text.push_str(&format!("{} = {}\n", toml_key(key), inline(value)));
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(inline).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Object(table) if table.is_empty() => "{}".into(),
        Value::Object(table) => {
            let pairs: Vec<_> = table
                .iter()
                .map(|(key, value)| format!("{} = {}", toml_key(key), inline(value)))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        // JSON's strings, numbers and booleans are TOML's.
        other => other.to_string(),
    }
}

fn toml_key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.chars().all(bare) {
        key.into()
    } else {
        Value::from(key).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_hidden() {
        let check = |text, expected: Option<&str>| {
            assert_eq!(without_password(text).as_deref(), expected, "{text}");
        };
        check(
            "https://me:pa@ss@host:1/x",
            Some("https://me:•••••@host:1/x"),
        );
        check("https://host/a:b@c", None);
        check("https://me@host", None);
        check("/srv/media", None);
    }

    #[test]
    fn what_is_shown_is_toml() {
        let shown =
            json!({"sources": {"a b": {"config": {"x": [1, {"y": "z\""}]}, "plugin": "volume"}}});
        assert_eq!(
            to_toml(&shown),
            "[sources.\"a b\"]\nconfig = { x = [1, { y = \"z\\\"\" }] }\nplugin = \"volume\"\n"
        );
    }
}
