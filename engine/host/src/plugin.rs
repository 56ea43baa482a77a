//! A loaded plugin: what it says of itself, what it requires for a configuration, and the making of sources and destinations from it.

use std::sync::Arc;

use strongroom_repository::source::Attributes;
use strongroom_repository::verification::Scratch;
use strongroom_repository::{Destination, Error, ErrorKind, Id, Progress, Result, Source};
use wasmtime::component::{Component, InstancePre};

use crate::bindings::base::{Base, BasePre};
use crate::bindings::destination::AsDestinationPre;
use crate::bindings::source::{AsSource, AsSourcePre};
use crate::capability::Capability;
use crate::convert::{self, tidy};
use crate::destination::PluginDestination;
use crate::grant::Grants;
use crate::ground::Needs;
use crate::host::{Host, reason};
use crate::instance::{Instance, Role};
use crate::sandbox::Sandbox;
use crate::source::PluginSource;
use crate::{exports, unknown};

/// What a plugin makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginKind {
    /// Something that can be backed up.
    Source,
    /// A place that keeps objects.
    Destination,
}

/// What a plugin says of itself, and what it is.
#[derive(Debug, Clone)]
pub struct Info {
    /// The plugin's own name.
    pub name: String,
    /// The plugin's version.
    pub version: String,
    /// One line for people.
    pub summary: String,
    /// JSON Schema of its `config` table, as JSON text.
    pub config_schema: String,
    /// Open set, such as `incremental`.
    pub features: Vec<String>,
    /// Source or destination, by what it exports.
    pub kind: PluginKind,
    /// SHA-256 of the component.
    pub sha256: Id,
}

/// A compiled component that described itself. Cheap to clone.
#[derive(Clone)]
pub struct Plugin(Arc<Inner>);

struct Inner {
    name: String,
    info: Info,
    code: Code,
}

/// Compiled code with its imports resolved.
#[derive(Clone)]
pub(crate) struct Code {
    pub(crate) host: Host,
    pub(crate) component: InstancePre<Sandbox>,
}

impl Plugin {
    /// Looks at the exports and calls `describe`.
    pub(crate) fn describe(
        host: Host,
        name: &str,
        sha256: Id,
        component: &Component,
    ) -> Result<Self> {
        let on = |error: Error| error.on(format!("plugin {name}"));
        let kind = exports::kind_of(&host.0.engine, component).map_err(on)?;
        let component = link(&host, component, kind).map_err(on)?;
        let code = Code { host, component };
        let described = on_own_thread(|| {
            let mut instance = code.start(&bare_role(name))?;
            let exports = instance.exports(|store, instance| Base::new(store, instance))?;
            let deadline = Some(code.host.0.limits.describe_deadline);
            instance.call("describe", deadline, async |store| {
                let plugin = exports.strongroom_plugin_plugin();
                plugin.call_describe(store).await.map(Ok)
            })
        })?;
        if let Err(error) = serde_json::from_str::<serde_json::Map<_, _>>(&described.config_schema)
        {
            return Err(on(Error::new(
                ErrorKind::Failed,
                format!("its config-schema is no JSON object: {error}"),
            )
            .hint("this is a fault of the plugin: report it to its author")));
        }
        Ok(Self(Arc::new(Inner {
            name: name.to_owned(),
            info: Info {
                name: tidy(&described.name),
                version: tidy(&described.version),
                summary: tidy(&described.summary),
                config_schema: described.config_schema,
                features: described.features.iter().map(|text| tidy(text)).collect(),
                kind,
                sha256,
            },
            code,
        })))
    }

    /// What the configuration calls it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What the plugin says of itself.
    pub fn info(&self) -> &Info {
        &self.0.info
    }

    /// The capabilities that the plugin needs for `config_json`. It runs with none.
    pub fn requirements(&self, config_json: &str) -> Result<Vec<Capability>> {
        let code = &self.0.code;
        let required = on_own_thread(|| {
            let mut instance = code.start(&bare_role(self.name()))?;
            let exports = instance.exports(|store, instance| Base::new(store, instance))?;
            let deadline = Some(code.host.0.limits.describe_deadline);
            instance.call("requirements", deadline, async |store| {
                let plugin = exports.strongroom_plugin_plugin();
                plugin.call_requirements(store, config_json).await
            })
        })?;
        Ok(required.into_iter().map(Capability::from).collect())
    }

    /// What the plugin needs to verify a backup with these attributes there. It runs with no capability. A plugin that cannot is `unsupported`.
    pub fn verify_needs(
        &self,
        config_json: &str,
        backup: &Attributes,
        scratch: &Scratch,
    ) -> Result<Needs> {
        self.expect(PluginKind::Source, self.name())?;
        let code = &self.0.code;
        let scratch = convert::scratch(scratch);
        let needs = on_own_thread(|| {
            let mut instance = code.start(&bare_role(self.name()))?;
            let exports = instance.exports(|store, instance| AsSource::new(store, instance))?;
            let deadline = Some(code.host.0.limits.describe_deadline);
            instance.call("verify-needs", deadline, async |store| {
                let source = exports.strongroom_plugin_source();
                source
                    .call_verify_needs(store, config_json, backup, &scratch)
                    .await
            })
        })?;
        Ok(convert::needs(needs))
    }

    /// Makes a source. `label` is the operator's name for it. Nothing runs before the first call.
    pub fn source(
        &self,
        label: &str,
        config_json: &str,
        grants: Grants,
        progress: Arc<Progress>,
    ) -> Result<Box<dyn Source>> {
        self.expect(PluginKind::Source, label)?;
        let role = self.role(format!("source {label}"), label, grants, progress);
        Ok(Box::new(PluginSource::new(
            self.0.code.clone(),
            role,
            config_json.to_owned(),
        )))
    }

    /// Makes a destination of up to `instances` instances, each started when it is first needed.
    pub fn destination(
        &self,
        label: &str,
        config_json: &str,
        grants: Grants,
        instances: usize,
        progress: Arc<Progress>,
    ) -> Result<Arc<dyn Destination>> {
        self.expect(PluginKind::Destination, label)?;
        let role = self.role(format!("destination {label}"), label, grants, progress);
        let destination =
            PluginDestination::new(self.0.code.clone(), role, config_json.to_owned(), instances);
        Ok(Arc::new(destination.with_features(&self.info().features)))
    }

    fn expect(&self, kind: PluginKind, label: &str) -> Result<()> {
        if self.0.info.kind == kind {
            return Ok(());
        }
        let word = |kind| match kind {
            PluginKind::Source => "source",
            PluginKind::Destination => "destination",
        };
        Err(Error::new(
            ErrorKind::InvalidConfig,
            format!(
                "plugin {} is a {} plugin",
                self.name(),
                word(self.0.info.kind)
            ),
        )
        .on(format!("{} {label}", word(kind))))
    }

    fn role(
        &self,
        subject: String,
        label: &str,
        grants: Grants,
        progress: Arc<Progress>,
    ) -> Arc<Role> {
        Arc::new(Role {
            plugin: self.0.name.clone(),
            subject,
            origin: label.to_owned(),
            grants: Arc::new(grants),
            progress,
        })
    }
}

impl Code {
    pub(crate) fn start(&self, role: &Arc<Role>) -> Result<Instance> {
        Instance::start(&self.host, &self.component, role)
    }
}

/// Runs `body` on a thread of its own and waits for it: a guest may block its thread, and ours may be one that must not be.
pub(crate) fn on_own_thread<R: Send>(body: impl FnOnce() -> Result<R> + Send) -> Result<R> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("plugin".into())
            .spawn_scoped(scope, body)
            .map_err(Error::no_thread)?;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Without any capability.
fn bare_role(name: &str) -> Arc<Role> {
    Arc::new(Role {
        plugin: name.to_owned(),
        subject: format!("plugin {name}"),
        origin: name.to_owned(),
        grants: Arc::new(Grants::none(name)),
        progress: Arc::default(),
    })
}

/// Resolves the imports and checks the exports' types. An import that the engine does not know ends the guest when it is
/// called, not before.
fn link(host: &Host, component: &Component, kind: PluginKind) -> Result<InstancePre<Sandbox>> {
    let wrong = |error: wasmtime::Error| {
        Error::new(
            ErrorKind::Unsupported,
            format!("does not fit the plugin ABI: {}", reason(&error)),
        )
        .hint("build it against the ABI of this engine")
    };
    let mut linker = host.0.linker.clone();
    unknown::stand_in(&mut linker, &host.0.engine, component).map_err(wrong)?;
    let component = linker.instantiate_pre(component).map_err(wrong)?;
    BasePre::new(component.clone()).map_err(wrong)?;
    match kind {
        PluginKind::Source => AsSourcePre::new(component.clone()).map(drop),
        PluginKind::Destination => AsDestinationPre::new(component.clone()).map(drop),
    }
    .map_err(wrong)?;
    Ok(component)
}
