//! What people and programs see: data in, text out. Results go to standard output, everything else to standard error.

pub mod attribute;
pub mod narrow;
pub mod progress;
pub mod screen;
pub mod size;
pub mod span;
pub mod style;
pub mod table;
pub mod text;
pub mod time;
