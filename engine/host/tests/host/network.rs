//! Connections: to granted places and nowhere else, with errors that name the place.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strongroom_host::Limits;
use strongroom_repository::source::Kind;
use strongroom_repository::{Error, ErrorKind, Progress, Result};

use crate::common::{go, limits, outgoing, refused};
use crate::source::Recorder;

/// Serves one connection on a free port.
fn serve(
    address: &str,
    conversation: impl FnOnce(TcpStream) + Send + 'static,
) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind((address, 0)).expect("listener");
    let port = listener.local_addr().expect("address").port();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("connection");
        conversation(stream);
    });
    (port, server)
}

/// Says hello, and repeats what it hears.
fn greet(mut stream: TcpStream) {
    let mut heard = [0; 4];
    stream.read_exact(&mut heard).expect("four bytes");
    stream.write_all(b"hello ").expect("answer");
    stream.write_all(&heard).expect("answer");
}

/// A port that nobody listens on.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    listener.local_addr().expect("address").port()
}

fn ask(host: &str, port: u16, connect: &[String]) -> Result<String> {
    go(json!({"mode": "ask", "host": host, "port": port, "text": "ping", "connect": connect}))
}

/// `(kind, message, hint)`.
fn parts(error: &Error) -> (ErrorKind, String, &str) {
    let hint = error.hint_text().unwrap_or_default();
    (error.kind(), error.to_string(), hint)
}

#[test]
fn a_connection_needs_a_grant_and_then_carries_bytes_both_ways() {
    let (port, server) = serve("127.0.0.1", greet);
    let error = refused(ask("127.0.0.1", port, &[]));
    assert_eq!(
        parts(&error),
        (
            ErrorKind::Denied,
            format!("source odd: is not allowed to connect to 127.0.0.1:{port}"),
            format!(
                r#"if it should be, set in [sources.odd]: allow = {{ connect = ["127.0.0.1:{port}"] }}"#
            )
            .as_str()
        )
    );
    let granted = [format!("127.0.0.1:{port}")];
    assert_eq!(
        ask("127.0.0.1", port, &granted).expect("answer"),
        "hello ping"
    );
    server.join().expect("server");
}

#[test]
fn a_granted_name_is_resolved_by_the_engine() {
    let (port, server) = serve("127.0.0.1", greet);
    let granted = [format!("LocalHost:{port}")];
    assert_eq!(
        ask("localhost", port, &granted).expect("answer"),
        "hello ping"
    );
    server.join().expect("server");
}

#[test]
fn an_ipv6_address_stands_in_brackets_in_the_grant() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    for host in ["::1", "[::1]"] {
        let (port, server) = serve("::1", greet);
        let error = refused(ask(host, port, &[]));
        let hint = error.hint_text().unwrap_or_default();
        assert!(hint.contains(&format!(r#"["[::1]:{port}"]"#)), "{hint}");
        let granted = [format!("[::1]:{port}")];
        assert_eq!(ask(host, port, &granted).expect("answer"), "hello ping");
        server.join().expect("server");
    }
}

#[test]
fn another_port_of_a_granted_host_is_denied() {
    let granted = [format!("127.0.0.1:{}", closed_port())];
    let (port, _server) = serve("127.0.0.1", greet);
    let error = refused(ask("127.0.0.1", port, &granted));
    assert_eq!(error.kind(), ErrorKind::Denied);
    let (message, line) = (
        error.to_string(),
        format!(r#"["{}", "127.0.0.1:{port}"]"#, granted[0]),
    );
    assert!(
        message.ends_with(&format!("not allowed to connect to 127.0.0.1:{port}")),
        "{message}"
    );
    assert!(
        error.hint_text().unwrap_or_default().contains(&line),
        "{line}"
    );
}

#[test]
fn a_name_opens_its_own_port_where_it_leads_and_no_other() {
    // The name leads to an address that another port was granted of.
    let port = closed_port();
    let other = format!("127.0.0.1:{}", port + 1);
    let granted = [format!("localhost:{port}"), other.clone()];
    assert_eq!(
        refused(ask("localhost", port + 1, &granted)).kind(),
        ErrorKind::Denied
    );
    // Not asking for leave first changes nothing.
    let sidestep = |granted: &[String]| {
        let config =
            json!({"mode": "sidestep", "host": "localhost", "port": port, "connect": granted});
        refused(go(config))
    };
    let error = sidestep(&granted[..1]);
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(
        error.to_string().contains("not allowed to connect to"),
        "{error}"
    );
    assert_ne!(
        sidestep(&[granted[0].clone(), other, format!("[::1]:{}", port + 1)]).kind(),
        ErrorKind::Denied
    );
}

#[test]
fn what_does_not_use_the_sdk_is_held_to_the_same_grants() {
    let (port, server) = serve("127.0.0.1", greet);
    let through_std = |host: &str, connect: Value| {
        go(
            json!({"mode": "ask through std", "host": host, "port": port, "text": "ping", "connect": connect}),
        )
    };
    let denied = "source odd: permission denied: is not allowed to connect to";
    let hint = "if it should be, set in [sources.odd]: allow = { connect =";
    let error = refused(through_std("127.0.0.1", json!(["other:80"])));
    assert_eq!(
        parts(&error),
        (
            ErrorKind::Denied,
            format!("{denied} 127.0.0.1:{port}"),
            format!(r#"{hint} ["other:80", "127.0.0.1:{port}"] }}"#).as_str()
        )
    );
    // Without any grant it does not come as far as an address.
    let error = refused(through_std("127.0.0.1", json!([])));
    assert_eq!(
        parts(&error),
        (
            ErrorKind::Denied,
            format!("{denied} HOST:PORT"),
            format!(r#"{hint} ["HOST:PORT"] }}"#).as_str()
        )
    );
    assert!(through_std("localhost", json!([format!("127.0.0.1:{port}")])).is_err());
    let answer = through_std("localhost", json!([format!("localhost:{port}")]));
    assert_eq!(answer.expect("answer"), "hello ping");
    server.join().expect("server");
}

#[test]
fn only_granted_names_are_resolved() {
    let look_up = |host: &str, connect: Value| {
        go(json!({"mode": "look up", "host": host, "port": 80, "connect": connect}))
    };
    assert!(look_up("localhost", json!([])).is_err());
    assert!(look_up("localhost", json!(["127.0.0.1:80", "other:80"])).is_err());
    let found = look_up("localhost", json!(["localhost:5432"])).expect("found");
    assert!(
        found.contains("127.0.0.1") || found.contains("::1"),
        "{found}"
    );
}

#[test]
fn nothing_listens_and_nothing_but_tcp_is_spoken() {
    let port = closed_port();
    let granted = json!([format!("127.0.0.1:{port}")]);
    for mode in ["listen", "datagram"] {
        for port in [port, 0] {
            let config =
                json!({"mode": mode, "host": "127.0.0.1", "port": port, "connect": granted});
            refused(go(config));
        }
    }
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_server_that_is_not_there_is_named_at_once() {
    let port = closed_port();
    let started = Instant::now();
    let error = refused(ask("127.0.0.1", port, &[format!("127.0.0.1:{port}")]));
    assert_eq!(
        parts(&error),
        (
            ErrorKind::Unavailable,
            format!("source odd: cannot connect to 127.0.0.1:{port}: connection refused"),
            "see to it that the server runs, and listens on that address and port"
        )
    );
    let error = refused(ask(
        "nowhere.invalid",
        port,
        &[format!("nowhere.invalid:{port}")],
    ));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        error.to_string(),
        format!(
            "source odd: cannot connect to nowhere.invalid:{port}: the name leads to no address"
        )
    );
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_request_is_sent_before_its_answer_is_read() {
    let (port, server) = serve("127.0.0.1", |stream| {
        let mut lines = BufReader::new(&stream).lines();
        while let Some(Ok(line)) = lines.next() {
            writeln!(&stream, "{}", line.to_uppercase()).expect("answer");
        }
    });
    let answer = go(json!({
        "mode": "converse", "host": "127.0.0.1", "port": port, "text": "one\ntwo\nthree",
        "connect": [format!("127.0.0.1:{port}")]
    }));
    assert_eq!(answer.expect("answer"), "ONE TWO THREE");
    server.join().expect("server");
}

#[test]
fn megabytes_go_both_ways() {
    const LENGTH: usize = 5_000_001;
    let (port, server) = serve("127.0.0.1", |mut stream| {
        let mut bytes = vec![0; LENGTH];
        stream.read_exact(&mut bytes).expect("bytes");
        assert!(bytes.iter().all(|&byte| byte == b'x'));
        stream.write_all(&vec![1; LENGTH]).expect("answer");
    });
    let sum = go(json!({
        "mode": "exchange", "host": "127.0.0.1", "port": port, "text": LENGTH.to_string(),
        "connect": [format!("127.0.0.1:{port}")]
    }));
    assert_eq!(sum.expect("sum"), LENGTH.to_string());
    server.join().expect("server");
}

#[test]
fn a_connection_is_spliced_into_the_backup_after_what_was_read_ahead() {
    const LENGTH: usize = 3_000_000;
    let (port, server) = serve("127.0.0.1", |mut stream| {
        stream.write_all(b"dump.sql\nheader").expect("first");
        stream.write_all(&vec![b'x'; LENGTH]).expect("rest");
        stream.shutdown(Shutdown::Write).expect("end");
    });
    let config = json!({
        "mode": "splice", "host": "127.0.0.1", "port": port,
        "connect": [format!("127.0.0.1:{port}")]
    });
    let sink = Recorder::default();
    outgoing(limits(), &config, Arc::default())
        .backup(Kind::Full, &sink)
        .expect("backup");
    let length = LENGTH + "header".len();
    assert_eq!(
        sink.events(),
        [
            "file dump.sql 0".to_owned(),
            format!("finish dump.sql {length} bytes")
        ]
    );
    server.join().expect("server");
}

#[test]
fn a_connection_that_breaks_says_where_it_led() {
    let (port, server) = serve("127.0.0.1", drop);
    let error = refused(go(json!({
        "mode": "exchange", "host": "127.0.0.1", "port": port, "text": "5000000",
        "connect": [format!("127.0.0.1:{port}")]
    })));
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let start = format!("source odd: the connection to 127.0.0.1:{port} broke: ");
    assert!(error.to_string().starts_with(&start), "{error}");
    server.join().expect("server");
}

#[test]
fn a_read_that_waits_for_a_silent_server_ends_with_the_run() {
    let (port, server) = serve("127.0.0.1", |mut stream| {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    });
    let limits = Limits {
        cancel_grace: Duration::from_millis(200),
        ..limits()
    };
    let config = json!({
        "mode": "splice", "host": "127.0.0.1", "port": port,
        "connect": [format!("127.0.0.1:{port}")]
    });
    let progress = Arc::new(Progress::default());
    let cancel = progress.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        cancel.cancel();
    });
    let started = Instant::now();
    let sink = Recorder::default();
    let error = refused(outgoing(limits, &config, progress).backup(Kind::Full, &sink));
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    assert!(started.elapsed() < Duration::from_secs(20));
    canceller.join().expect("canceller");
    // The connection is closed, or the server would wait for ever.
    server.join().expect("server");
}
