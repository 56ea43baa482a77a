//! A volume, or some paths of it, as one tar archive, written as a stream: `manifest.json` first, then everything in path order below a folder
//! named after the source. Sockets, which no archive can hold, are left out.

use std::io::{self, BufWriter, Read, Seek, Write};
use std::sync::Arc;

use ::tar::{Builder, EntryType, Header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::contents::{Contents, Found};
use crate::id::{Id, hex};
use crate::links::HardLinks;
use crate::prefetch::Prefetch;
use crate::progress::Progress;
use crate::restore::Selection;
use crate::source::Summary;
use crate::tree::{FileTime, Node, NodeType};
use crate::{Error, Result};

/// Bytes of a link's target that a header holds.
const LINK_NAME: usize = 100;
/// The name of an entry that holds a longer one.
const LONG_LINK: &[u8] = b"././@LongLink";

/// The name of the first member.
pub const MANIFEST: &str = "manifest.json";

/// One member, as the manifest lists it. Field order is the order in the file.
#[derive(Serialize)]
struct Member<'a> {
    /// Bytes that are no UTF-8 are replaced; `path_base64` then has all of them.
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    r#type: &'static str,
    size: u64,
    /// Permissions in octal.
    mode: String,
    modified: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

/// Writes what is selected of `contents` as a tar archive. Content is read twice only where a file has several chunks: its hash stands before it.
pub fn write_tar(
    contents: &Contents,
    selection: &Selection,
    out: impl Write,
    progress: &Progress,
) -> Result<Summary> {
    progress.step("hashing");
    let mut manifest = tempfile::tempfile().map_err(|error| Error::io("temporary file", error))?;
    let expected = write_manifest(contents, selection, &mut manifest, progress)?;
    progress.step("writing the archive");
    progress.begin_part();
    progress.expect(Some(expected.bytes), Some(expected.files));
    let mut archive = Archive {
        builder: Builder::new(BufWriter::with_capacity(1 << 20, out)),
        links: HardLinks::default(),
        content: Content::new(contents, selection),
        contents,
    };
    archive.manifest(&mut manifest)?;
    let mut summary = Summary::default();
    for found in members(contents, selection) {
        progress.check_cancelled()?;
        let found = found?;
        archive
            .member(&found)
            .map_err(|error| error.on(lossy(&found.path)))?;
        if found.node.node_type != NodeType::Dir {
            summary.files += 1;
            summary.bytes += found.node.size;
            progress.advance(found.node.size, 1);
        }
    }
    let written = |error| Error::io("cannot write the archive", error);
    let out = archive.builder.into_inner().map_err(written)?;
    out.into_inner()
        .map_err(|error| written(error.into_error()))?
        .flush()
        .map_err(written)?;
    Ok(summary)
}

/// All that goes into the archive: the source's directory under its own name, so that nothing in it is taken for the manifest.
fn members(contents: &Contents, selection: &Selection) -> impl Iterator<Item = Result<Found>> {
    let name = match contents.manifest() {
        Some(manifest) => manifest.source.clone(),
        None => format!("snapshot-{}", contents.id().short()),
    };
    contents
        .walk_selected(contents.root().clone(), selection)
        .filter_map(move |found| match found {
            Err(error) => Some(Err(error)),
            Ok(found) => match found.node.node_type {
                NodeType::Socket | NodeType::Irregular => None,
                _ => {
                    let path = match found.path.as_slice() {
                        [] => name.clone().into_bytes(),
                        below => [name.as_bytes(), below].join(&b'/'),
                    };
                    Some(Ok(Found {
                        path,
                        node: found.node,
                    }))
                }
            },
        })
}

fn write_manifest(
    contents: &Contents,
    selection: &Selection,
    out: &mut (impl Write + Seek),
    progress: &Progress,
) -> Result<Summary> {
    let write_error = |error| Error::io("cannot write the manifest", error);
    let mut hashes = LargeFileHashes::new(contents, selection);
    let mut writer = BufWriter::new(out);
    let head = serde_json::json!({
        "backup": contents.manifest().map(|manifest| &manifest.run),
        "source": contents.manifest().map(|manifest| &manifest.source),
        "snapshot": contents.id(),
    })
    .to_string();
    let mut summary = Summary::default();
    write!(writer, "{},\"files\":[", head.trim_end_matches('}')).map_err(write_error)?;
    let mut separator = "\n";
    for found in members(contents, selection) {
        progress.check_cancelled()?;
        let Found { path, node } = found?;
        let sha256 = match node.content.as_deref() {
            None => None,
            Some([]) => Some(Id::of(b"").to_string()),
            // The id of a blob is the SHA-256 of its content.
            Some([only]) => Some(only.to_string()),
            Some(several) => Some(hashes.next(several.len())?),
        };
        if node.node_type != NodeType::Dir {
            summary.files += 1;
            summary.bytes += node.size;
        }
        let text = lossy(&path);
        let member = Member {
            path: &text,
            path_base64: std::str::from_utf8(&path)
                .is_err()
                .then(|| BASE64.encode(&path)),
            r#type: node.node_type.as_str(),
            size: node.size,
            mode: format!("{:04o}", node.permissions()),
            modified: node.mtime.to_string(),
            sha256,
        };
        let json = serde_json::to_string(&member).unwrap_or_default();
        write!(writer, "{separator}{json}").map_err(write_error)?;
        separator = ",\n";
    }
    writer
        .write_all(b"\n]}\n")
        .and_then(|()| writer.flush())
        .map_err(write_error)?;
    Ok(summary)
}

type Ids = Box<dyn Iterator<Item = Result<Id>>>;

/// The ids of all files' chunks in path order; only of files with at least `min_chunks`.
fn chunk_ids(contents: &Contents, selection: &Selection, min_chunks: usize) -> Ids {
    Box::new(
        contents
            .walk_selected(contents.root().clone(), selection)
            .flat_map(move |found| {
                let ids: Vec<Result<Id>> = match found {
                    Err(error) => vec![Err(error)],
                    Ok(found) => match found.node.content {
                        Some(content) if content.len() >= min_chunks => {
                            content.into_iter().map(Ok).collect()
                        }
                        _ => Vec::new(),
                    },
                };
                ids
            }),
    )
}

/// Hashes of files with several chunks, in path order.
struct LargeFileHashes(Prefetch<Ids>);

impl LargeFileHashes {
    fn new(contents: &Contents, selection: &Selection) -> Self {
        Self(Prefetch::new(
            Arc::clone(contents.reader()),
            chunk_ids(contents, selection, 2),
        ))
    }

    fn next(&mut self, chunks: usize) -> Result<String> {
        let mut sha256 = Sha256::new();
        for chunk in self.0.by_ref().take(chunks) {
            sha256.update(chunk?);
        }
        Ok(hex(&sha256.finalize()))
    }
}

/// The content of all files, in path order.
struct Content {
    chunks: Prefetch<Ids>,
    /// Of the file in hand.
    remaining: usize,
    chunk: Vec<u8>,
    position: usize,
}

impl Content {
    fn new(contents: &Contents, selection: &Selection) -> Self {
        let ids = chunk_ids(contents, selection, 1);
        let chunks = Prefetch::new(Arc::clone(contents.reader()), ids);
        Self {
            chunks,
            remaining: 0,
            chunk: Vec::new(),
            position: 0,
        }
    }

    fn begin(&mut self, chunks: usize) {
        self.remaining = chunks;
        self.chunk.clear();
        self.position = 0;
    }

    fn skip(&mut self, chunks: usize) -> Result<()> {
        self.chunks
            .by_ref()
            .take(chunks)
            .try_for_each(|chunk| chunk.map(drop))
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.chunk.len() && self.remaining > 0 {
            self.remaining -= 1;
            self.chunk = self
                .chunks
                .next()
                .transpose()
                .map_err(io::Error::other)?
                .unwrap_or_default();
            self.position = 0;
        }
        let mut rest = self.chunk.get(self.position..).unwrap_or_default();
        let count = rest.read(buffer)?;
        self.position += count;
        Ok(count)
    }
}

struct Archive<'c, W: Write> {
    contents: &'c Contents,
    builder: Builder<W>,
    links: HardLinks,
    content: Content,
}

impl<W: Write> Archive<'_, W> {
    fn manifest(&mut self, file: &mut (impl Read + Seek)) -> Result<()> {
        let append = |builder: &mut Builder<W>| {
            let size = file.seek(io::SeekFrom::End(0))?;
            file.rewind()?;
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o644);
            header.set_size(size);
            header.set_mtime(u64::try_from(FileTime::now().seconds).unwrap_or(0));
            builder.append_data(&mut header, MANIFEST, file)
        };
        append(&mut self.builder).map_err(|error| Error::io("cannot write the archive", error))
    }

    fn member(&mut self, found: &Found) -> Result<()> {
        let node = &found.node;
        let chunks = node.content.as_ref().map_or(0, Vec::len);
        self.contents.reader().check_content(node)?;
        let linked = self.links.first(&found.path, node).map(<[u8]>::to_vec);
        let append = |archive: &mut Self| {
            let mut header = header_of(node);
            archive.extensions(node)?;
            let path = path_of(&found.path);
            if let Some(first) = &linked {
                header.set_entry_type(EntryType::Link);
                header.set_size(0);
                return archive
                    .builder
                    .append_link(&mut header, path, path_of(first));
            }
            match node.node_type {
                NodeType::Symlink => {
                    archive.link_target(&mut header, &node.linktarget)?;
                    archive.builder.append_data(&mut header, path, io::empty())
                }
                _ => {
                    archive.content.begin(chunks);
                    let content = (&mut archive.content).take(node.size);
                    archive.builder.append_data(&mut header, path, content)
                }
            }
        };
        append(self).map_err(unwrap_error)?;
        if linked.is_some() {
            self.content.skip(chunks)
        } else {
            Ok(())
        }
    }

    /// Byte for byte, as a link may lead to `./a//b/`, in an entry before it where it is too long for the header.
    fn link_target(&mut self, header: &mut Header, target: &[u8]) -> io::Result<()> {
        let short = target.get(..LINK_NAME).unwrap_or(target);
        header.set_link_name_literal(short)?;
        if short.len() == target.len() {
            return Ok(());
        }
        let mut long = Header::new_gnu();
        if let Some(name) = long.as_old_mut().name.get_mut(..LONG_LINK.len()) {
            name.copy_from_slice(LONG_LINK);
        }
        long.set_entry_type(EntryType::GNULongLink);
        long.set_mode(0o644);
        long.set_uid(0);
        long.set_gid(0);
        long.set_mtime(0);
        long.set_size(target.len() as u64 + 1);
        long.set_cksum();
        self.builder.append(&long, target.chain(&[0][..]))
    }

    /// What the classic header cannot say: nanoseconds and extended attributes.
    fn extensions(&mut self, node: &Node) -> io::Result<()> {
        let mtime = node.mtime;
        let time = (mtime.nanoseconds != 0 || mtime.seconds < 0).then(|| decimal(mtime));
        let mut records: Vec<(String, Vec<u8>)> = Vec::new();
        records.extend(time.map(|time| ("mtime".to_owned(), time.into_bytes())));
        for attribute in &node.extended_attributes {
            if let Ok(name) = std::str::from_utf8(&attribute.name) {
                // As GNU tar has it: a '=' would end the name.
                let name = name.replace('%', "%25").replace('=', "%3D");
                records.push((format!("SCHILY.xattr.{name}"), attribute.value.clone()));
            }
        }
        if records.is_empty() {
            return Ok(());
        }
        let records = records
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_slice()));
        self.builder.append_pax_extensions(records)
    }
}

fn header_of(node: &Node) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(match node.node_type {
        NodeType::Dir => EntryType::Directory,
        NodeType::Symlink => EntryType::Symlink,
        NodeType::Dev => EntryType::Block,
        NodeType::CharDev => EntryType::Char,
        NodeType::Fifo => EntryType::Fifo,
        NodeType::File | NodeType::Socket | NodeType::Irregular => EntryType::Regular,
    });
    header.set_size(if node.node_type == NodeType::File {
        node.size
    } else {
        0
    });
    header.set_mode(node.permissions());
    header.set_mtime(u64::try_from(node.mtime.seconds).unwrap_or(0));
    header.set_uid(node.uid.into());
    header.set_gid(node.gid.into());
    // Names that do not fit are left to the numbers.
    let _ = header.set_username(&node.user);
    let _ = header.set_groupname(&node.group);
    if matches!(node.node_type, NodeType::Dev | NodeType::CharDev) {
        let _ = header.set_device_major(rustix::fs::major(node.device));
        let _ = header.set_device_minor(rustix::fs::minor(node.device));
    }
    header
}

/// Seconds as pax writes them.
fn decimal(time: FileTime) -> String {
    let nanoseconds = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let positive = nanoseconds.unsigned_abs();
    format!(
        "{sign}{}.{:09}",
        positive / 1_000_000_000,
        positive % 1_000_000_000
    )
}

fn path_of(bytes: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt;
    std::path::Path::new(std::ffi::OsStr::from_bytes(bytes))
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// Our own error, where the archive was stopped by one.
fn unwrap_error(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(own) => own,
        Err(error) => Error::io("cannot write the archive", error),
    }
}
