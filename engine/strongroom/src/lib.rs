//! Strongroom: the engine that backs up what plugins read to where plugins write, by one configuration file.
//!
//! ```text
//! app → commands → run → engine → strongroom-host, strongroom-repository
//!           └────→ render
//! ```
//!
//! [`commands`] know what a person asks for and how it is shown, [`run`] does it and returns data, [`engine`] turns names of the
//! [`config`] into sources and destinations.

pub mod app;
pub mod cli;
pub mod commands;
pub mod exit;
pub mod signals;

pub mod retention;

pub mod run;

pub mod bundled;
pub mod config;
pub mod engine;
pub mod plugins;
pub mod prepared;

pub mod render;
