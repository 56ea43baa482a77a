//! `--record`: what was measured goes into the documents.
//!
//! In: results. Out: `docs/bench-NAME.svg`, and in `docs/performance.md` picture and table between the marks of that benchmark. What stands around the
//! marks stays as it is.

use std::fs;
use std::path::Path;

use super::results::Results;
use super::write;
use crate::error::{Error, Result};
use crate::workspace::say;

/// Rewrites the documents below `root`.
pub(super) fn record(root: &Path, results: &Results, svg: &str) -> Result<()> {
    let page = root.join("docs/performance.md");
    let text = fs::read_to_string(&page).map_err(|e| Error::io("cannot read", &page, &e))?;
    let notes: Vec<String> = results.notes.iter().map(|it| format!("- {it}\n")).collect();
    let block = format!(
        "![{}](bench-{}.svg)\n\n{}\n\n```\n{}```\n{}",
        results.title,
        results.name,
        results.about.join("\n"),
        results.table(),
        match notes.is_empty() {
            true => String::new(),
            false => format!("\n{}", notes.concat()),
        }
    );
    let text = replaced(&text, results.name, &block)
        .ok_or_else(|| Error::new(format!("{} has no marks", page.display())))
        .map_err(|error| error.hint(format!("{} … {}", begin(results.name), END)))?;
    write(&root.join(format!("docs/bench-{}.svg", results.name)), svg)?;
    write(&page, &text)?;
    say(&format!("recorded in {}", page.display()));
    Ok(())
}

const END: &str = "<!-- end -->";

fn begin(name: &str) -> String {
    format!("<!-- bench {name} -->")
}

/// `text` with `block` between the marks of `name`; none where there are no marks.
fn replaced(text: &str, name: &str, block: &str) -> Option<String> {
    let begin = begin(name);
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{begin}\n{block}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text =
            "a\n<!-- bench many -->\nold\n<!-- end -->\nb\n<!-- bench dump -->\n<!-- end -->\n";
        let expected = text.replace("old", "new");
        let once = replaced(text, "many", "new\n");
        assert_eq!(once.as_deref(), Some(expected.as_str()));
        assert_eq!(replaced(&expected, "many", "new\n"), Some(expected.clone()));
        assert_eq!(replaced(text, "volume", "new\n"), None);
    }
}
