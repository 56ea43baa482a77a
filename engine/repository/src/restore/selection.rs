//! Which paths of a backup are meant.

/// Some paths of a tree with all that is below them, or everything.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// As [`normal`] gives them. Empty for everything.
    paths: Vec<Vec<u8>>,
}

impl Selection {
    /// `/`-separated paths relative to the tree's root; none for everything.
    pub fn new(paths: &[impl AsRef<[u8]>]) -> Self {
        let paths: Vec<_> = paths.iter().map(|path| normal(path.as_ref())).collect();
        if paths.iter().any(Vec::is_empty) {
            return Self::default();
        }
        Self { paths }
    }

    /// Whether everything is meant.
    pub fn is_all(&self) -> bool {
        self.paths.is_empty()
    }

    /// The selected paths.
    pub fn wanted(&self) -> Vec<Vec<u8>> {
        self.paths.clone()
    }

    /// Whether `path` is selected itself.
    pub fn includes(&self, path: &[u8]) -> bool {
        self.is_all() || self.paths.iter().any(|wanted| is_at_or_below(path, wanted))
    }

    /// Whether something at or below the directory `path` may be selected.
    pub fn enters(&self, path: &[u8]) -> bool {
        path.is_empty()
            || self.includes(path)
            || self.paths.iter().any(|wanted| is_at_or_below(wanted, path))
    }
}

/// A path as a tree has it, from one as people write it: `./a//b/` is `a/b`. Empty for the root.
pub fn normal(path: &[u8]) -> Vec<u8> {
    let names = path.split(|byte| *byte == b'/');
    let names: Vec<_> = names.filter(|name| !matches!(*name, b"" | b".")).collect();
    names.join(&b'/')
}

fn is_at_or_below(path: &[u8], ancestor: &[u8]) -> bool {
    path.strip_prefix(ancestor)
        .is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(selected: &[&str], path: &str, includes: bool, enters: bool) {
        let selection = Selection::new(selected);
        let found = (
            selection.includes(path.as_bytes()),
            selection.enters(path.as_bytes()),
        );
        assert_eq!(found, (includes, enters), "{selected:?} {path}");
    }

    #[test]
    fn a_path_selects_itself_and_what_is_below() {
        check(&["a/b"], "a/b", true, true);
        check(&["/a/b/"], "a/b/c", true, true);
        check(&["a/b"], "a/bc", false, false);
        check(&["a/b"], "a", false, true);
        check(&["a/b"], "", false, true);
        check(&["x", "a/b"], "a/b/c/d", true, true);
        check(&[], "anything", true, true);
        for root in ["/", ".", "./", "", ".//."] {
            check(&[root], "anything", true, true);
        }
        for path in ["./a/b", "a//b", "a/./b/", "//a/b//"] {
            check(&[path], "a/b/c", true, true);
            check(&[path], "a", false, true);
        }
    }
}
