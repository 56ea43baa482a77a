//! Which backups are kept: a policy, the backups of one source, now and a time zone in; a plan with its reasons out. Nothing here looks at a
//! clock or touches anything.
//!
//! ```text
//! policy ─► plan ─► reasons of each backup; none: it is forgotten
//!             └► cascade, by periods of the calendar
//! ```
//!
//! What holds for the calendar's rules, and is tested over ten years: what they keep of a history they keep again when the rest is gone, or as
//! much of the rest as was made after some moment. So a second application changes nothing, one that removes the newest first and is
//! interrupted is finished by the next, and forgetting after every backup ends with what forgetting once at the end keeps, as long as each
//! backup is the newest when it is made.

pub mod cascade;
pub mod groups;
pub mod period;
pub mod plan;
pub mod policy;
pub mod reason;

pub use groups::{Group, Held, groups};
pub use period::Period;
pub use plan::{Candidate, plan};
pub use policy::Policy;
pub use reason::Reason;

#[cfg(test)]
mod tests;
