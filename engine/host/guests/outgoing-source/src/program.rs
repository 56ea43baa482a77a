//! What can be told to do with a program.

use std::io::{Read, Write};

use strongroom_plugin::command::{Command, Exit, Process};
use strongroom_plugin::stream::splice;
use strongroom_plugin::{
    Attributes, Begun, Entry, Error, Finding, Result, Scratch, Sink, Verification, Writer,
};

use crate::{Config, attribute, unknown};

pub(crate) fn check(config: &Config) -> Result<Attributes> {
    match config.mode.as_str() {
        // Writes the text, reads what comes, and waits: `CODE|OUTPUT|ERRORS`.
        "run" => {
            let mut process = start(config)?;
            let mut stdin = process.stdin();
            if let Some(stdin) = &mut stdin {
                stdin.write_all(config.text.as_bytes())?;
                stdin.flush()?;
            }
            drop(stdin);
            let mut output = String::new();
            if let Some(mut stdout) = process.stdout() {
                stdout.read_to_string(&mut output)?;
            }
            let exit = process.wait()?;
            Ok(attribute(
                "run",
                format!("{}|{output}|{}", exit.code, exit.stderr),
            ))
        }
        // Waits without having looked at its streams.
        "wait" => Ok(described(&start(config)?.wait()?)),
        "success" => start(config)?.success().map(|()| Vec::new()),
        // Writes the text again and again until that fails.
        "feed" => {
            let mut process = start(config)?;
            let mut stdin = process.stdin();
            let failure = loop {
                if let Some(stdin) = &mut stdin
                    && let Err(error) = stdin.write_all(config.text.as_bytes())
                {
                    break Error::from(error);
                }
            };
            drop(stdin);
            Err(process.explain(failure))
        }
        // Reads so many bytes as the text says, and lets go of the output.
        "sip" => {
            let mut process = start(config)?;
            if let Some(mut stdout) = process.stdout() {
                let length = config.text.parse().unwrap_or_default();
                stdout.read_exact(&mut vec![0; length])?;
            }
            Ok(described(&process.wait()?))
        }
        // Lets go of a program that runs.
        "drop" => {
            let mut process = start(config)?;
            let mut first = [0; 16];
            let length = match process.stdout() {
                Some(mut stdout) => stdout.read(&mut first)?,
                None => 0,
            };
            let first = String::from_utf8_lossy(first.get(..length).unwrap_or_default());
            Ok(attribute("first", first.trim_end()))
        }
        // Starts it again and again and keeps all of them; lets go of them and runs it once more: `COUNT|ERROR|CODE`.
        "hoard" => {
            let mut processes = Vec::new();
            let error = loop {
                match start(config) {
                    Ok(process) => processes.push(process),
                    Err(error) => break error,
                }
            };
            let count = processes.len();
            let Some(mut last) = processes.pop() else {
                return Err(error);
            };
            drop(last.stdin());
            let code = last.wait()?.code;
            drop(last);
            // The engine sees it end in its own time.
            while let Err(again) = start(config) {
                if again.message() != error.message() {
                    return Err(again);
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            Ok(attribute(
                "hoard",
                format!("{count}|{}|{code}", error.message()),
            ))
        }
        "take twice" => {
            let mut process = start(config)?;
            let taken = [process.stdin().is_some(), process.stdin().is_some()];
            let read = [process.stdout().is_some(), process.stdout().is_some()];
            Ok(attribute("taken", format!("{taken:?} {read:?}")))
        }
        other => Err(unknown(other)),
    }
}

/// Holds a program that runs, until it has made the file `ready` in the scratch directory; then tells what it sees of it, without waiting.
pub(crate) fn held(config: &Config, scratch: &Scratch) -> Result<Verification> {
    let process = start(config)?;
    while !std::fs::exists(scratch.path("ready"))? && process.ended().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let seen = match process.ended() {
        Some(exit) => format!("ended with {}", exit.code),
        None => "runs".into(),
    };
    let finding = Finding::passed("program", seen);
    Ok(Verification {
        findings: vec![finding],
        attributes: Vec::new(),
    })
}

pub(crate) fn backup(config: &Config, sink: &Sink) -> Result<Attributes> {
    match config.mode.as_str() {
        "dump" => {
            let summary = start(config)?.into_file(begin(sink)?)?;
            Ok(attribute("bytes", summary.bytes))
        }
        // Takes the end of the output for success, as nobody should.
        "trust" => {
            let mut process = start(config)?;
            let mut writer = begin(sink)?;
            if let Some(mut stdout) = process.stdout() {
                let mut body = writer.body()?;
                splice(&mut stdout, &mut body)?;
            }
            let exit = process.wait()?;
            writer.finish()?;
            Ok(described(&exit))
        }
        other => Err(unknown(other)),
    }
}

fn start(config: &Config) -> Result<Process> {
    let mut command = Command::new(&config.program).args(&config.args);
    for (name, value) in &config.env {
        command = command.env(name, value);
    }
    command.spawn()
}

fn begin(sink: &Sink) -> Result<Writer> {
    let entry = Entry {
        path: "dump.sql".into(),
        ..Entry::default()
    };
    match sink.file(&entry)? {
        Begun::Write(writer) => Ok(writer),
        Begun::Unchanged => Err(unknown("unchanged")),
    }
}

fn described(exit: &Exit) -> Attributes {
    attribute("exit", format!("{}|{}", exit.code, exit.stderr))
}
