//! Storing an object so that it is there whole or not at all: temporary name, write, sync, rename, sync of the directory.

use strongroom_plugin::{Body, Result};
use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags, filesystem_error_code,
};
use wasip2::io::streams::StreamError;
use wasip2::random::random::get_random_u64;

use crate::error::failure;
use crate::folder::Folder;
use crate::key::Key;

/// Where files lie while they are written. At the top, so that listings never meet them and leftovers are found at once.
pub(crate) const TEMPORARY: &str = ".tmp";

/// Stores `body` as `key`. After an error nothing of it is left.
pub(crate) fn put(folder: &mut Folder, key: Key, body: &Body, create_only: bool) -> Result<()> {
    let fail = |code| failure(key.as_str(), code);
    // Found out again below, where nobody can come in between; here it saves writing the whole object for nothing.
    if create_only && folder.stat(key)?.is_some() {
        return Err(fail(ErrorCode::Exist));
    }
    let temporary = write(folder.root(), body).map_err(fail)?;
    let published = publish(folder, &temporary, key, create_only);
    // A rename has taken the name away; a link has not.
    let _ = folder.root().unlink_file_at(&temporary);
    published?;
    folder.sync(key.parent())
}

/// Writes the whole object under a temporary name, durably, and returns that name.
fn write(root: &Descriptor, body: &Body) -> Result<String, ErrorCode> {
    let name = format!("{TEMPORARY}/{:016x}", get_random_u64());
    let file = match create(root, &name) {
        Err(ErrorCode::NoEntry) => {
            match root.create_directory_at(TEMPORARY) {
                Ok(()) | Err(ErrorCode::Exist) => {}
                Err(code) => return Err(code),
            }
            create(root, &name)?
        }
        other => other?,
    };
    match fill(&file, body) {
        Ok(()) => Ok(name),
        Err(code) => {
            // On a full disk this is what gives the space back.
            let _ = root.unlink_file_at(&name);
            Err(code)
        }
    }
}

fn create(root: &Descriptor, name: &str) -> Result<Descriptor, ErrorCode> {
    root.open_at(
        PathFlags::empty(),
        name,
        OpenFlags::CREATE | OpenFlags::EXCLUSIVE,
        DescriptorFlags::WRITE,
    )
}

/// Has the engine copy the object into the file: the bytes never enter this program's memory.
fn fill(file: &Descriptor, body: &Body) -> Result<(), ErrorCode> {
    let input = body.stream(0).into_inner();
    let output = file.write_via_stream(0)?;
    let mut left = body.size();
    while left > 0 {
        match output.blocking_splice(&input, left) {
            Ok(bytes) => left = left.saturating_sub(bytes),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(filesystem_error_code(&error).unwrap_or(ErrorCode::Io));
            }
            Err(StreamError::Closed) => return Err(ErrorCode::Io),
        }
    }
    file.sync_data()
}

/// Gives the written file its real name.
fn publish(folder: &mut Folder, temporary: &str, key: Key, create_only: bool) -> Result<()> {
    for attempt in 0.. {
        folder.make(key.parent())?;
        let named = if create_only {
            claim(folder, temporary, key)
        } else {
            rename(folder.root(), temporary, key)
        };
        match named {
            // Somebody removed the empty directory that was there before.
            Err(ErrorCode::NoEntry) if attempt == 0 => folder.distrust(),
            other => return other.map_err(|code| failure(key.as_str(), code)),
        }
    }
    Ok(())
}

/// A link, unlike a rename, never replaces: of two that claim a key at once, one gets it.
fn claim(folder: &Folder, temporary: &str, key: Key) -> Result<(), ErrorCode> {
    let root = folder.root();
    match root.link_at(PathFlags::empty(), temporary, root, key.as_str()) {
        Err(ErrorCode::Exist) => Err(ErrorCode::Exist),
        Err(ErrorCode::NotPermitted | ErrorCode::Unsupported | ErrorCode::Io) => {
            // No hard links here (FAT, some network file systems): look, and hope that nobody comes in between.
            match folder.stat_path(key.as_str()) {
                Err(ErrorCode::NoEntry) => rename(root, temporary, key),
                Err(code) => Err(code),
                Ok(_) => Err(ErrorCode::Exist),
            }
        }
        other => other,
    }
}

fn rename(root: &Descriptor, temporary: &str, key: Key) -> Result<(), ErrorCode> {
    root.rename_at(temporary, root, key.as_str())
}
