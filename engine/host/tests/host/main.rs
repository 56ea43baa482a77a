//! The host against real guests: each behaviour, good or bad, has a mode of `guests/rogue-source` or a key of `guests/rogue-destination`.
//! What leaves the sandbox has modes of `guests/outgoing-source`.

mod common;

mod cache;
mod command;
mod denial;
mod destination;
mod limits;
mod load;
mod network;
mod restore;
mod source;
mod speed;
mod tls;
mod verify;
mod wit;
