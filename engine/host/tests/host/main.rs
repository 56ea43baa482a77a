//! The host against real guests: each behaviour, good or bad, has a mode of `guests/rogue-source` or a key of `guests/rogue-destination`.

mod common;

mod cache;
mod denial;
mod destination;
mod limits;
mod load;
mod restore;
mod source;
mod speed;
mod wit;
