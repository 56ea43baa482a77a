//! A destination plugin as the repository's [`Destination`]: every call goes to an idle instance of its [`Pool`], and every answer is
//! checked before it is believed.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use strongroom_repository::destination::{Body, Content, ObjectMetadata, PutOptions};
use strongroom_repository::{Destination, Error, ErrorKind, Result};
use wasmtime::component::Resource;

use crate::answer::{Answer, Spares};
use crate::bindings::destination::exports::strongroom::plugin::destination as wit;
use crate::convert::tidy;
use crate::instance::Role;
use crate::plugin::Code;
use crate::pool::Pool;

/// The feature of a destination that has an end.
const FILLS_UP: &str = "fills-up";

/// A listing that goes on for so many pages without an object does not end.
const MAX_EMPTY_PAGES: usize = 1000;

/// Made by [`Plugin::destination`](crate::Plugin::destination).
pub(crate) struct PluginDestination {
    pool: Pool,
    fills_up: bool,
    spares: Arc<Spares>,
}

impl PluginDestination {
    pub(crate) fn new(code: Code, role: Arc<Role>, config: String, instances: usize) -> Self {
        Self {
            pool: Pool::new(code, role, config, instances),
            fills_up: false,
            spares: Arc::default(),
        }
    }

    /// With what the plugin says of itself.
    pub(crate) fn with_features(self, features: &[String]) -> Self {
        Self {
            fills_up: features.iter().any(|feature| feature == FILLS_UP),
            ..self
        }
    }

    fn page(&self, prefix: &str, token: Option<String>) -> Result<wit::Page> {
        let prefix = prefix.to_owned();
        self.pool.run("list", move |open| {
            let (resource, exports) = (open.resource, &open.exports);
            open.instance
                .call("list", Some(open.deadline), async |store| {
                    let stores = exports.strongroom_plugin_destination().store();
                    stores
                        .call_list(store, resource, &prefix, token.as_deref())
                        .await
                })
        })
    }

    fn wrong(&self, kind: ErrorKind, what: String) -> Error {
        Error::new(kind, what).on(self.pool.subject())
    }
}

impl Destination for PluginDestination {
    fn name(&self) -> &str {
        self.pool.label()
    }

    fn parallelism(&self) -> usize {
        self.pool.limit()
    }

    fn fills_up(&self) -> bool {
        self.fills_up
    }

    fn put(&self, key: &str, body: &Body, options: PutOptions) -> Result<()> {
        let (key, body) = (key.to_owned(), body.clone());
        let options = wit::PutOptions {
            create_only: options.create_only,
            content: match options.content {
                Content::Data => wit::Content::Data,
                Content::Metadata => wit::Content::Metadata,
            },
            retain_until: None,
        };
        self.pool.run("put", move |open| {
            let (resource, exports) = (open.resource, &open.exports);
            open.instance
                .call("put", Some(open.deadline), async |store| {
                    let handle = store.data_mut().table.push(body)?;
                    let borrow = Resource::new_borrow(handle.rep());
                    let stores = exports.strongroom_plugin_destination().store();
                    let answer = stores
                        .call_put(&mut *store, resource, &key, borrow, options)
                        .await?;
                    store.data_mut().table.delete(handle)?;
                    Ok(answer)
                })
        })
    }

    fn get(&self, key: &str, offset: u64, length: Option<u64>) -> Result<Bytes> {
        let (wanted, most) = (key.to_owned(), self.pool.memory_bytes());
        let answer = Answer::new(&self.spares, length, most);
        let answer = self.pool.run("get", move |open| {
            let (resource, exports) = (open.resource, &open.exports);
            open.instance
                .call("get", Some(open.deadline), async |store| {
                    let handle = store.data_mut().table.push(answer)?;
                    let borrow = Resource::new_borrow(handle.rep());
                    let stores = exports.strongroom_plugin_destination().store();
                    let done = stores
                        .call_get(&mut *store, resource, &wanted, offset, length, borrow)
                        .await?;
                    let answer = store.data_mut().table.delete(handle)?;
                    Ok(done.map(|()| answer))
                })
        })?;
        let given = answer.given();
        match length {
            Some(length) if length != given => Err(self.wrong(
                ErrorKind::Corrupted,
                format!("{key}: answered {given} bytes where {length} were asked for"),
            )),
            None if given > most => Err(self.wrong(
                ErrorKind::Failed,
                format!("{key}: answered more than {} MiB", most >> 20),
            )),
            _ => Ok(answer.into_bytes()),
        }
    }

    fn stat(&self, key: &str) -> Result<Option<ObjectMetadata>> {
        let wanted = key.to_owned();
        let metadata = self.pool.run("stat", move |open| {
            let (resource, exports) = (open.resource, &open.exports);
            open.instance
                .call("stat", Some(open.deadline), async |store| {
                    let stores = exports.strongroom_plugin_destination().store();
                    stores.call_stat(store, resource, &wanted).await
                })
        })?;
        Ok(metadata.map(object))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectMetadata>> {
        let mut objects = Vec::new();
        let mut tokens = HashSet::new();
        let mut empty_pages = 0;
        let mut token = None;
        loop {
            let page = self.page(prefix, token)?;
            empty_pages = if page.objects.is_empty() {
                empty_pages + 1
            } else {
                0
            };
            for metadata in page.objects {
                if !metadata.key.starts_with(prefix) {
                    let key = tidy(&metadata.key);
                    let what = format!("listed '{key}', which is not below '{prefix}'");
                    return Err(self.wrong(ErrorKind::Failed, what));
                }
                objects.push(object(metadata));
            }
            let Some(next) = page.next else {
                return Ok(objects);
            };
            if !tokens.insert(next.clone()) || empty_pages > MAX_EMPTY_PAGES {
                let what = format!("the listing of '{prefix}' does not end");
                return Err(self
                    .wrong(ErrorKind::Failed, what)
                    .hint("this is a fault of the plugin: report it to its author"));
            }
            token = Some(next);
        }
    }

    fn delete(&self, key: &str) -> Result<()> {
        let key = key.to_owned();
        self.pool.run("delete", move |open| {
            let (resource, exports) = (open.resource, &open.exports);
            open.instance
                .call("delete", Some(open.deadline), async |store| {
                    let stores = exports.strongroom_plugin_destination().store();
                    stores.call_delete(store, resource, &key).await
                })
        })
    }
}

fn object(metadata: wit::Metadata) -> ObjectMetadata {
    ObjectMetadata {
        key: metadata.key,
        size: metadata.size,
        modified: metadata.modified,
    }
}
