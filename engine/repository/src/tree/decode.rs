//! The bytes of a tree blob in, checked nodes out.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::quote::unquote;
use super::{ExtendedAttribute, FileTime, Node, NodeType, Tree, check_name, check_order};
use crate::absent::null_is_default;
use crate::{Error, Id, Result};

pub(super) fn tree(bytes: &[u8]) -> Result<Tree> {
    let tree: TreeJson = serde_json::from_slice(bytes)
        .map_err(|error| Error::corrupted(format!("tree cannot be read: {error}")))?;
    Ok(Tree {
        nodes: tree.nodes.map_or_else(Vec::new, |nodes| nodes.0),
    })
}

#[derive(Deserialize)]
struct TreeJson {
    // Go prints null for a list that was never made.
    nodes: Option<Nodes>,
}

/// Converts node by node, so that a large tree is in memory only once.
struct Nodes(Vec<Node>);

impl<'de> Deserialize<'de> for Nodes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Nodes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of nodes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Nodes, A::Error> {
                let mut nodes: Vec<Node> = Vec::new();
                let mut names = Names::default();
                while let Some(json) = list.next_element::<NodeJson<'de>>()? {
                    let node = json.convert(&mut names).map_err(A::Error::custom)?;
                    let previous = nodes.last().map_or(&[][..], |node| &node.name);
                    check_order(previous, &node.name).map_err(A::Error::custom)?;
                    nodes.push(node);
                }
                Ok(Nodes(nodes))
            }
        }

        deserializer.deserialize_seq(List)
    }
}

/// Most nodes of a tree have the owner of the one before: its name is shared.
#[derive(Default)]
struct Names {
    user: Arc<str>,
    group: Arc<str>,
}

fn share(last: &mut Arc<str>, name: &str) -> Arc<str> {
    if **last != *name {
        *last = name.into();
    }
    Arc::clone(last)
}

/// Go's, which stands for one that was not written.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

#[derive(Deserialize)]
#[serde(default)]
struct NodeJson<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, rename = "type")]
    node_type: Text<'a>,
    #[serde(deserialize_with = "null_is_default")]
    mode: u32,
    #[serde(borrow)]
    mtime: Text<'a>,
    #[serde(borrow)]
    atime: Text<'a>,
    #[serde(borrow)]
    ctime: Text<'a>,
    #[serde(deserialize_with = "null_is_default")]
    uid: u32,
    #[serde(deserialize_with = "null_is_default")]
    gid: u32,
    #[serde(borrow)]
    user: Text<'a>,
    #[serde(borrow)]
    group: Text<'a>,
    #[serde(deserialize_with = "null_is_default")]
    inode: u64,
    #[serde(deserialize_with = "null_is_default")]
    device_id: u64,
    #[serde(deserialize_with = "null_is_default")]
    size: u64,
    #[serde(deserialize_with = "null_is_default")]
    links: u64,
    #[serde(borrow)]
    linktarget: Text<'a>,
    #[serde(borrow)]
    linktarget_raw: Text<'a>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    extended_attributes: Vec<AttributeJson<'a>>,
    #[serde(borrow)]
    generic_attributes: Option<&'a RawValue>,
    #[serde(deserialize_with = "null_is_default")]
    device: u64,
    content: Option<Vec<HexId>>,
    subtree: Option<HexId>,
    #[serde(borrow)]
    error: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AttributeJson<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    // rustic leaves an empty one out, and Go prints null for it.
    #[serde(borrow)]
    value: Text<'a>,
}

impl NodeJson<'_> {
    fn convert(self, names: &mut Names) -> Result<Node> {
        let name = unquote(&self.name).ok_or_else(|| {
            Error::corrupted(format!(
                "name '{}' is wrongly quoted",
                self.name.escape_debug()
            ))
        })?;
        check_name(&name)?;
        let shown = || name.escape_ascii();
        let node_type = NodeType::from_name(&self.node_type).ok_or_else(|| {
            let node_type = self.node_type.escape_debug();
            Error::corrupted(format!(
                "node '{}' is of unknown type '{node_type}'",
                shown()
            ))
        })?;
        let time = |text: &str| {
            // What null was read as.
            let text = if text.is_empty() { ZERO_TIME } else { text };
            FileTime::parse(text.as_bytes()).ok_or_else(|| {
                Error::corrupted(format!(
                    "node '{}' has a wrong time '{}'",
                    shown(),
                    text.escape_debug()
                ))
            })
        };
        let base64 = |text: &str| {
            STANDARD.decode(text).map_err(|error| {
                Error::corrupted(format!("node '{}' has wrong base64: {error}", shown()))
            })
        };
        let linktarget = match self.linktarget_raw.is_empty() {
            true => self.linktarget.as_bytes().to_vec(),
            false => base64(&self.linktarget_raw)?,
        };
        let mut extended_attributes = Vec::with_capacity(self.extended_attributes.len());
        for attribute in &self.extended_attributes {
            extended_attributes.push(ExtendedAttribute {
                name: attribute.name.as_bytes().to_vec(),
                value: base64(&attribute.value)?,
            });
        }
        Ok(Node {
            node_type,
            mode: self.mode,
            mtime: time(&self.mtime)?,
            atime: time(&self.atime)?,
            ctime: time(&self.ctime)?,
            uid: self.uid,
            gid: self.gid,
            user: share(&mut names.user, &self.user),
            group: share(&mut names.group, &self.group),
            inode: self.inode,
            device_id: self.device_id,
            size: self.size,
            links: self.links,
            linktarget,
            extended_attributes,
            generic_attributes: self
                .generic_attributes
                .map(|json| json.get().as_bytes().into()),
            device: self.device,
            content: self
                .content
                .map(|content| content.into_iter().map(|id| id.0).collect()),
            subtree: self.subtree.map(|id| id.0),
            error: self.error.0.into_owned(),
            name,
        })
    }
}

impl Default for NodeJson<'_> {
    /// Go's zero values, which it takes for absent fields; its zero time is the beginning of year 1.
    fn default() -> Self {
        let zero_time = || Text(Cow::Borrowed(ZERO_TIME));
        Self {
            name: Text::default(),
            node_type: Text::default(),
            mode: 0,
            mtime: zero_time(),
            atime: zero_time(),
            ctime: zero_time(),
            uid: 0,
            gid: 0,
            user: Text::default(),
            group: Text::default(),
            inode: 0,
            device_id: 0,
            size: 0,
            links: 0,
            linktarget: Text::default(),
            linktarget_raw: Text::default(),
            extended_attributes: Vec::new(),
            generic_attributes: None,
            device: 0,
            content: None,
            subtree: None,
            error: Text::default(),
        }
    }
}

/// A string, borrowed from the blob unless it holds escapes; null is the empty one, as in Go.
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }
        }

        deserializer.deserialize_any(TextVisitor)
    }
}

/// An id, read without an allocation: trees of large files hold little else.
struct HexId(Id);

impl<'de> Deserialize<'de> for HexId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;

        impl Visitor<'_> for IdVisitor {
            type Value = HexId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id of 64 hex digits")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<HexId, E> {
                parse_id(text.as_bytes()).map(HexId).ok_or_else(|| {
                    E::custom(format!(
                        "'{}' is no id of 64 hex digits",
                        text.escape_debug()
                    ))
                })
            }
        }

        deserializer.deserialize_str(IdVisitor)
    }
}

fn parse_id(text: &[u8]) -> Option<Id> {
    if text.len() != 64 {
        return None;
    }
    let mut id = [0; 32];
    let mut invalid = 0;
    for (byte, pair) in id.iter_mut().zip(text.chunks_exact(2)) {
        let (high, low) = (nibble(pair[0]), nibble(pair[1]));
        invalid |= high | low;
        *byte = high << 4 | low & 15;
    }
    (invalid < 16).then(|| Id::from_bytes(id))
}

/// The value of a lower-case hex digit, or 255.
fn nibble(digit: u8) -> u8 {
    const VALUES: [u8; 256] = {
        let mut values = [255; 256];
        let mut value = 0;
        while value < 16 {
            values[b"0123456789abcdef"[value as usize] as usize] = value;
            value += 1;
        }
        values
    };
    VALUES[usize::from(digit)]
}
