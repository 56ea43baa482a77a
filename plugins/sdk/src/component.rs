//! Between the component's exports and the traits: what [`export_source!`](crate::export_source) and
//! [`export_destination!`](crate::export_destination) put in front of a plugin's type.

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::bindings::destination::exports::strongroom::plugin::destination;
use crate::bindings::plugin::exports::strongroom::plugin::plugin;
use crate::bindings::plugin::strongroom::plugin::{feed, object, sink, types};
use crate::bindings::source::exports::strongroom::plugin::source;
use crate::config::{parse, schema, schema_of};
use crate::{Answer, Body, Destination, Feed, Info, RestoreRequest, Sink, Source};

/// Makes a component of a type that is a [`Source`](crate::Source).
#[macro_export]
macro_rules! export_source {
    ($plugin:ty) => {
        type StrongroomComponent = $crate::component::SourceComponent<$plugin>;
        $crate::bindings::plugin::export_plugin!(StrongroomComponent with_types_in $crate::bindings::plugin);
        $crate::bindings::source::export_source!(StrongroomComponent with_types_in $crate::bindings::source);
    };
}

/// Makes a component of a type that is a [`Destination`](crate::Destination).
#[macro_export]
macro_rules! export_destination {
    ($plugin:ty) => {
        type StrongroomComponent = $crate::component::DestinationComponent<$plugin>;
        $crate::bindings::plugin::export_plugin!(StrongroomComponent with_types_in $crate::bindings::plugin);
        $crate::bindings::destination::export_destination!(StrongroomComponent with_types_in $crate::bindings::destination);
    };
}

/// The exports of a source.
pub struct SourceComponent<T>(PhantomData<T>);

impl<T: Source> plugin::Guest for SourceComponent<T> {
    fn describe() -> plugin::Info {
        let options = schema_of::<T::RestoreOptions>();
        describe(&T::INFO, schema::<T::Config>(Some(options)))
    }

    fn requirements(config: String) -> Result<Vec<plugin::Capability>, types::Error> {
        Ok(T::requirements(&parse(&config)?)?)
    }
}

impl<T: Source> source::Guest for SourceComponent<T> {
    type Session = Session<T>;

    fn verify_needs(
        config: String,
        backup: types::Attributes,
        scratch: source::Scratch,
    ) -> Result<source::Needs, types::Error> {
        Ok(T::verify_needs(&parse(&config)?, &backup, &scratch)?)
    }
}

/// An open source. The engine makes one call at a time, so the cell is never borrowed twice.
pub struct Session<T>(RefCell<T>);

impl<T: Source> source::GuestSession for Session<T> {
    fn open(config: String) -> Result<source::Session, types::Error> {
        let plugin = T::open(parse(&config)?)?;
        Ok(source::Session::new(Self(RefCell::new(plugin))))
    }

    fn check(&self) -> Result<types::Attributes, types::Error> {
        Ok(self.0.borrow_mut().check()?)
    }

    fn backup(
        &self,
        kind: source::BackupKind,
        into: &sink::Sink,
    ) -> Result<source::Outcome, types::Error> {
        Ok(self.0.borrow_mut().backup(kind, &Sink::new(into))?)
    }

    fn restore(
        &self,
        request: source::RestoreRequest,
        from: &feed::Feed,
    ) -> Result<types::Attributes, types::Error> {
        let request = RestoreRequest {
            until: request.until,
            paths: request.paths,
            options: parse(&request.options)?,
        };
        Ok(self.0.borrow_mut().restore(request, &Feed::new(from))?)
    }

    fn verify(
        &self,
        request: source::VerifyRequest,
        from: &feed::Feed,
    ) -> Result<source::Verification, types::Error> {
        Ok(self.0.borrow_mut().verify(request, &Feed::new(from))?)
    }
}

/// The exports of a destination.
pub struct DestinationComponent<T>(PhantomData<T>);

impl<T: Destination> plugin::Guest for DestinationComponent<T> {
    fn describe() -> plugin::Info {
        describe(&T::INFO, schema::<T::Config>(None))
    }

    fn requirements(config: String) -> Result<Vec<plugin::Capability>, types::Error> {
        Ok(T::requirements(&parse(&config)?)?)
    }
}

impl<T: Destination> destination::Guest for DestinationComponent<T> {
    type Store = Store<T>;
}

/// An open destination. The engine makes one call at a time, so the cell is never borrowed twice.
pub struct Store<T>(RefCell<T>);

impl<T: Destination> destination::GuestStore for Store<T> {
    fn open(config: String) -> Result<destination::Store, types::Error> {
        let plugin = T::open(parse(&config)?)?;
        Ok(destination::Store::new(Self(RefCell::new(plugin))))
    }

    fn put(
        &self,
        key: String,
        body: &object::Body,
        options: destination::PutOptions,
    ) -> Result<(), types::Error> {
        let mut plugin = self.0.borrow_mut();
        Ok(plugin.put(&key, &Body::new(body), options)?)
    }

    fn get(
        &self,
        key: String,
        offset: u64,
        length: Option<u64>,
        into: &object::Answer,
    ) -> Result<(), types::Error> {
        let mut plugin = self.0.borrow_mut();
        Ok(plugin.get(&key, offset, length, &Answer::new(into))?)
    }

    fn stat(&self, key: String) -> Result<Option<destination::Metadata>, types::Error> {
        Ok(self.0.borrow_mut().stat(&key)?)
    }

    fn list(
        &self,
        prefix: String,
        token: Option<String>,
    ) -> Result<destination::Page, types::Error> {
        Ok(self.0.borrow_mut().list(&prefix, token.as_deref())?)
    }

    fn delete(&self, key: String) -> Result<(), types::Error> {
        Ok(self.0.borrow_mut().delete(&key)?)
    }
}

fn describe(info: &Info, config_schema: String) -> plugin::Info {
    plugin::Info {
        name: info.name.into(),
        version: info.version.into(),
        summary: info.summary.into(),
        config_schema,
        features: info.features.iter().map(|&name| name.into()).collect(),
    }
}
