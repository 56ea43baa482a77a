//! A repository at a destination: opened with a password, and then the place where objects are loaded and saved as JSON.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::RepositoryConfig;
use crate::crypto::MasterKey;
use crate::destination::{Body, Destination, ObjectMetadata};
use crate::file::FileType;
use crate::id::Id;
use crate::identity::Identity;
use crate::keys::{self, KeyInfo, RECOVERY_USERNAME};
use crate::machine::{Machine, ThisMachine};
use crate::object::{self, Listing};
use crate::polynomial::Polynomial;
use crate::recovery_key::RecoveryKey;
use crate::{Error, ErrorKind, Result};

/// An open repository. Shared by threads through `Arc`. Made by [`init`](Self::init).
pub struct Repository {
    pub(crate) destination: Arc<dyn Destination>,
    pub(crate) config: RepositoryConfig,
    pub(crate) key: MasterKey,
    /// The file that the key was in.
    pub(crate) key_id: Id,
    pub(crate) machine: Arc<dyn Machine>,
}

/// Where the configuration lies.
pub(crate) const CONFIG_KEY: &str = "config";

/// Stands before compressed JSON. Uncompressed JSON, as repositories of version 1 have it also after they were upgraded, begins with a bracket.
const COMPRESSED: u8 = 2;

impl Repository {
    /// Whether there is a repository at `destination`.
    pub fn exists(destination: &dyn Destination) -> Result<bool> {
        let config = destination
            .stat(CONFIG_KEY)
            .map_err(|error| error.or_on(format_args!("destination {}", destination.name())))?;
        Ok(config.is_some())
    }

    /// Opens the repository at `destination` with one of its passwords, or its recovery key as a person typed it.
    pub fn open(destination: Arc<dyn Destination>, password: &str) -> Result<Self> {
        let name = destination.name();
        let sealed = match destination.get(CONFIG_KEY, 0, None) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!("no repository at destination {name}"),
                )
                .hint(format!("strongroom init {name}")));
            }
            sealed => sealed.map_err(|error| error.or_on(format_args!("destination {name}")))?,
        };
        let (key, key_id) = keys::unlock(&*destination, password)?;
        let json = key.open(&sealed).map_err(|error| {
            Error::corrupted(format!(
                "the config of repository {name} is damaged: {}",
                error.message()
            ))
            .hint("get the file 'config' back from a copy of the repository")
        })?;
        Ok(Self {
            config: RepositoryConfig::parse(name, &json)?,
            destination,
            key,
            key_id,
            machine: Arc::new(ThisMachine),
        })
    }

    /// The machine that it is used from.
    pub(crate) fn machine(&self) -> &dyn Machine {
        &*self.machine
    }

    /// The name that the operator gave to the destination.
    pub fn name(&self) -> &str {
        self.destination.name()
    }

    /// The repository's own random id.
    pub fn id(&self) -> Id {
        self.config.id
    }

    /// Where it lies.
    pub fn destination(&self) -> &dyn Destination {
        &*self.destination
    }

    /// The whole configuration.
    pub fn config(&self) -> &RepositoryConfig {
        &self.config
    }

    /// What its data is cut with.
    pub fn polynomial(&self) -> Polynomial {
        self.config.chunker_polynomial
    }

    /// Whether what is stored in it may be compressed.
    pub fn compresses(&self) -> bool {
        self.config.compresses()
    }

    /// What everything in it is sealed with.
    pub fn key(&self) -> &MasterKey {
        &self.key
    }

    /// All objects of a kind, and the keys that are no object's.
    pub fn listing(&self, file_type: FileType) -> Result<Listing> {
        object::list(self.destination(), file_type)
    }

    /// Id and size in bytes of each object of a kind. Foreign files are passed over; [`listing`](Self::listing) names them.
    pub fn list(&self, file_type: FileType) -> Result<Vec<(Id, u64)>> {
        let objects = self.listing(file_type)?.objects.into_iter();
        Ok(objects.map(|object| (object.id, object.size)).collect())
    }

    /// An object as it lies at the destination, after its content was found to match its name.
    pub fn load(&self, file_type: FileType, id: &Id) -> Result<Bytes> {
        object::load(self.destination(), file_type, id)
    }

    /// The JSON of an index, a snapshot or a lock.
    pub fn load_json<T: DeserializeOwned>(&self, file_type: FileType, id: &Id) -> Result<T> {
        let json = self.load_plain(file_type, id)?;
        self.parse_json(file_type, id, &json)
    }

    /// The content of an index, a snapshot or a lock: verified, decrypted and decompressed.
    pub fn load_plain(&self, file_type: FileType, id: &Id) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        self.open_object(file_type, id, &self.load(file_type, id)?, &mut plain)?;
        self.decompress(file_type, id, &plain)
    }

    /// Decrypts an object that was loaded, into memory that may have served others before.
    pub(crate) fn open_object(
        &self,
        file_type: FileType,
        id: &Id,
        sealed: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<()> {
        self.key
            .open_into(sealed, plain)
            .map_err(|error| object::damaged(self.name(), file_type, id, error.message()))
    }

    /// The whole JSON of an object that was decrypted.
    pub(crate) fn decompress(&self, file_type: FileType, id: &Id, plain: &[u8]) -> Result<Vec<u8>> {
        let damaged = |how: &str| object::damaged(self.name(), file_type, id, how);
        let mut json = Vec::new();
        json_reader(plain)
            .ok_or_else(|| damaged("its encoding is not known"))?
            .read_to_end(&mut json)
            .map_err(|_| damaged("it cannot be decompressed"))?;
        Ok(json)
    }

    /// What the JSON of an object says.
    pub(crate) fn parse_json<T: DeserializeOwned>(
        &self,
        file_type: FileType,
        id: &Id,
        json: &[u8],
    ) -> Result<T> {
        serde_json::from_slice(json)
            .map_err(|error| object::not_understood(self.name(), file_type, id, &error))
    }

    /// Stores `value` as the JSON of a new index, snapshot or lock.
    pub fn save_json<T: Serialize>(&self, file_type: FileType, value: &T) -> Result<Id> {
        let object = self.seal_object(value)?;
        self.put_object(file_type, &object)?;
        Ok(object.sha256())
    }

    /// The JSON of a new index, snapshot or lock as it is stored: its name is known before it is.
    pub(crate) fn seal_object<T: Serialize>(&self, value: &T) -> Result<Body> {
        let json = serde_json::to_vec(value).map_err(cannot_be_written)?;
        Ok(Body::of(self.seal_json(json)?))
    }

    /// Stores an object under its name.
    pub(crate) fn put_object(&self, file_type: FileType, object: &Body) -> Result<()> {
        object::put(self.destination(), file_type, object)
    }

    /// JSON as it is stored: compressed where the format version knows that.
    fn seal_json(&self, json: Vec<u8>) -> Result<Vec<u8>> {
        if !self.config.compresses() {
            return Ok(self.key.seal(&json));
        }
        let mut plain = vec![COMPRESSED];
        zstd::stream::copy_encode(&*json, &mut plain, zstd::DEFAULT_COMPRESSION_LEVEL)
            .map_err(|error| Error::io("cannot compress JSON", error).on(self.name()))?;
        Ok(self.key.seal(&plain))
    }

    /// What the destination says of an object, or `None` where it is not there.
    pub(crate) fn stat(&self, file_type: FileType, id: &Id) -> Result<Option<ObjectMetadata>> {
        let found = self.destination.stat(&file_type.key(id));
        found.map_err(|error| error.or_on(format_args!("destination {}", self.name())))
    }

    /// Removes an object. It need not exist.
    pub fn delete(&self, file_type: FileType, id: &Id) -> Result<()> {
        self.destination
            .delete(&file_type.key(id))
            .map_err(|error| error.or_on(format_args!("destination {}", self.name())))
    }

    /// The keys that open the repository, oldest first, and what is wrong with those that cannot be read.
    pub fn keys(&self) -> Result<(Vec<KeyInfo>, Vec<Error>)> {
        let (mut keys, problems) = keys::list(self.destination())?;
        for key in &mut keys {
            key.current = key.id == self.key_id;
        }
        Ok((keys, problems))
    }

    /// Lets `password` open the repository too.
    pub fn add_key(&self, password: &str) -> Result<KeyInfo> {
        let username = Identity::current().username;
        keys::add(self.destination(), &self.key, password, &username)
    }

    /// Lets a recovery key open the repository too.
    pub fn add_recovery_key(&self, recovery_key: &RecoveryKey) -> Result<KeyInfo> {
        let password = recovery_key.as_str();
        keys::add(self.destination(), &self.key, password, RECOVERY_USERNAME)
    }

    /// Removes the key whose id begins with `prefix`. Refuses the key that the repository was opened with, which is also the last one.
    pub fn remove_key(&self, prefix: &str) -> Result<KeyInfo> {
        let (keys, _) = self.keys()?;
        let matching: Vec<_> = keys
            .into_iter()
            .filter(|key| !prefix.is_empty() && key.id.to_string().starts_with(prefix))
            .collect();
        let wrong = |kind, message: String| Error::new(kind, message).on(self.name());
        let [key] = matching.as_slice() else {
            return Err(match matching.len() {
                0 => wrong(
                    ErrorKind::NotFound,
                    format!("no key begins with '{prefix}'"),
                ),
                n => wrong(
                    ErrorKind::InvalidConfig,
                    format!("{n} keys begin with '{prefix}'"),
                ),
            }
            .hint(format!("strongroom key list {}", self.name())));
        };
        if key.current {
            let message = format!(
                "key {} is the one that the repository was opened with",
                key.id.short()
            );
            return Err(wrong(ErrorKind::Denied, message)
                .hint("open the repository with another password to remove this one"));
        }
        self.delete(FileType::Key, &key.id)?;
        Ok(key.clone())
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({} at {})", self.id().short(), self.name())
    }
}

/// Decompresses the JSON of a decrypted object while it is read. `None` where its encoding is not known.
pub(crate) fn json_reader(plain: &[u8]) -> Option<Box<dyn Read + '_>> {
    match plain.split_first()? {
        (&COMPRESSED, compressed) => Some(Box::new(zstd::Decoder::with_buffer(compressed).ok()?)),
        (b'{' | b'[', _) => Some(Box::new(plain)),
        _ => None,
    }
}

pub(crate) fn cannot_be_written(error: serde_json::Error) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("cannot be written as JSON: {error}"),
    )
}
