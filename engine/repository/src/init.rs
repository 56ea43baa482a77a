//! Making a repository: an empty destination and a password go in, and a repository comes out, or nothing that counts as one.

use std::sync::Arc;

use bytes::Bytes;

use crate::config::RepositoryConfig;
use crate::crypto::MasterKey;
use crate::destination::{Body, Content, Destination, PutOptions};
use crate::file::FileType;
use crate::identity::Identity;
use crate::keys::{self, RECOVERY_USERNAME};
use crate::machine::ThisMachine;
use crate::object::{self, Listed};
use crate::polynomial::Polynomial;
use crate::recovery_key::RecoveryKey;
use crate::repository::{CONFIG_KEY, Repository, cannot_be_written};
use crate::{Error, ErrorKind, Result};

/// How to make a repository.
#[derive(Debug, Clone, Copy, Default)]
pub struct InitOptions<'a> {
    /// Opens the repository.
    pub password: &'a str,
    /// A second password, to be kept off the machine.
    pub recovery_key: Option<&'a RecoveryKey>,
    /// The other repositories' polynomial, so that one chunking serves them all; a random one otherwise.
    pub polynomial: Option<Polynomial>,
}

/// How to restore without this program, at the top of every repository.
pub const README_KEY: &str = "README-RESTORE.txt";

pub(crate) const README: &[u8] = include_bytes!("README-RESTORE.txt");

impl Repository {
    /// Makes a repository: keys first and `config` last, so that nothing counts as a repository before it is one.
    ///
    /// Fails with [`ErrorKind::AlreadyExists`] where there is one.
    pub fn init(destination: Arc<dyn Destination>, options: InitOptions<'_>) -> Result<Self> {
        Self::make(destination, options).map_err(|error| match error.kind() {
            // The destination's own hint is to remove backups, of which there are none.
            ErrorKind::OutOfSpace => error.hint("make room there, or choose another place"),
            _ => error,
        })
    }

    fn make(destination: Arc<dyn Destination>, options: InitOptions<'_>) -> Result<Self> {
        let name = destination.name().to_owned();
        let name = name.as_str();
        let already = || {
            Error::new(
                ErrorKind::AlreadyExists,
                format!("destination {name} holds a repository already"),
            )
        };
        if Self::exists(&*destination)? {
            return Err(already());
        }
        remove_leftovers(&*destination)?;

        let config = RepositoryConfig::new(options.polynomial.unwrap_or_else(Polynomial::random));
        let key = MasterKey::generate();
        let username = Identity::current().username;
        let key_id = keys::add(&*destination, &key, options.password, &username)?.id;
        if let Some(recovery_key) = options.recovery_key {
            keys::add(
                &*destination,
                &key,
                recovery_key.as_str(),
                RECOVERY_USERNAME,
            )?;
        }
        let json = serde_json::to_vec(&config).map_err(cannot_be_written)?;
        put(&*destination, CONFIG_KEY, key.seal(&json)).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => already(),
            _ => error,
        })?;
        put(&*destination, README_KEY, README).or_else(|error| match error.kind() {
            ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        })?;
        let repository = Self {
            destination,
            config,
            key,
            key_id,
            machine: Arc::new(ThisMachine),
        };
        // Two that start at once may have taken each other's keys for leftovers.
        object::load(repository.destination(), FileType::Key, &key_id).map_err(|error| {
            error.hint(format!(
                "was {name} made twice at the same time? empty it and make it again"
            ))
        })?;
        repository.keep_reserve();
        Ok(repository)
    }
}

/// Removes the keys that an [`init`](Repository::init) left behind that never got to its end: restic would try them, and fail. Refuses
/// where anything else was stored, because then a `config` has been lost, and the keys may be needed to save the rest.
fn remove_leftovers(destination: &dyn Destination) -> Result<()> {
    let name = destination.name();
    for file_type in [FileType::Snapshot, FileType::Index, FileType::Pack] {
        let listing = object::list(destination, file_type)?;
        if !listing.objects.is_empty() {
            return Err(Error::corrupted(format!(
                "destination {name} holds backups, but the config of their repository is missing"
            ))
            .hint("get the file 'config' back from a copy of the repository, or choose an empty place"));
        }
    }
    for Listed { id, .. } in object::list(destination, FileType::Key)?.objects {
        destination
            .delete(&FileType::Key.key(&id))
            .map_err(|error| error.or_on(format_args!("destination {name}")))?;
    }
    Ok(())
}

fn put(destination: &dyn Destination, key: &str, content: impl Into<Bytes>) -> Result<()> {
    let options = PutOptions {
        create_only: true,
        content: Content::Metadata,
    };
    destination
        .put(key, &Body::of(content), options)
        .map_err(|error| error.or_on(format_args!("destination {}", destination.name())))
}
