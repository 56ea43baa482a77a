//! A key file: the repository's master key, wrapped with a key that scrypt derives from a password.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{KeyInfo, RECOVERY_USERNAME};
use crate::absent::null_is_default;
use crate::crypto::{MasterKey, random};
use crate::id::Id;
use crate::identity::Identity;
use crate::time::Time;
use crate::{Error, ErrorKind, Result};

/// A key file as restic writes it. rustic leaves out all that does not open it.
#[derive(Serialize, Deserialize)]
pub(super) struct KeyFile {
    #[serde(default)]
    pub(super) created: Option<Time>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) username: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) hostname: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
    salt: Base64,
    data: Base64,
}

/// The master key within a key file.
#[derive(Serialize, Deserialize)]
struct Wrapped {
    mac: WrappedMac,
    encrypt: Base64,
}

#[derive(Serialize, Deserialize)]
struct WrappedMac {
    k: Base64,
    r: Base64,
}

impl KeyFile {
    /// Wraps `master` with `password`, at the cost that restic sees fit for passwords.
    pub(super) fn wrap(master: &MasterKey, password: &str, username: &str) -> Result<Self> {
        if password.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "an empty password protects nothing",
            ));
        }
        let wrapped = Wrapped {
            mac: WrappedMac {
                k: Base64::from(&master.mac_k()[..]),
                r: Base64::from(&master.mac_r()[..]),
            },
            encrypt: Base64::from(&master.encrypt()[..]),
        };
        let json = Zeroizing::new(serde_json::to_vec(&wrapped).map_err(cannot_be_written)?);
        let mut salt = [0; 64];
        random(&mut salt);
        let mut file = Self {
            created: Some(Time::now()),
            username: username.to_owned(),
            hostname: Identity::current().hostname,
            kdf: "scrypt".to_owned(),
            // OWASP's password storage recommendations name these as equal to N=2^17, p=1. Two cores share the three lanes.
            n: 1 << 15,
            r: 8,
            p: 3,
            salt: Base64::from(&salt[..]),
            data: Base64::from(&[][..]),
        };
        file.data = Base64::from(&file.derive(password)?.seal(&json)[..]);
        Ok(file)
    }

    /// The master key, or `None` where `password` is not this key's.
    pub(super) fn unwrap(&self, password: &str) -> Result<Option<MasterKey>> {
        let Ok(json) = self.derive(password)?.open(&self.data.0) else {
            return Ok(None);
        };
        let json = Zeroizing::new(json);
        let damaged = || Error::corrupted("it holds no usable master key");
        let wrapped: Wrapped = serde_json::from_slice(&json).map_err(|_| damaged())?;
        let parts = || {
            Some(MasterKey::new(
                wrapped.encrypt.0.as_slice().try_into().ok()?,
                wrapped.mac.k.0.as_slice().try_into().ok()?,
                wrapped.mac.r.0.as_slice().try_into().ok()?,
            ))
        };
        parts().map(Some).ok_or_else(damaged)
    }

    /// The key that wraps the master key. Refuses a cost that only a hostile file would ask for: over 1 GiB of memory or half a minute.
    fn derive(&self, password: &str) -> Result<MasterKey> {
        const MAX_MEMORY_BYTES: u64 = 1 << 30;
        const MAX_WORK: u64 = 1 << 26;
        if self.kdf != "scrypt" {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("its key derivation '{}' is not known", self.kdf),
            ));
        }
        let block = u64::from(self.r).saturating_mul(self.n);
        let sane = self.n.is_power_of_two()
            && block.saturating_mul(128) <= MAX_MEMORY_BYTES
            && block.saturating_mul(self.p.into()) <= MAX_WORK;
        let params = u8::try_from(self.n.trailing_zeros())
            .ok()
            .filter(|log_n| sane && *log_n > 0)
            .and_then(|log_n| scrypt::Params::new(log_n, self.r, self.p).ok())
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "its scrypt cost is out of bounds (N={}, r={}, p={})",
                        self.n, self.r, self.p
                    ),
                )
            })?;
        let mut derived = Zeroizing::new([0; 64]);
        scrypt::scrypt(password.as_bytes(), &self.salt.0, &params, &mut *derived)
            .map_err(|error| Error::new(ErrorKind::Failed, error.to_string()))?;
        let (encrypt, mac) = derived.split_at(32);
        let (k, r) = mac.split_at(16);
        let part = "scrypt fills 64 bytes";
        Ok(MasterKey::new(
            encrypt.try_into().expect(part),
            k.try_into().expect(part),
            r.try_into().expect(part),
        ))
    }

    pub(super) fn info(&self, id: Id) -> KeyInfo {
        KeyInfo {
            id,
            created: self.created,
            hostname: self.hostname.clone(),
            username: self.username.clone(),
            current: false,
        }
    }

    pub(super) fn is_recovery_key(&self) -> bool {
        self.username == RECOVERY_USERNAME
    }
}

pub(super) fn cannot_be_written(error: serde_json::Error) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("cannot be written as JSON: {error}"),
    )
}

/// Bytes that Go writes as base64. Overwritten when dropped, as some of them are keys.
struct Base64(Zeroizing<Vec<u8>>);

impl From<&[u8]> for Base64 {
    fn from(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }
}

impl fmt::Debug for Base64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(&*self.0)))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = STANDARD
            .decode(text.as_bytes())
            .map_err(serde::de::Error::custom)?;
        Ok(Self(Zeroizing::new(bytes)))
    }
}
