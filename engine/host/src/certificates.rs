//! Whom to believe: in goes what the plugin asked for, out comes a check of the server's certificate.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use strongroom_repository::{Error, ErrorKind};

use crate::bindings::imports::tls::Verify;

/// Checks a server's certificate.
#[derive(Debug)]
pub(crate) struct Verifier {
    verify: Verify,
    roots: RootCertStore,
    /// What was given in place of the system's authorities.
    given: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    /// `authorities` are PEM certificates that are trusted in place of the system's.
    pub(crate) fn new(
        verify: Verify,
        authorities: Option<&str>,
        provider: &CryptoProvider,
    ) -> Result<Self, Error> {
        let (roots, given) = match (verify, authorities) {
            (Verify::None, _) => (RootCertStore::empty(), Vec::new()),
            (_, Some(pem)) => given(pem)?,
            (_, None) => (system()?, Vec::new()),
        };
        Ok(Self {
            verify,
            roots,
            given,
            algorithms: provider.signature_verification_algorithms,
        })
    }

    /// A chain to an authority. A certificate that signed itself, and may sign others, is its own authority where it was given as one: servers
    /// are often set up so, and no chain can end in it.
    fn verify_chain(
        &self,
        certificate: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let algorithms = self.algorithms.all;
        let checked = verify_server_cert_signed_by_trust_anchor(
            parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        );
        match checked {
            Err(error) if is_authority_itself(&error) && self.given.contains(certificate) => Ok(()),
            checked => checked,
        }
    }
}

fn given(pem: &str) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), Error> {
    let wrong = |what: String| {
        Error::new(
            ErrorKind::InvalidConfig,
            format!("the authorities' certificates {what}"),
        )
        .hint("give certificates as PEM: -----BEGIN CERTIFICATE----- and so on")
    };
    let given: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if given.is_empty() {
        return Err(wrong("are none".into()));
    }
    let mut roots = RootCertStore::empty();
    for certificate in &given {
        roots
            .add(certificate.clone())
            .map_err(|error| wrong(format!("cannot be used: {error}")))?;
    }
    Ok((roots, given))
}

fn system() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    // One that is not understood is no reason to distrust the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Error::new(
            ErrorKind::NotFound,
            "this machine has no certificates of authorities",
        )
        .hint("install them (the package is often called ca-certificates), or give the server's authority"));
    }
    Ok(roots)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.verify != Verify::None {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            self.verify_chain(end_entity, &parsed, intermediates, now)?;
            if self.verify == Verify::Full {
                verify_server_name(&parsed, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.verify {
            // Whoever signed it, it was not asked for.
            Verify::None => Ok(HandshakeSignatureValid::assertion()),
            _ => verify_tls12_signature(message, certificate, signature, &self.algorithms),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.verify {
            Verify::None => Ok(HandshakeSignatureValid::assertion()),
            _ => verify_tls13_signature(message, certificate, signature, &self.algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The certificate passed all checks (its dates among them) up to being one that signs others.
pub(crate) fn is_authority_itself(error: &rustls::Error) -> bool {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_that_are_none_are_refused() {
        let provider = rustls::crypto::ring::default_provider();
        for (pem, message) in [
            ("", "the authorities' certificates are none"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "the authorities' certificates cannot be used: ",
            ),
        ] {
            let error = Verifier::new(Verify::Full, Some(pem), &provider).expect_err(pem);
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().starts_with(message), "{error}");
        }
    }
}
