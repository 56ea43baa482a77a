//! What can be told to do over the network.

use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use strongroom_plugin::net::{Connection, connect};
use strongroom_plugin::{Attributes, Begun, Entry, Result, Sink, tls};

use crate::{Config, attribute, unknown};

pub(crate) fn check(config: &Config) -> Result<Attributes> {
    let place = (config.host.as_str(), config.port);
    match config.mode.as_str() {
        // Sends the text, and answers with all that comes back.
        "ask" => ask(open(config)?, &config.text),
        "ask through std" => {
            let mut stream = TcpStream::connect(place)?;
            stream.write_all(config.text.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(attribute("answer", answer))
        }
        "look up" => {
            let addresses: Vec<String> = place
                .to_socket_addrs()?
                .map(|address| address.ip().to_string())
                .collect();
            Ok(attribute("addresses", addresses.join(" ")))
        }
        // Resolves the name, and goes to another port of what it led to.
        "sidestep" => {
            let address = place.to_socket_addrs()?.next().map(|found| found.ip());
            TcpStream::connect((address.unwrap_or([0, 0, 0, 0].into()), place.1 + 1))?;
            Ok(Vec::new())
        }
        "listen" => Ok(attribute("at", TcpListener::bind(place)?.local_addr()?)),
        "datagram" => {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            Ok(attribute("sent", socket.send_to(b"x", place)?))
        }
        // Line by line, without a flush in between.
        "converse" => {
            let mut connection = open(config)?;
            let mut heard = Vec::new();
            for line in config.text.lines() {
                writeln!(connection, "{line}")?;
                let mut answer = String::new();
                connection.read_line(&mut answer)?;
                heard.push(answer.trim_end().to_owned());
            }
            Ok(attribute("answer", heard.join(" ")))
        }
        // Gives and takes as many bytes as the text says.
        "exchange" => exchange(open(config)?, &config.text),
        // Asks for TLS in the clear, and goes on inside of it.
        "upgrade" => ask(upgrade(config)?, &config.text),
        "exchange in TLS" => exchange(upgrade(config)?, &config.text),
        other => Err(unknown(other)),
    }
}

pub(crate) fn backup(config: &Config, sink: &Sink) -> Result<Attributes> {
    match config.mode.as_str() {
        "splice" => {
            let mut connection = open(config)?;
            let mut header = String::new();
            connection.read_line(&mut header)?;
            let entry = Entry {
                path: header.trim_end().into(),
                ..Entry::default()
            };
            let Begun::Write(mut writer) = sink.file(&entry)? else {
                return Ok(Vec::new());
            };
            let mut body = writer.body()?;
            let moved = connection.splice(&mut body, u64::MAX)?;
            drop(body);
            writer.finish()?;
            Ok(attribute("bytes", moved))
        }
        other => Err(unknown(other)),
    }
}

fn open(config: &Config) -> Result<Connection> {
    connect(&config.host, config.port)
}

fn ask(mut connection: Connection, text: &str) -> Result<Attributes> {
    connection.write_all(text.as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(attribute("answer", answer))
}

fn upgrade(config: &Config) -> Result<Connection> {
    let mut connection = open(config)?;
    connection.write_all(b"STARTTLS\n")?;
    connection.flush()?;
    // One byte, as PostgreSQL answers.
    connection.read_exact(&mut [0])?;
    connection.upgrade(&tls::Options {
        server_name: config.server_name.clone(),
        verify: match config.verify.as_str() {
            "none" => tls::Verify::None,
            "authority-only" => tls::Verify::AuthorityOnly,
            _ => tls::Verify::Full,
        },
        authorities: config.authorities.clone(),
    })
}

fn exchange(mut connection: Connection, length: &str) -> Result<Attributes> {
    let length: usize = length.parse().unwrap_or_default();
    connection.write_all(&vec![b'x'; length])?;
    connection.flush()?;
    let mut back = vec![0; length];
    connection.read_exact(&mut back)?;
    let sum: u64 = back.iter().map(|&byte| u64::from(byte)).sum();
    Ok(attribute("sum", sum))
}
