//! What the commands do, without a word about how it looks: requests in, results as data out.

pub mod backup;
pub mod backups;
pub mod check;
pub mod copy;
pub mod download;
pub mod forget;
pub mod forget_named;
pub mod id;
pub mod init;
pub mod keys;
pub mod latest;
pub mod names;
pub mod open;
pub mod outside;
mod own_folders;
pub mod path;
pub mod plugin_option;
pub mod proofs;
pub mod prune;
pub mod repair;
pub mod restore;
mod same_place;
pub mod survey;
pub mod unlock;
pub mod upgrade;
pub mod verify;
