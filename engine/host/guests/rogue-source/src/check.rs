//! What `check` can be told to do.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::sockets::network::IpAddressFamily;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

use crate::exports::strongroom::plugin::source::Attributes;
use crate::strongroom::plugin::types::{Error, ErrorKind};
use crate::strongroom::plugin::{command, log, progress, tls};
use crate::{Config, failed};

pub(crate) fn check(config: &Config) -> Result<Attributes, Error> {
    let path = config.text("path");
    match config.text("mode") {
        "panic" => panic!("lost the thread\nand the plot"),
        "trap" => std::process::abort(),
        "last words" => {
            eprintln!("goodbye");
            std::process::abort()
        }
        "exit" => std::process::exit(7),
        "spin" => spin(),
        "spin with calls" => loop {
            std::hint::black_box(std::time::Instant::now());
        },
        "sleep" => std::thread::sleep(Duration::from_secs(u64::MAX >> 20)),
        "eat" => eat(),
        "recurse" => return Err(failed(recurse(1))),
        "recurse with frames" => return Err(failed(recurse_with_frames(1))),
        "error" => return Err(error(config.text("kind"))),
        "read" => {
            let text = std::fs::read_to_string(path).map_err(failed)?;
            return Ok(vec![("content".into(), text)]);
        }
        "write" => std::fs::write(path, "mine").map_err(failed)?,
        "connect" => drop(std::net::TcpStream::connect(path).map_err(failed)?),
        "look up" => {
            use std::net::ToSocketAddrs;
            (path, 80).to_socket_addrs().map(drop).map_err(failed)?;
        }
        "environment" => {
            let all = std::env::vars().chain(std::env::args().map(|arg| (arg, String::new())));
            return Ok(all.collect());
        }
        "spawn" => drop(command::spawn(path, &[], &[])?),
        "tls" => drop(speak_tls(path)?),
        "hoard sockets" => {
            let mut sockets = Vec::new();
            let error = loop {
                match create_tcp_socket(IpAddressFamily::Ipv4) {
                    Ok(socket) => sockets.push(socket),
                    Err(error) => break error,
                }
            };
            let count = sockets.len();
            sockets.pop();
            let again = create_tcp_socket(IpAddressFamily::Ipv4).is_ok();
            let told = format!("{count}|{}|{again}", error.name());
            return Ok(vec![("hoard".into(), told)]);
        }
        "hoard timers" => loop {
            std::mem::forget(subscribe_duration(u64::MAX));
        },
        "shout" => crate::rogue::source::unheard_of::shout(),
        "talk" => {
            let fields = [("key".to_owned(), "value\u{1b}[31m".to_owned())];
            log::emit(log::Level::Warn, "look\nout", &fields);
            progress::step("looking");
            progress::expect(Some(100), Some(7));
        }
        _ => {}
    }
    Ok(vec![("mode".into(), config.text("mode").into())])
}

/// Computes for ever without a word to the engine.
pub(crate) fn spin() -> ! {
    let mut number = 0u64;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
    }
}

fn eat() {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(std::hint::black_box(vec![1; 1 << 20]));
    }
}

/// Fills the engine's stack: no local needs an address.
#[inline(never)]
fn recurse(number: u64) -> u64 {
    if NEVER.load(Relaxed) {
        return number;
    }
    number ^ recurse(number.wrapping_mul(3)).rotate_left(3)
}

/// Fills the stack in the guest's own memory first.
#[inline(never)]
fn recurse_with_frames(number: u64) -> u64 {
    if NEVER.load(Relaxed) {
        return number;
    }
    let frame = std::hint::black_box([number; 64]);
    number ^ recurse_with_frames(frame[5] + 1).rotate_left(3)
}

static NEVER: AtomicBool = AtomicBool::new(false);

fn error(kind: &str) -> Error {
    let kinds = [
        ("invalid-config", ErrorKind::InvalidConfig),
        ("denied", ErrorKind::Denied),
        ("unauthenticated", ErrorKind::Unauthenticated),
        ("not-found", ErrorKind::NotFound),
        ("already-exists", ErrorKind::AlreadyExists),
        ("unavailable", ErrorKind::Unavailable),
        ("timed-out", ErrorKind::TimedOut),
        ("throttled", ErrorKind::Throttled),
        ("out-of-space", ErrorKind::OutOfSpace),
        ("unsupported", ErrorKind::Unsupported),
        ("corrupted", ErrorKind::Corrupted),
        ("cancelled", ErrorKind::Cancelled),
        ("failed", ErrorKind::Failed),
    ];
    let found = kinds.iter().find(|(name, _)| *name == kind);
    Error {
        kind: found.map_or(ErrorKind::Failed, |(_, kind)| *kind),
        message: format!("as asked: {kind}"),
        hint: Some("ask for something else".into()),
    }
}

fn speak_tls(server_name: &str) -> Result<impl Sized, Error> {
    let options = tls::Options {
        server_name: server_name.into(),
        verify: tls::Verify::Full,
        authorities: None,
    };
    let input = wasip2::cli::stdin::get_stdin();
    let output = wasip2::cli::stdout::get_stdout();
    tls::connect(&options, input, output)
}
