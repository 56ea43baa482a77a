//! A configuration against the schema of a plugin that has secrets.

use super::*;
use serde_json::json;

fn schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["host"],
        "properties": {
            "host": {"type": "string"},
            "method": {"enum": ["logical", "physical", null]},
            "password": {"type": ["string", "null"], "writeOnly": true},
            "tls": {"anyOf": [{"$ref": "#/$defs/Tls"}, {"type": "null"}]},
        },
        "$defs": {
            "Tls": {
                "type": "object",
                "additionalProperties": false,
                "properties": {"key": {"type": "string", "writeOnly": true}, "port": {"type": "integer"}},
            },
        },
    })
}

fn config(table: &str) -> Config {
    let text = format!("[sources.shop]\nplugin = \"db\"\nconfig = {table}\n");
    let document = Document::parse(Path::new("a.toml"), text).expect("TOML");
    Config::from_document(document).expect("the engine's own tables are good")
}

/// The first problem and its hint, or nothing.
#[track_caller]
fn check(table: &str, expected: &str) {
    let problems = config(table)
        .plugin_problems(Section::Sources, "shop", &schema())
        .expect("a schema");
    let found = problems.first().map_or(String::new(), |problem| {
        format!("{problem} / {}", problem.hint_text().unwrap_or_default())
    });
    assert_eq!(found, expected, "{table}");
}

#[test]
fn a_secret_takes_a_reference_and_nothing_else() {
    let forms = "write { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\", \"ARGUMENT\"] }";
    check("{ host = \"a\", password = { env = \"X\" } }", "");
    check("{ host = \"a\", tls = { key = { file = \"x.key\" } } }", "");
    check(
        "{ host = \"a\", password = \"hunter2\" }",
        &format!(
            "a.toml:3:35: 'sources.shop.config.password' is a secret and must not stand in the file / {forms}"
        ),
    );
    check(
        "{ host = \"a\", tls = { key = \"hunter2\" } }",
        &format!(
            "a.toml:3:38: 'sources.shop.config.tls.key' is a secret and must not stand in the file / {forms}"
        ),
    );
    check(
        "{ host = \"a\", password = { env = \"X\", file = \"y\" } }",
        &format!(
            "a.toml:3:35: 'sources.shop.config.password' needs exactly one of env, file and command / {forms}"
        ),
    );
}

#[test]
fn a_reference_where_none_is_expected_names_those_that_take_one() {
    check(
        "{ host = { env = \"X\" } }",
        "a.toml:3:19: 'sources.shop.config.host' must be a string, not a table / write the value itself: a reference is taken only by password, tls.key",
    );
    check(
        "{ host = \"a\", tls = { env = \"X\" } }",
        "a.toml:3:32: unknown key 'env' in 'sources.shop.config.tls' / write the value itself: a reference is taken only by password, tls.key",
    );
}

#[test]
fn an_optional_value_is_judged_by_what_it_is() {
    check(
        "{ host = \"a\", method = \"logicl\" }",
        "a.toml:3:33: 'sources.shop.config.method' must be one of \"logical\" or \"physical\" / did you mean 'logical'?",
    );
    check(
        "{ host = \"a\", tls = { prt = 1 } }",
        "a.toml:3:32: unknown key 'prt' in 'sources.shop.config.tls' / did you mean 'port'?",
    );
    check(
        "{ host = \"a\", tls = 5 }",
        "a.toml:3:30: 'sources.shop.config.tls' must be a table / ",
    );
}

#[test]
fn secrets_are_resolved_where_the_schema_marks_them() {
    let config = config(
        "{ host = \"a\", password = { command = [\"echo\", \"hunter2\"] }, tls = { key = { command = [\"echo\", \"k\"] }, port = 1 } }",
    );
    let secrets = Secrets::new(PathBuf::new(), Box::new(|_| {}));
    let resolved = config
        .resolved_plugin_config(Section::Sources, "shop", &schema(), &secrets)
        .expect("resolved");
    assert_eq!(
        serde_json::from_str::<Value>(&resolved).expect("JSON"),
        json!({"host": "a", "password": "hunter2", "tls": {"key": "k", "port": 1}})
    );
    assert_eq!(secrets.hide("no hunter2 here"), format!("no {HIDDEN} here"));
}

#[test]
fn an_error_of_a_secret_names_its_key_and_place() {
    let config = config("{ host = \"a\", password = { command = [\"false\"] } }");
    let secrets = Secrets::new(PathBuf::new(), Box::new(|_| {}));
    let error = config
        .resolved_plugin_config(Section::Sources, "shop", &schema(), &secrets)
        .expect_err("it fails");
    assert_eq!(
        error.to_string(),
        "a.toml:3:35: sources.shop.config.password: the secret's command false ended with exit status: 1"
    );
}

#[test]
fn the_schema_of_the_engine_is_the_golden_one() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/schema.json");
    let schema = serde_json::to_string_pretty(&schema::engine_schema()).expect("JSON") + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &schema).expect("written");
    }
    let expected = std::fs::read_to_string(&golden).expect("the golden file");
    assert_eq!(schema, expected, "if that is meant: UPDATE_GOLDEN=1");
}

#[test]
fn the_example_of_the_handbook_is_good() {
    let text = r#"
[engine]
state = "/var/lib/strongroom"
listen = "127.0.0.1:7420"

[plugins.redis]
path = "/opt/plugins/redis.wasm"
sha256 = "9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f"

[sources.shop]
plugin = "postgres"
config = { host = "db.internal", password = { env = "SHOP_PGPASSWORD" }, databases = ["*"] }
allow = { connect = ["db.internal:5432"], command = ["pg_dump", "psql"] }

[destinations.nas]
plugin = "filesystem"
config = { path = "/mnt/nas/backups" }
password = { file = "/etc/strongroom/nas.key" }

[jobs.nightly]
sources = ["shop"]
destinations = ["nas"]
schedule = { full = "0 2 * * SUN", incremental = "0 2 * * MON-SAT" }
timezone = "Europe/Zurich"
retention = { daily = 7, weekly = 4, monthly = 12 }
on_demand_retention = { within = "30d", last_beyond = 3 }
"#;
    let document = Document::parse(Path::new("a.toml"), text.into()).expect("TOML");
    let config = Config::from_document(document).map_err(|problems| format!("{problems:?}"));
    let config = config.expect("good");
    assert_eq!(config.state_folder(), Path::new("/var/lib/strongroom"));
}
