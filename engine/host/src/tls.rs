//! TLS for guests: `strongroom:plugin/tls`. In go two open streams and whom to expect at the other end, out come the streams of what is inside.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use strongroom_repository::{Error, ErrorKind};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use crate::bindings::imports::{tls, types};
use crate::certificates::Verifier;
use crate::convert;
use crate::distrust::explain;
use crate::handshake::{self, Broken};
use crate::sandbox::Sandbox;
use crate::secured;

/// How long a server may take over the handshake.
const PATIENCE: Duration = Duration::from_secs(30);

impl tls::Host for Sandbox {
    async fn connect(
        &mut self,
        options: tls::Options,
        input: Resource<DynInputStream>,
        output: Resource<DynOutputStream>,
    ) -> wasmtime::Result<Result<(Resource<DynInputStream>, Resource<DynOutputStream>), types::Error>>
    {
        let input = self.table.delete(input)?;
        let output = self.table.delete(output)?;
        match shake_hands(&options, input, output).await {
            Ok((input, output)) => Ok(Ok((self.table.push(input)?, self.table.push(output)?))),
            Err(error) => Ok(Err(convert::error_to_guest(&error))),
        }
    }
}

async fn shake_hands(
    options: &tls::Options,
    mut input: DynInputStream,
    mut output: DynOutputStream,
) -> Result<(DynInputStream, DynOutputStream), Error> {
    let server = convert::tidy(&options.server_name);
    let mut connection = connection(options, &server)?;
    let handshake = handshake::shake_hands(&mut connection, &mut input, &mut output);
    match tokio::time::timeout(PATIENCE, handshake).await {
        Ok(Ok(received)) => Ok(secured::split(connection, received, input, output)),
        Ok(Err(Broken::Protocol(error))) => Err(explain(&error, &server)),
        Ok(Err(Broken::Closed)) => Err(Error::new(
            ErrorKind::Unavailable,
            format!("{server} closed the connection in the TLS handshake"),
        )
        .hint(
            "its log says why; it may want a client's certificate, or speak no TLS on this port",
        )),
        Ok(Err(Broken::Stream(reason))) => Err(Error::new(
            ErrorKind::Unavailable,
            format!("the connection to {server} broke in the TLS handshake: {reason}"),
        )),
        Err(_) => Err(Error::new(
            ErrorKind::TimedOut,
            format!(
                "{server} did not finish the TLS handshake within {} s",
                PATIENCE.as_secs()
            ),
        )),
    }
}

fn connection(options: &tls::Options, server: &str) -> Result<ClientConnection, Error> {
    let name = match ServerName::try_from(options.server_name.clone()) {
        Ok(name) => name,
        // Nobody compares it, and an address is not sent along.
        Err(_) if options.verify != tls::Verify::Full => IpAddr::from(Ipv4Addr::UNSPECIFIED).into(),
        Err(_) => {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("'{server}' is no name that a certificate could be for"),
            ));
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new(options.verify, options.authorities.as_deref(), &provider)?;
    let unusable = |error: rustls::Error| {
        Error::new(
            ErrorKind::Failed,
            format!("cannot speak TLS with {server}: {error}"),
        )
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    // Each connection is a session of its own.
    config.resumption = rustls::client::Resumption::disabled();
    ClientConnection::new(Arc::new(config), name).map_err(unusable)
}
