//! One file a command: its arguments, what it asks of `run`, and how the result is shown.

pub mod backup;
pub mod cat;
pub mod check;
pub mod config;
pub mod copy;
pub mod diff;
pub mod download;
pub mod entries;
pub mod find;
pub mod forget;
pub mod host;
pub mod init;
pub mod key;
pub mod list;
pub mod ls;
pub mod plugin;
pub mod plugin_use;
pub mod prune;
pub mod repair;
pub mod restore;
pub mod show;
pub mod show_files;
pub mod source;
pub mod unlock;
pub mod verify;
