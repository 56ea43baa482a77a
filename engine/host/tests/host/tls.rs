//! TLS in place: whom the guest believes, and what is said of a server that it does not.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use strongroom_repository::{Error, ErrorKind, Result};

use crate::common::{self, go, limits, refused};

/// An authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A server's certificate and its key.
struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("key");
        Self(CertifiedIssuer::self_signed(params, key).expect("authority"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().expect("key");
        let params = params(names, change);
        let certificate = params.signed_by(&key, &self.0).expect("certificate");
        Identity {
            certificate: certificate.der().clone(),
            key: key.into(),
        }
    }
}

fn params(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    change(&mut params);
    params
}

type Secured = StreamOwned<ServerConnection, TcpStream>;

/// A server that answers one request for TLS, on a free port.
fn serve(
    identity: Identity,
    conversation: impl FnOnce(Secured) + Send + 'static,
) -> (u16, JoinHandle<()>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate], identity.key)
        .expect("certificate");
    serve_plain(move |stream| {
        let connection = ServerConnection::new(Arc::new(config)).expect("connection");
        conversation(StreamOwned::new(connection, stream));
    })
}

/// One that was asked for TLS and may do what it likes.
fn serve_plain(conversation: impl FnOnce(TcpStream) + Send + 'static) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let port = listener.local_addr().expect("address").port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("connection");
        let mut asked = [0; 9];
        stream.read_exact(&mut asked).expect("request");
        assert_eq!(&asked, b"STARTTLS\n");
        stream.write_all(b"S").expect("answer");
        conversation(stream);
    });
    (port, server)
}

fn greet(mut stream: Secured) {
    let mut heard = [0; 4];
    // Whether the handshake comes about is the client's to tell.
    if stream.read_exact(&mut heard).is_ok() {
        stream.write_all(b"hello ").expect("answer");
        stream.write_all(&heard).expect("answer");
        stream.conn.send_close_notify();
        stream.flush().expect("flush");
    }
}

fn upgrade(port: u16, more: Value) -> Result<String> {
    let mut config = json!({
        "mode": "upgrade", "host": "127.0.0.1", "port": port, "text": "ping",
        "connect": [format!("127.0.0.1:{port}")], "server_name": "db.internal"
    });
    if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
        config.extend(more);
    }
    go(config)
}

/// Serves `identity` once and connects with `more`.
fn attempt(identity: Identity, more: Value) -> Result<String> {
    let (port, server) = serve(identity, greet);
    let answer = upgrade(port, more);
    server.join().expect("server");
    answer
}

#[track_caller]
fn check_refused(identity: Identity, more: Value, message: &str, hint: &str) {
    let error = refused(attempt(identity, more));
    check(&error, ErrorKind::Unauthenticated, message, hint);
}

#[track_caller]
fn check(error: &Error, kind: ErrorKind, message: &str, hint: &str) {
    assert_eq!(
        (
            error.kind(),
            error.to_string(),
            error.hint_text().unwrap_or_default()
        ),
        (kind, format!("source odd: {message}"), hint)
    );
}

const AUTHORITY_HINT: &str =
    "give the certificate of the server's authority in the plugin's configuration";

#[test]
fn a_server_that_the_given_authority_vouches_for_is_believed() {
    let authority = Authority::new();
    let believed = json!({"authorities": authority.pem()});
    let identity = authority.issue(&["db.internal"], |_| {});
    assert_eq!(
        attempt(identity, believed.clone()).expect("answer"),
        "hello ping"
    );
    // An address is a name like any other.
    let identity = authority.issue(&["127.0.0.1"], |_| {});
    let by_address = json!({"authorities": authority.pem(), "server_name": "127.0.0.1"});
    assert_eq!(attempt(identity, by_address).expect("answer"), "hello ping");
}

#[test]
fn a_foreign_authority_is_not_believed() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let message = "the certificate of db.internal comes from an authority that is not trusted";
    for verify in ["full", "authority-only"] {
        let identity = theirs.issue(&["db.internal"], |_| {});
        let more = json!({"authorities": ours.pem(), "verify": verify});
        check_refused(identity, more, message, AUTHORITY_HINT);
    }
    // The system's authorities have never heard of it either.
    let identity = theirs.issue(&["db.internal"], |_| {});
    let error = refused(attempt(identity, json!({})));
    assert!(
        [ErrorKind::Unauthenticated, ErrorKind::NotFound].contains(&error.kind()),
        "{error}"
    );
    let identity = theirs.issue(&["db.internal"], |_| {});
    let anybody = attempt(
        identity,
        json!({"verify": "none", "authorities": ours.pem()}),
    );
    assert_eq!(anybody.expect("answer"), "hello ping");
}

#[test]
fn an_expired_certificate_is_refused_even_where_its_name_does_not_matter() {
    let authority = Authority::new();
    let expired = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    };
    for verify in ["full", "authority-only"] {
        let more = json!({"authorities": authority.pem(), "verify": verify});
        let error = refused(attempt(authority.issue(&["db.internal"], expired), more));
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        let message = error.to_string();
        let start = "source odd: the certificate of db.internal expired ";
        assert!(
            message.starts_with(start) && message.ends_with(" days ago"),
            "{message}"
        );
    }
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(2100, 1, 1);
    check_refused(
        authority.issue(&["db.internal"], early),
        json!({"authorities": authority.pem()}),
        "the certificate of db.internal is not valid yet",
        "look at the clocks of the server and of this machine",
    );
}

#[test]
fn a_wrong_name_is_refused_unless_only_the_authority_matters() {
    let authority = Authority::new();
    let other = || authority.issue(&["db.example.net", "10.0.0.7"], |_| {});
    check_refused(
        other(),
        json!({"authorities": authority.pem()}),
        "the certificate of db.internal is for db.example.net, 10.0.0.7",
        "connect by a name that it is for, or check the authority only",
    );
    let only = json!({"authorities": authority.pem(), "verify": "authority-only"});
    assert_eq!(
        attempt(other(), only.clone()).expect("answer"),
        "hello ping"
    );
    check_refused(
        authority.issue(&[], |_| {}),
        json!({"authorities": authority.pem()}),
        "the certificate of db.internal is for no name at all: a common name alone does not count",
        "make one with a subject alternative name, or check the authority only",
    );
    // What is no name at all has none to be compared.
    let odd = json!({"authorities": authority.pem(), "verify": "authority-only", "server_name": "what ever"});
    assert_eq!(attempt(other(), odd).expect("answer"), "hello ping");
}

#[test]
fn a_certificate_that_signed_itself_is_believed_where_it_was_given() {
    for is_ca in [true, false] {
        let own = || {
            let key = KeyPair::generate().expect("key");
            let params = params(&["db.internal"], |params| {
                if is_ca {
                    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                }
            });
            let certificate = params.self_signed(&key).expect("certificate");
            let identity = Identity {
                certificate: certificate.der().clone(),
                key: key.into(),
            };
            (identity, certificate.pem())
        };
        let (identity, pem) = own();
        let answer = attempt(identity, json!({"authorities": pem}));
        assert_eq!(answer.expect("answer"), "hello ping", "authority: {is_ca}");

        let ((identity, _), (_, another)) = (own(), own());
        let error = refused(attempt(identity, json!({"authorities": another})));
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");

        let (identity, pem) = own();
        let wrong_name = json!({"authorities": pem, "server_name": "db.example.net"});
        let error = refused(attempt(identity, wrong_name));
        assert!(error.to_string().ends_with("is for db.internal"), "{error}");
    }
}

#[test]
fn authorities_that_cannot_be_read_are_a_fault_of_the_configuration() {
    let identity = Authority::new().issue(&["db.internal"], |_| {});
    let error = refused(attempt(identity, json!({"authorities": "/etc/ssl/ca.pem"})));
    check(
        &error,
        ErrorKind::InvalidConfig,
        "the authorities' certificates are none",
        "give certificates as PEM: -----BEGIN CERTIFICATE----- and so on",
    );
}

#[test]
fn a_server_that_closes_in_the_handshake_is_named() {
    // At once, and after it heard the first message.
    for heard in [0, 5] {
        let (port, server) = serve_plain(move |mut stream| {
            stream.read_exact(&mut vec![0; heard]).expect("hello");
        });
        let error = refused(upgrade(port, json!({"verify": "none"})));
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(
            error.to_string().ends_with("in the TLS handshake")
                || error.to_string().contains("broke in the TLS handshake"),
            "{error}"
        );
        server.join().expect("server");
    }
}

#[test]
fn streams_that_lead_nowhere_are_a_server_that_closed() {
    let error = refused(common::check(
        limits(),
        r#"{"mode": "tls", "path": "db.internal"}"#,
    ));
    check(
        &error,
        ErrorKind::Unavailable,
        "db.internal closed the connection in the TLS handshake",
        "its log says why; it may want a client's certificate, or speak no TLS on this port",
    );
}

#[test]
fn a_server_that_speaks_no_tls_is_told_apart() {
    let (port, server) = serve_plain(|mut stream| {
        stream
            .write_all(b"ERROR: what is this?\r\n")
            .expect("answer");
        let _ = stream.read(&mut [0; 1000]);
    });
    let error = refused(upgrade(port, json!({"verify": "none"})));
    // What it said may have come before TLS began: that is refused even earlier.
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    server.join().expect("server");
}

#[test]
fn what_was_sent_before_tls_is_not_taken_for_what_is_inside() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let port = listener.local_addr().expect("address").port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("connection");
        stream.read_exact(&mut [0; 9]).expect("request");
        stream.write_all(b"Sinjected").expect("answer");
        let _ = stream.read(&mut [0; 1000]);
    });
    let error = refused(upgrade(port, json!({"verify": "none"})));
    assert_eq!(
        error.to_string(),
        format!("source odd: 127.0.0.1:{port} sent 8 bytes where TLS should begin")
    );
    server.join().expect("server");
}

#[test]
fn a_stream_that_is_cut_off_is_no_end() {
    let authority = Authority::new();
    let identity = authority.issue(&["db.internal"], |_| {});
    let (port, server) = serve(identity, |mut stream| {
        stream.read_exact(&mut [0; 4]).expect("request");
        stream.write_all(b"half an ans").expect("answer");
        stream.flush().expect("flush");
        // No close_notify.
        drop(stream.sock);
    });
    let error = refused(upgrade(port, json!({"authorities": authority.pem()})));
    let message = error.to_string();
    assert!(
        message.contains("closed without ending TLS: something may be missing"),
        "{message}"
    );
    server.join().expect("server");
}

#[test]
fn megabytes_go_both_ways_inside() {
    const LENGTH: usize = 5_000_001;
    let authority = Authority::new();
    let (port, server) = serve(authority.issue(&["db.internal"], |_| {}), |mut stream| {
        let mut bytes = vec![0; LENGTH];
        stream.read_exact(&mut bytes).expect("bytes");
        assert!(bytes.iter().all(|&byte| byte == b'x'));
        stream.write_all(&vec![1; LENGTH]).expect("answer");
        stream.flush().expect("flush");
        // The client ends it properly.
        assert_eq!(stream.read(&mut [0]).expect("close_notify"), 0);
    });
    let more = json!({
        "mode": "exchange in TLS", "authorities": authority.pem(), "text": LENGTH.to_string()
    });
    assert_eq!(upgrade(port, more).expect("sum"), LENGTH.to_string());
    server.join().expect("server");
}
