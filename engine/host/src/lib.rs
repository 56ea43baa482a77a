//! Runs plugins. In goes a WebAssembly component and what the operator allows it, out comes a [`Source`] or a [`Destination`] of the
//! repository crate.
//!
//! ```text
//! Host::load(bytes) → Plugin → requirements(config) → grant(required, allowed) → Grants
//!                       └── source(config, grants) / destination(config, grants)
//! ```
//!
//! Each instance is a sandbox of its own: it sees what was granted and nothing else, under a memory ceiling, a budget of running time and,
//! but for the work of a source, deadlines. A trap, or what goes beyond these, ends that instance, is reported by name, and harms nobody else.
//!
//! [`Source`]: strongroom_repository::Source
//! [`Destination`]: strongroom_repository::Destination

mod host;
mod plugin;

mod account;
mod allow;
mod capability;
mod grant;
mod ground;
mod handover;
mod programs;

mod cache;
mod clock;
mod exports;
mod folder;
mod instance;
mod limits;
mod preopen;
mod quota;
mod running;
mod sandbox;
mod stderr;
mod ticker;

mod destination;
mod pool;
mod source;

mod answer;
mod bindings;
mod body;
mod certificates;
mod command;
mod convert;
mod distrust;
mod environment;
mod feed;
mod handshake;
mod lent;
mod network;
mod pipe;
mod program;
mod reach;
mod secured;
mod sink;
mod streams;
mod tls;
mod unknown;

pub use account::Account;
pub use allow::Allow;
pub use capability::Capability;
pub use exports::ABI_VERSION;
pub use folder::make_folder;
pub use grant::{Grants, grant};
pub use ground::{Ground, Needs};
pub use host::{Host, HostOptions};
pub use limits::Limits;
pub use plugin::{Info, Plugin, PluginKind};
pub use running::Running;
