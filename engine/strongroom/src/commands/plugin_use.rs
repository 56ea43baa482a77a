//! Who uses a plugin: for each configured source or destination, what the plugin requires there and whether it is allowed.

use serde_json::{Value, json};
use strongroom_repository::Result;

use crate::config::Section;
use crate::engine::{Engine, Requirements};
use crate::render::style::Style;
use crate::render::text::clean;

/// A source or destination that uses a plugin.
pub struct User {
    section: Section,
    name: String,
    requirements: Result<Requirements>,
}

/// The sources and destinations that use `plugin`.
pub fn users(engine: &Engine, plugin: &str) -> Vec<User> {
    let model = engine.config().model();
    let sources = model.sources.iter();
    let sources = sources.map(|(name, table)| (Section::Sources, name, &table.plugin));
    let destinations = model.destinations.iter();
    let destinations = destinations.map(|(name, it)| (Section::Destinations, name, &it.plugin));
    sources
        .chain(destinations)
        .filter(|(_, _, used)| *used == plugin)
        .map(|(section, name, _)| User {
            section,
            name: name.clone(),
            requirements: engine.requirements(section, name),
        })
        .collect()
}

impl User {
    /// A heading, and a line for each requirement.
    pub fn text(&self, style: Style) -> String {
        let heading = format!("{}.{}", self.section.as_str(), self.name);
        let mut text = format!("\n{} requires\n", style.bold(&heading));
        match &self.requirements {
            Err(error) => text.push_str(&format!(
                "  cannot be told: {}\n",
                clean(&error.to_string())
            )),
            Ok(requirements) if requirements.is_empty() => text.push_str("  nothing\n"),
            Ok(requirements) => {
                for (capability, is_allowed) in requirements {
                    let what = clean(&capability.to_string()).into_owned();
                    let verdict = match is_allowed {
                        true => style.good("allowed"),
                        false => style.bad("not allowed"),
                    };
                    text.push_str(&format!("  {what}: {verdict}\n"));
                }
            }
        }
        text
    }

    /// The same as data.
    pub fn to_json(&self) -> Value {
        let (requires, error) = match &self.requirements {
            Err(error) => (Value::Null, Some(error.to_string())),
            Ok(requirements) => {
                let each = requirements.iter().map(|(capability, is_allowed)| {
                    json!({"capability": capability.to_string(), "allowed": is_allowed})
                });
                (each.collect(), None)
            }
        };
        json!({
            "section": self.section.as_str(),
            "name": self.name,
            "requires": requires,
            "error": error,
        })
    }
}
