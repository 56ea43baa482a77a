//! What the rounds say, for programs.
//!
//! In: rounds, and what they were measured on. Out: one JSON document with every round of every tool.

use std::fs;

use super::dataset::Dataset;
use super::report::{Figure, figures};
use super::rounds::Rounds;

/// Everything as JSON: the machine, the data set, and every round of every tool.
pub(crate) fn document(results: &[Rounds], dataset: &Dataset, scale: f64) -> String {
    let tools: Vec<String> = results
        .iter()
        .map(|rounds| tool_json(rounds, &figures()))
        .collect();
    format!(
        "{{\n  \"machine\": {},\n  \"dataset\": {{\"scale\": {scale}, \"files\": {}, \"bytes\": {}}},\n  \"tools\": [\n{}\n  ]\n}}\n",
        quoted(&machine()),
        dataset.files,
        dataset.bytes,
        tools.join(",\n")
    )
}

/// The machine in a few words: processors and memory.
pub(crate) fn machine() -> String {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model =
        field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
        .map_or(String::new(), |kib| {
            format!(", {:.0} GB of memory", kib as f64 * 1024.0 / 1e9)
        });
    format!("{cores} cores of {model}{memory}")
}

fn tool_json(rounds: &Rounds, figures: &[Figure]) -> String {
    let object = |value: &dyn Fn(&Figure) -> f64| {
        let fields: Vec<String> = figures
            .iter()
            .map(|f| format!("{}: {:.4}", quoted(&f.key), value(f)))
            .collect();
        format!("{{{}}}", fields.join(", "))
    };
    let each: Vec<String> = rounds
        .rounds
        .iter()
        .map(|round| format!("       {}", object(&|f| f.of(round))))
        .collect();
    format!(
        "    {{\"tool\": {},\n     \"median\": {},\n     \"rounds\": [\n{}]}}",
        quoted(&rounds.tool),
        object(&|figure| figure.median(rounds)),
        each.join(",\n")
    )
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_string_is_escaped() {
        assert_eq!(quoted("a \"b\" \\ \n"), r#""a \"b\" \\  ""#);
    }
}
