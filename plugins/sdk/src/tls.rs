//! TLS over streams that are already open, so that protocols which upgrade in place can. The engine speaks it.

use crate::Result;
use crate::bindings::plugin::strongroom::plugin::tls;
use crate::stream::{Input, Output};

/// Whom to expect at the other end, and whom to believe.
pub use tls::Options;
/// How much of the certificate is checked.
pub use tls::Verify;

/// Shakes hands, and returns the streams of what is inside.
pub fn connect(options: &Options, input: Input, output: Output) -> Result<(Input, Output)> {
    let (input, output) = tls::connect(options, input.into_inner(), output.into_inner())?;
    Ok((Input::new(input), Output::new(output)))
}
