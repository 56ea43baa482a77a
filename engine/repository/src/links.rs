//! Hard links: which files of a backup are one file under several names.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::id::Id;
use crate::tree::{Node, NodeType};

/// The first name of each file that has several.
#[derive(Default)]
pub(crate) struct HardLinks {
    seen: HashMap<(u64, u64), First>,
}

struct First {
    path: Vec<u8>,
    content: Option<Vec<Id>>,
}

impl HardLinks {
    /// The first path of the file that `node` at `path` is another name of. Device and inode alone do not tell: numbers may be given anew
    /// between two backups, so the content has to be the same too.
    pub(crate) fn first(&mut self, path: &[u8], node: &Node) -> Option<&[u8]> {
        if node.links < 2 || node.node_type != NodeType::File {
            return None;
        }
        match self.seen.entry((node.device_id, node.inode)) {
            Entry::Vacant(vacant) => {
                vacant.insert(First {
                    path: path.to_vec(),
                    content: node.content.clone(),
                });
                None
            }
            Entry::Occupied(first) => {
                let first = first.into_mut();
                (first.content == node.content).then_some(first.path.as_slice())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_file_is_a_link() {
        let node = |inode, content: &[u8]| Node {
            links: 2,
            inode,
            content: Some(vec![Id::of(content)]),
            ..Node::new("name", NodeType::File)
        };
        let mut links = HardLinks::default();
        assert_eq!(links.first(b"a", &node(1, b"one")), None);
        assert_eq!(links.first(b"b", &node(1, b"one")), Some(&b"a"[..]));
        assert_eq!(links.first(b"c", &node(1, b"other")), None);
        assert_eq!(links.first(b"d", &node(2, b"one")), None);
    }
}
