//! A source plugin as the repository's [`Source`]: one instance with one session, kept from call to call until it fails.

use std::sync::Arc;
use std::time::Duration;

use strongroom_repository::source::{Attributes, Feed, Kind, Outcome, RestoreRequest, Sink};
use strongroom_repository::verification::{Verification, VerifyRequest};
use strongroom_repository::{Result, Source};
use wasmtime::Store;
use wasmtime::component::{Resource, ResourceAny};

use crate::bindings::imports::types;
use crate::bindings::source::AsSource;
use crate::bindings::source::exports::strongroom::plugin::source::GuestSession;
use crate::convert;
use crate::feed::FeedHandle;
use crate::instance::{Instance, Role};
use crate::lent::{lend_feed, lend_sink};
use crate::plugin::{Code, on_own_thread};
use crate::sandbox::Sandbox;
use crate::sink::SinkHandle;

/// Made by [`Plugin::source`](crate::Plugin::source).
pub(crate) struct PluginSource {
    code: Code,
    /// For what is to be written.
    role: Arc<Role>,
    /// For what is only read.
    reading_role: Arc<Role>,
    config: String,
    session: Option<Session>,
}

struct Session {
    role: Arc<Role>,
    instance: Instance,
    exports: AsSource,
    resource: ResourceAny,
}

impl PluginSource {
    pub(crate) fn new(code: Code, role: Arc<Role>, config: String) -> Self {
        let reading_role = Arc::new(Role {
            plugin: role.plugin.clone(),
            subject: role.subject.clone(),
            origin: role.origin.clone(),
            grants: Arc::new(role.grants.for_reading()),
            progress: Arc::clone(&role.progress),
        });
        Self {
            code,
            role,
            reading_role,
            config,
            session: None,
        }
    }

    /// Calls `use_it` with a session in `role`, on a thread of its own. A session that failed is not used again.
    fn with_session<R: Send>(
        &mut self,
        role: &Arc<Role>,
        use_it: impl FnOnce(&mut Session, &Code) -> Result<R> + Send,
    ) -> Result<R> {
        on_own_thread(|| {
            let kept = self.session.take();
            let mut session = match kept.filter(|session| Arc::ptr_eq(&session.role, role)) {
                Some(session) => session,
                None => Session::open(&self.code, role, &self.config)?,
            };
            let result = use_it(&mut session, &self.code);
            session.instance.tell_memory();
            if result.is_ok() && !session.instance.is_dead() {
                self.session = Some(session);
            }
            result
        })
    }
}

impl Session {
    fn open(code: &Code, role: &Arc<Role>, config: &str) -> Result<Self> {
        let mut instance = code.start(role)?;
        let exports = instance.exports(|store, instance| AsSource::new(store, instance))?;
        let deadline = Some(code.host.0.limits.call_deadline);
        let resource = instance.call("open", deadline, async |store| {
            let sessions = exports.strongroom_plugin_source().session();
            sessions.call_open(store, config).await
        })?;
        Ok(Self {
            role: Arc::clone(role),
            instance,
            exports,
            resource,
        })
    }

    /// Has `body` call into the session's instance.
    fn call<R>(
        &mut self,
        operation: &str,
        deadline: Option<Duration>,
        body: impl AsyncFnOnce(
            GuestSession<'_>,
            &mut Store<Sandbox>,
            ResourceAny,
        ) -> wasmtime::Result<Result<R, types::Error>>,
    ) -> Result<R> {
        let sessions = self.exports.strongroom_plugin_source().session();
        let resource = self.resource;
        self.instance.call(operation, deadline, async |store| {
            body(sessions, store, resource).await
        })
    }
}

/// Calls `body` with a borrow of `value`, which is the guest's for as long.
async fn lending<T: Send + 'static, R>(
    store: &mut Store<Sandbox>,
    value: T,
    body: impl AsyncFnOnce(&mut Store<Sandbox>, Resource<T>) -> wasmtime::Result<R>,
) -> wasmtime::Result<R> {
    let handle = store.data_mut().table.push(value)?;
    let borrow = Resource::new_borrow(handle.rep());
    let answer = body(store, borrow).await?;
    store.data_mut().table.delete(handle)?;
    Ok(answer)
}

impl Source for PluginSource {
    fn check(&mut self) -> Result<Attributes> {
        let role = Arc::clone(&self.reading_role);
        self.with_session(&role, |session, code| {
            let deadline = Some(code.host.0.limits.call_deadline);
            session.call("check", deadline, async |sessions, store, resource| {
                sessions.call_check(store, resource).await
            })
        })
    }

    fn backup(&mut self, kind: Kind, sink: &dyn Sink) -> Result<Outcome> {
        let kind = convert::kind_to_source(kind);
        let role = Arc::clone(&self.reading_role);
        let (outcome, warnings) = lend_sink(sink, |sink| {
            self.with_session(&role, |session, _| {
                let outcome = session.call("backup", None, async |sessions, store, resource| {
                    lending(store, SinkHandle::new(sink), async |store, sink| {
                        sessions.call_backup(store, resource, kind, sink).await
                    })
                    .await
                })?;
                Ok((outcome, session.instance.take_warnings()))
            })
        })?;
        for warning in warnings {
            sink.warning(&warning);
        }
        Ok(convert::outcome(outcome))
    }

    fn restore(&mut self, request: &RestoreRequest, feed: &dyn Feed) -> Result<Attributes> {
        let request = convert::restore_request(request);
        let role = Arc::clone(&self.role);
        lend_feed(feed, |feed| {
            self.with_session(&role, |session, _| {
                session.call("restore", None, async |sessions, store, resource| {
                    lending(store, FeedHandle::new(feed), async |store, feed| {
                        sessions.call_restore(store, resource, &request, feed).await
                    })
                    .await
                })
            })
        })
    }

    fn verify(&mut self, request: &VerifyRequest, feed: &dyn Feed) -> Result<Verification> {
        let request = convert::verify_request(request);
        let role = Arc::clone(&self.role);
        lend_feed(feed, |feed| {
            self.with_session(&role, |session, _| {
                session.call("verify", None, async |sessions, store, resource| {
                    lending(store, FeedHandle::new(feed), async |store, feed| {
                        sessions.call_verify(store, resource, &request, feed).await
                    })
                    .await
                })
            })
        })
        .map(convert::verification)
    }
}
