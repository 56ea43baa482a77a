//! Finding: a pattern and one backup after another in, the entries that match out. A directory that several backups have unchanged is
//! read and searched once.

use std::collections::HashMap;
use std::rc::Rc;

use crate::contents::{Contents, joined};
use crate::exclude::Matcher;
use crate::id::Id;
use crate::progress::Progress;
use crate::time::Time;
use crate::tree::{Node, NodeType};
use crate::{Error, ErrorKind, Result};

/// Something that was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Relative to the source.
    pub path: Vec<u8>,
    /// What it is.
    pub entry: HitEntry,
}

/// What is shown of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HitEntry {
    /// What it is.
    pub node_type: NodeType,
    /// Bytes of a file.
    pub size: Option<u64>,
    /// When its content was last changed.
    pub modified: Time,
}

/// Searches backups for one pattern.
pub struct Finder {
    matcher: Matcher,
    /// What is known of trees: of each one alone, or of each one at a path where the pattern names paths.
    known: HashMap<(Id, Vec<u8>), Rc<Branch>>,
}

/// What matches at and below one directory, in path order. What has nothing is left out.
type Branch = Vec<Twig>;

struct Twig {
    name: Vec<u8>,
    hit: Option<HitEntry>,
    below: Option<Rc<Branch>>,
}

/// A directory that is being searched.
struct Open {
    key: (Id, Vec<u8>),
    path: Vec<u8>,
    /// Those that were not looked at yet, the next one last.
    nodes: Vec<Node>,
    branch: Branch,
    /// Its own place in the directory above.
    name: Vec<u8>,
    hit: Option<HitEntry>,
}

impl Finder {
    /// For a pattern in the syntax of `.gitignore`: without a slash it is compared with names, else with paths relative to the source; one
    /// that ends in a slash finds directories only.
    pub fn new(pattern: &str) -> Result<Self> {
        let matcher = Matcher::parse(pattern.as_bytes()).map_err(|reason| {
            Error::new(
                ErrorKind::InvalidConfig,
                format!("the pattern '{}' {reason}", pattern.escape_debug()),
            )
            .hint("write '*.jpg' for names, 'photos/**/*.jpg' for paths; a backslash makes the next character literal")
        })?;
        Ok(Self {
            matcher,
            known: HashMap::new(),
        })
    }

    /// What matches in a backup, in path order.
    pub fn search(&mut self, contents: &Contents, progress: &Progress) -> Result<Vec<Hit>> {
        let Some(root) = contents.root().subtree else {
            return Ok(Vec::new());
        };
        let branch = self.branch(contents, root, progress)?;
        Ok(flattened(&branch))
    }

    fn branch(&mut self, contents: &Contents, root: Id, progress: &Progress) -> Result<Rc<Branch>> {
        let key = self.key(root, &[]);
        if let Some(known) = self.known.get(&key) {
            return Ok(Rc::clone(known));
        }
        let mut open = vec![Open::read(contents, key, Vec::new(), Vec::new(), None)?];
        while let Some(mut directory) = open.pop() {
            progress.check_cancelled()?;
            let Some(node) = directory.nodes.pop() else {
                let branch = Rc::new(directory.branch);
                self.known.insert(directory.key, Rc::clone(&branch));
                match open.last_mut() {
                    None => return Ok(branch),
                    Some(above) => above.add(directory.name, directory.hit, Some(branch)),
                }
                continue;
            };
            let path = joined(&directory.path, &node.name);
            let is_directory = node.node_type == NodeType::Dir;
            let matches = self.matcher.matches(&path, &node.name, is_directory);
            let hit = matches.then(|| HitEntry::of(&node));
            let below = node.subtree.map(|subtree| self.key(subtree, &path));
            match below.map(|key| (self.known.get(&key).cloned(), key)) {
                None => directory.add(node.name, hit, None),
                Some((Some(known), _)) => directory.add(node.name, hit, Some(known)),
                Some((None, key)) => {
                    open.push(directory);
                    open.push(Open::read(contents, key, path, node.name, hit)?);
                    continue;
                }
            }
            open.push(directory);
        }
        Ok(Rc::default())
    }

    fn key(&self, tree: Id, path: &[u8]) -> (Id, Vec<u8>) {
        match self.matcher.is_anchored() {
            true => (tree, path.to_vec()),
            false => (tree, Vec::new()),
        }
    }
}

impl HitEntry {
    fn of(node: &Node) -> Self {
        Self {
            node_type: node.node_type,
            size: (node.node_type == NodeType::File).then_some(node.size),
            modified: Time::of_file(node.mtime),
        }
    }
}

impl Open {
    fn read(
        contents: &Contents,
        key: (Id, Vec<u8>),
        path: Vec<u8>,
        name: Vec<u8>,
        hit: Option<HitEntry>,
    ) -> Result<Self> {
        let mut nodes = contents
            .reader()
            .tree(&key.0)
            .map_err(|error| error.on(format!("/{}", String::from_utf8_lossy(&path))))?
            .nodes;
        nodes.reverse();
        Ok(Self {
            key,
            path,
            nodes,
            branch: Branch::new(),
            name,
            hit,
        })
    }

    fn add(&mut self, name: Vec<u8>, hit: Option<HitEntry>, below: Option<Rc<Branch>>) {
        let below = below.filter(|branch| !branch.is_empty());
        if hit.is_some() || below.is_some() {
            self.branch.push(Twig { name, hit, below });
        }
    }
}

fn flattened(branch: &Branch) -> Vec<Hit> {
    let mut hits = Vec::new();
    let mut open: Vec<(Vec<u8>, &Twig)> = branch
        .iter()
        .rev()
        .map(|twig| (twig.name.clone(), twig))
        .collect();
    while let Some((path, twig)) = open.pop() {
        if let Some(below) = &twig.below {
            open.extend(
                below
                    .iter()
                    .rev()
                    .map(|twig| (joined(&path, &twig.name), twig)),
            );
        }
        if let Some(entry) = twig.hit {
            hits.push(Hit { path, entry });
        }
    }
    hits
}
