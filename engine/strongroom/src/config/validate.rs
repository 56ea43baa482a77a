//! A table against its JSON Schema: what is wrong comes out as errors that name the place, the key and the nearest known key.
//!
//! Values are never quoted: a secret may stand where it does not belong.

use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;
use strongroom_repository::{Error, ErrorKind, Result};

use super::document::Document;
use super::nearest::{did_you_mean, nearest, quoted_list};
use super::pointer::Pointer;
use super::schema;
use super::wording::{either, is_reference, limit, strings, type_names, type_of};

/// What to write where a secret is expected.
pub const SECRET_FORMS: &str =
    r#"{ env = "NAME" }, { file = "PATH" } or { command = ["PROGRAM", "ARGUMENT"] }"#;

/// Checks the part of `document` at `base` against `schema`, which already takes references for secrets. Problems come in the order of the
/// file. Fails where the schema itself is wrong.
pub fn validate(document: &Document, base: &Pointer, schema: &Value) -> Result<Vec<Error>> {
    let validator = compile(schema)?;
    let empty = Value::Object(serde_json::Map::new());
    let instance = document.value().pointer(base.as_str()).unwrap_or(&empty);
    let context = Context {
        document,
        base,
        schema,
    };
    let mut problems: Vec<Problem> = validator
        .iter_errors(instance)
        .flat_map(|error| context.problems(&error))
        .collect();
    // That a key is missing is a consequence where it is there, misspelt.
    let misspelt: Vec<Pointer> = problems.iter().filter_map(|p| p.meant.clone()).collect();
    problems.retain(|problem| {
        let missing = problem.missing.as_ref();
        missing.is_none_or(|missing| !misspelt.contains(missing))
    });
    problems.sort_by_key(|problem| problem.order);
    Ok(problems.into_iter().map(|problem| problem.error).collect())
}

fn compile(schema: &Value) -> Result<Validator> {
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .build(schema)
        .map_err(|error| {
            Error::new(
                ErrorKind::InvalidConfig,
                format!("its configuration schema is no JSON Schema: {error}"),
            )
        })
}

struct Context<'a> {
    document: &'a Document,
    base: &'a Pointer,
    schema: &'a Value,
}

struct Problem {
    error: Error,
    order: (usize, usize),
    /// The key that is not there.
    missing: Option<Pointer>,
    /// The key that an unknown one may have been meant to be.
    meant: Option<Pointer>,
}

impl Context<'_> {
    fn problems(&self, error: &ValidationError<'_>) -> Vec<Problem> {
        let inner = Pointer::root().join(error.instance_path().as_str());
        let at = self.base.join(error.instance_path().as_str());
        if self.is_secret(&inner, error) {
            return vec![self.secret(&at, error.instance())];
        }
        match error.kind() {
            Kind::AdditionalProperties { unexpected }
            | Kind::UnevaluatedProperties { unexpected } => unexpected
                .iter()
                .map(|key| self.unknown_key(&inner, &at, key))
                .collect(),
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                self.alternatives(&at, context)
            }
            kind => vec![self.simple(&inner, &at, error.instance(), kind)],
        }
    }

    /// Any mismatch at a secret that is not inside a reference is the same mistake.
    fn is_secret(&self, inner: &Pointer, error: &ValidationError<'_>) -> bool {
        schema::marks_secret(self.schema, inner)
            && matches!(
                error.kind(),
                Kind::Type { .. } | Kind::MinProperties { .. } | Kind::MaxProperties { .. }
            )
    }

    fn secret(&self, at: &Pointer, found: &Value) -> Problem {
        let message = if found.is_object() {
            format!("'{at}' needs exactly one of env, file and command")
        } else {
            format!("'{at}' is a secret and must not stand in the file")
        };
        self.problem(at, message, Some(format!("write {SECRET_FORMS}")))
    }

    fn unknown_key(&self, inner: &Pointer, at: &Pointer, key: &str) -> Problem {
        let known = schema::known_keys(self.schema, inner);
        let is_reference = matches!(key, "env" | "file" | "command");
        let nearest = nearest(key, &known);
        let hint = match nearest {
            Some(known) => Some(format!("did you mean '{known}'?")),
            None if is_reference => Some(self.reference_hint()),
            None if known.is_empty() => None,
            None => Some(format!("known keys: {}", known.join(", "))),
        };
        let place = self.document.key_place(&at.key(key));
        let message = match at.to_string() {
            top if top.is_empty() => format!("unknown key '{key}'"),
            table => format!("unknown key '{key}' in '{table}'"),
        };
        let order = place.order();
        Problem {
            error: with_hint(
                Error::new(ErrorKind::InvalidConfig, message).on(place),
                hint,
            ),
            order,
            missing: None,
            meant: nearest.map(|nearest| at.key(nearest)),
        }
    }

    fn reference_hint(&self) -> String {
        match schema::secret_keys(self.schema) {
            keys if keys.is_empty() => "this table has no secret: write the value itself".into(),
            keys => format!(
                "write the value itself: a reference is taken only by {}",
                keys.join(", ")
            ),
        }
    }

    /// The branch that fits the value's type says what is wrong; where there is none or several, only the types can be told.
    fn alternatives(
        &self,
        at: &Pointer,
        branches: &[Vec<ValidationError<'static>>],
    ) -> Vec<Problem> {
        let type_error = |error: &ValidationError<'_>| match error.kind() {
            Kind::Type { kind } if self.base.join(error.instance_path().as_str()) == *at => {
                Some(type_names(kind))
            }
            _ => None,
        };
        let fitting: Vec<_> = branches
            .iter()
            .filter(|errors| !errors.iter().any(|error| type_error(error).is_some()))
            .collect();
        if let [only] = fitting.as_slice() {
            return only.iter().flat_map(|error| self.problems(error)).collect();
        }
        let mut types: Vec<_> = branches
            .iter()
            .flatten()
            .filter_map(type_error)
            .flatten()
            .collect();
        types.dedup();
        let message = if fitting.is_empty() && !types.is_empty() {
            format!("'{at}' must be {}", either(&types))
        } else {
            format!("'{at}' has none of the forms that it may have")
        };
        vec![self.problem(at, message, None)]
    }

    fn simple(&self, inner: &Pointer, at: &Pointer, found: &Value, kind: &Kind) -> Problem {
        if let Kind::Required { property } = kind {
            return self.missing(inner, at, property.as_str().unwrap_or_default());
        }
        if let Kind::PropertyNames { error } = kind {
            return self.name(at, error.instance());
        }
        let mut hint = None;
        let message = match kind {
            Kind::Type { kind } => {
                if is_reference(found) {
                    hint = Some(self.reference_hint());
                }
                format!(
                    "'{at}' must be {}, not {}",
                    either(&type_names(kind)),
                    type_of(found)
                )
            }
            Kind::Enum { options } => {
                let options = strings(options);
                hint = found.as_str().and_then(|word| did_you_mean(word, &options));
                format!("'{at}' must be one of {}", quoted_list(&options))
            }
            Kind::Constant { expected_value } => format!("'{at}' must be {expected_value}"),
            Kind::Pattern { .. } | Kind::Format { .. } if self.description(inner).is_some() => {
                // The schema's author says it better than the pattern.
                hint = self.description(inner);
                format!("'{at}' has not the right form")
            }
            other => format!("'{at}' {}", limit(other)),
        };
        self.problem(at, message, hint)
    }

    fn missing(&self, inner: &Pointer, at: &Pointer, key: &str) -> Problem {
        let message = match at.to_string() {
            top if top.is_empty() => format!("missing key '{key}'"),
            table => format!("missing key '{key}' in '{table}'"),
        };
        let hint = if schema::marks_secret(self.schema, &inner.key(key)) {
            Some(format!("it is a secret: write {key} = {SECRET_FORMS}"))
        } else {
            self.description(&inner.key(key))
                .map(|description| format!("add '{key}': {description}"))
        };
        let mut problem = self.problem(at, message, hint);
        problem.missing = Some(at.key(key));
        problem
    }

    /// What the schema says of a key, as the end of a sentence.
    fn description(&self, inner: &Pointer) -> Option<String> {
        let schemas = schema::subschemas(self.schema, inner);
        let text = schemas
            .iter()
            .find_map(|schema| schema.get("description")?.as_str())?;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = text.trim_end_matches('.');
        // "The folder" begins in lower case, "SHA-256" does not.
        let is_word = text
            .chars()
            .nth(1)
            .is_some_and(|letter| !letter.is_uppercase());
        let mut letters = text.chars();
        let first = letters.next().filter(|_| is_word);
        Some(match first {
            Some(first) => first.to_lowercase().chain(letters).collect(),
            None => text.to_owned(),
        })
    }

    fn name(&self, at: &Pointer, name: &Value) -> Problem {
        let name = name.as_str().unwrap_or_default();
        let place = self.document.key_place(&at.key(name));
        let order = place.order();
        let message = format!("'{}' cannot be a name in '{at}'", name.escape_debug());
        let hint = "a name has at most 64 letters, digits, '.', '_' and '-', and begins with a letter or digit";
        Problem {
            error: Error::new(ErrorKind::InvalidConfig, message)
                .on(place)
                .hint(hint),
            order,
            missing: None,
            meant: None,
        }
    }

    fn problem(&self, at: &Pointer, message: String, hint: Option<String>) -> Problem {
        Problem {
            order: self.document.value_place(at).order(),
            error: with_hint(self.document.error(at, message), hint),
            missing: None,
            meant: None,
        }
    }
}

fn with_hint(error: Error, hint: Option<String>) -> Error {
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
