//! Nodes in, the bytes of a tree blob out: written straight into one buffer, since trees of small files are a large part of a backup.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::quote::{push_name, push_string};
use super::{Node, check_name, check_order};
use crate::{Id, Result};

/// Prints a tree node by node into a buffer that may be used again.
#[derive(Debug)]
pub struct TreeEncoder {
    out: Vec<u8>,
    last_name: Vec<u8>,
}

impl TreeEncoder {
    /// Begins a tree. `buffer` is cleared; what it has allocated is used.
    pub fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.extend_from_slice(b"{\"nodes\":[");
        Self {
            out: buffer,
            last_name: Vec::new(),
        }
    }

    /// Appends a node. Its name must be a possible file name and greater than the last one, byte by byte;
    /// else it fails with [`ErrorKind::Corrupted`](crate::ErrorKind::Corrupted) and nothing is appended.
    pub fn push(&mut self, node: &Node) -> Result<()> {
        check_name(&node.name)?;
        check_order(&self.last_name, &node.name)?;
        if !self.last_name.is_empty() {
            self.out.push(b',');
        }
        self.last_name.clear();
        self.last_name.extend_from_slice(&node.name);
        push_node(&mut self.out, node);
        Ok(())
    }

    /// Bytes so far.
    pub fn size(&self) -> usize {
        self.out.len()
    }

    /// Ends the tree and gives its bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(b"]}\n");
        self.out
    }
}

/// The order of the fields, and which are left out when empty, is that of restic's `Node`.
fn push_node(out: &mut Vec<u8>, node: &Node) {
    out.extend_from_slice(b"{\"name\":");
    push_name(out, &node.name);
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(node.node_type.as_str().as_bytes());
    out.push(b'"');
    push_number(out, b",\"mode\":", u64::from(node.mode));
    out.extend_from_slice(b",\"mtime\":\"");
    node.mtime.push(out);
    out.extend_from_slice(b"\",\"atime\":\"");
    node.atime.push(out);
    out.extend_from_slice(b"\",\"ctime\":\"");
    node.ctime.push(out);
    out.extend_from_slice(b"\",\"uid\":");
    push_digits(out, u64::from(node.uid));
    out.extend_from_slice(b",\"gid\":");
    push_digits(out, u64::from(node.gid));
    push_text(out, b",\"user\":", node.user.as_bytes());
    push_text(out, b",\"group\":", node.group.as_bytes());
    push_number(out, b",\"inode\":", node.inode);
    push_number(out, b",\"device_id\":", node.device_id);
    push_number(out, b",\"size\":", node.size);
    push_number(out, b",\"links\":", node.links);
    push_text(out, b",\"linktarget\":", &node.linktarget);
    if std::str::from_utf8(&node.linktarget).is_err() {
        out.extend_from_slice(b",\"linktarget_raw\":");
        push_base64(out, &node.linktarget);
    }
    push_extended_attributes(out, node);
    if let Some(generic_attributes) = &node.generic_attributes {
        out.extend_from_slice(b",\"generic_attributes\":");
        out.extend_from_slice(generic_attributes);
    }
    push_number(out, b",\"device\":", node.device);
    push_content(out, node.content.as_deref());
    if let Some(subtree) = &node.subtree {
        out.extend_from_slice(b",\"subtree\":");
        push_id(out, subtree);
    }
    push_text(out, b",\"error\":", node.error.as_bytes());
    out.push(b'}');
}

fn push_extended_attributes(out: &mut Vec<u8>, node: &Node) {
    let mut separator: &[u8] = b",\"extended_attributes\":[";
    for attribute in &node.extended_attributes {
        out.extend_from_slice(separator);
        out.extend_from_slice(b"{\"name\":");
        push_string(out, &attribute.name);
        out.extend_from_slice(b",\"value\":");
        push_base64(out, &attribute.value);
        out.push(b'}');
        separator = b",";
    }
    if !node.extended_attributes.is_empty() {
        out.push(b']');
    }
}

fn push_content(out: &mut Vec<u8>, content: Option<&[Id]>) {
    let Some(content) = content else {
        out.extend_from_slice(b",\"content\":null");
        return;
    };
    out.extend_from_slice(b",\"content\":[");
    for (position, id) in content.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        push_id(out, id);
    }
    out.push(b']');
}

/// A string field with its key, left out when empty.
fn push_text(out: &mut Vec<u8>, key: &[u8], text: &[u8]) {
    if !text.is_empty() {
        out.extend_from_slice(key);
        push_string(out, text);
    }
}

/// A number field with its key, left out when 0.
fn push_number(out: &mut Vec<u8>, key: &[u8], number: u64) {
    if number != 0 {
        out.extend_from_slice(key);
        push_digits(out, number);
    }
}

fn push_digits(out: &mut Vec<u8>, mut number: u64) {
    let mut text = [0; 20];
    let mut start = text.len();
    loop {
        start -= 1;
        text[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[start..]);
}

fn push_id(out: &mut Vec<u8>, id: &Id) {
    let mut text = [b'"'; 66];
    for (pair, byte) in text[1..65].chunks_exact_mut(2).zip(id.as_bytes()) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    out.extend_from_slice(&text);
}

fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}
