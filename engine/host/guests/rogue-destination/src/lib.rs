//! A destination plugin over the directory `{"path": "…"}`. What is before the first `/` of a key says how it misbehaves.

mod store;

use exports::strongroom::plugin::destination::{
    Answer, Body, Guest as DestinationGuest, GuestStore, Metadata, Page, PutOptions, Store,
};
use exports::strongroom::plugin::plugin::{Capability, Guest as PluginGuest, Info};
use serde_json::Value;
use strongroom::plugin::types::{Error, ErrorKind};

use crate::store::Folder;

wit_bindgen::generate!({
    path: "../../../../wit",
    world: "strongroom:plugin/destination-plugin",
    generate_all,
    with: {
        "wasi:clocks/wall-clock@0.2.12": wasip2::clocks::wall_clock,
        "wasi:filesystem/types@0.2.12": wasip2::filesystem::types,
        "wasi:io/error@0.2.12": wasip2::io::error,
        "wasi:io/poll@0.2.12": wasip2::io::poll,
        "wasi:io/streams@0.2.12": wasip2::io::streams,
    },
});

struct Rogue;
export!(Rogue);

impl PluginGuest for Rogue {
    fn describe() -> Info {
        Info {
            name: "rogue".into(),
            version: "1.2.3".into(),
            summary: "keeps things badly".into(),
            config_schema: r#"{"type":"object"}"#.into(),
            features: Vec::new(),
        }
    }

    fn requirements(config: String) -> Result<Vec<Capability>, Error> {
        Ok(vec![Capability::Write(path(&config)?)])
    }
}

impl DestinationGuest for Rogue {
    type Store = Folder;
}

impl GuestStore for Folder {
    fn open(config: String) -> Result<Store, Error> {
        let folder = Folder::at(path(&config)?);
        folder.count_instance()?;
        Ok(Store::new(folder))
    }

    fn put(&self, key: String, body: &Body, options: PutOptions) -> Result<(), Error> {
        match behaviour(&key) {
            "panic" => panic!("over {key}"),
            "meet" => self.meet(&key)?,
            "sleep" => std::thread::sleep(std::time::Duration::from_secs(1 << 30)),
            "fifo" => drop(std::fs::File::open(self.file("fifo")).map_err(failed)?),
            "check" => self.check(body),
            _ => {}
        }
        if options.create_only && self.file(&key).exists() {
            return Err(Error {
                kind: ErrorKind::AlreadyExists,
                message: format!("{key} exists"),
                hint: None,
            });
        }
        match behaviour(&key) {
            "copy" => std::fs::write(self.file(&key), body.read(0, body.size())).map_err(failed),
            _ => self.splice(&key, body),
        }
    }

    fn get(
        &self,
        key: String,
        offset: u64,
        length: Option<u64>,
        into: &Answer,
    ) -> Result<(), Error> {
        match behaviour(&key) {
            "splice" => return self.copy(&key, offset, length, into),
            "endless" => (0..300).for_each(|_| into.write(&[0; 1 << 20])),
            _ => {}
        }
        let mut bytes = self.read(&key, offset, length)?;
        match behaviour(&key) {
            "short" => drop(bytes.pop()),
            "long" => bytes.push(0),
            _ => {}
        }
        // In two pieces, which must come out as one.
        let (head, tail) = bytes.split_at(bytes.len() / 2);
        into.write(head);
        into.write(tail);
        Ok(())
    }

    fn stat(&self, key: String) -> Result<Option<Metadata>, Error> {
        match std::fs::metadata(self.file(&key)) {
            Ok(metadata) => Ok(Some(Metadata {
                key,
                size: metadata.len(),
                modified: None,
            })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn list(&self, prefix: String, token: Option<String>) -> Result<Page, Error> {
        let page = |objects, next| Ok(Page { objects, next });
        match behaviour(&prefix) {
            "same token" => page(Vec::new(), Some("again".into())),
            "new tokens" => page(Vec::new(), Some(format!("{}x", token.unwrap_or_default()))),
            "foreign" => page(self.objects("")?, None),
            _ => {
                // One object a page: the token is how many there were.
                let given = token.and_then(|token| token.parse().ok()).unwrap_or(0);
                let mut rest = self.objects(&prefix)?.into_iter().skip(given);
                let objects = rest.next().into_iter().collect();
                page(objects, rest.next().map(|_| (given + 1).to_string()))
            }
        }
    }

    fn delete(&self, key: String) -> Result<(), Error> {
        match std::fs::remove_file(self.file(&key)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }
}

fn behaviour(key: &str) -> &str {
    key.split('/').next().unwrap_or_default()
}

fn path(config: &str) -> Result<String, Error> {
    let config: Value = serde_json::from_str(config).map_err(failed)?;
    match config.get("path").and_then(Value::as_str) {
        Some(path) => Ok(path.to_owned()),
        None => Err(Error {
            kind: ErrorKind::InvalidConfig,
            message: "config lacks 'path'".into(),
            hint: None,
        }),
    }
}

fn failed(message: impl std::fmt::Display) -> Error {
    Error {
        kind: ErrorKind::Failed,
        message: message.to_string(),
        hint: None,
    }
}
