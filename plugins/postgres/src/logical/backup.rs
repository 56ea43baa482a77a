//! A backup by dumps: databases in, their dumps out, each of one moment of its own. Any failure leaves no backup.

use std::io::{Read, Write};

use strongroom_plugin::command::Command;
use strongroom_plugin::stream::{self, Input};
use strongroom_plugin::{
    BackupKind, Context, Entry, Error, ErrorKind, Outcome, Result, Sink, Writer, file_name, log,
    progress,
};

use super::gaps::Gaps;
use super::rows::{Count, ROWS};
use super::{DATABASES, Dumped, GLOBALS, write_list};
use crate::choose::choose;
use crate::config::Config;
use crate::link;
use crate::physical::slot;
use crate::programs::{Programs, finish_telling};
use crate::server::{Listed, MAINTENANCE, Version, holds, is_true};

/// Backs up what the configuration chooses.
pub(crate) fn backup(config: &Config, sink: &Sink) -> Result<Outcome> {
    progress::step("looking at the databases");
    let mut client = link::connect(config, &config.database)?;
    let version = Version::of(&mut client)?;
    let chosen = choose(
        Listed::all(&mut client)?,
        &config.databases,
        &config.exclude,
    )?;
    let sees_passwords = is_true(
        &mut client,
        "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')",
    )?;
    slot::tell_strays(&mut client, config)?;
    client.close();
    let programs = Programs::find(config, &version)?;
    version.warn("the server");
    programs.version().warn("pg_dump");
    // What is not known yet is left out of the sum: it is an estimate in any case.
    progress::expect(
        Some(chosen.databases.iter().filter_map(|it| it.size).sum()),
        None,
    );

    for (name, why) in chosen.unreachable {
        sink.missing(format!("database {name}"), why);
    }
    for (name, why) in chosen.left_out {
        log::warn(format!("database {name} is left out: {why}"));
    }

    if !sees_passwords {
        log::warn(format!(
            "role {} may not read passwords: roles are backed up without theirs",
            config.user
        ));
    }
    progress::step("roles and tablespaces");
    let globals = programs.command("pg_dumpall", &config.database);
    let globals = globals
        .arg("--globals-only")
        // It is read as UTF-8, whatever the database is in that the program connects to.
        .arg("--encoding=UTF8")
        .arg(format!("--database={}", config.database));
    let globals = match sees_passwords {
        true => globals,
        false => globals.arg("--no-role-passwords"),
    };
    take("pg_dumpall", globals, GLOBALS, sink, || (), |_| true)?;

    let (mut dumped, mut counted) = (Vec::new(), Vec::new());
    for database in chosen.databases {
        progress::check_cancelled()?;
        progress::step(&database.name);
        let path = file_name(&database.name) + ".dump";
        let dump = programs.command("pg_dump", &database.name);
        // Not compressed: equal parts of two dumps are found only so, and the engine compresses by itself.
        let dump = dump.arg("--format=custom").arg("--compress=0");
        // A database may have another default, by which a dump would lose letters.
        let dump = dump.arg(format!("--encoding={}", database.encoding));
        let gaps = gaps(config, &database.name);
        let dump = match gaps.without_large_objects {
            true => dump.arg("--no-blobs"),
            false => dump,
        };
        let mut count = match config.count_rows {
            true => Count::begin(config, &database.name),
            false => None,
        };
        let dump = match &count {
            Some(count) => dump.arg(format!("--snapshot={}", count.snapshot())),
            None => dump,
        };
        let begun = || {
            if let Some(count) = &mut count {
                count.lock();
            }
        };
        take("pg_dump", dump, &path, sink, begun, |it| !gaps.know(it))
            .map_err(|error| match gaps.obstacles.is_empty() {
                true => error,
                false => error.hint(gaps.obstacles.join("; ")),
            })
            .on(format_args!("database {}", database.name.escape_debug()))?;
        gaps.tell(&database.name, sink);
        if let Some(count) = count {
            progress::step(format!("rows of {}", database.name));
            counted.extend(count.finish(&database.name));
        }
        dumped.push(Dumped { path, database });
    }
    write_list(DATABASES, &dumped, sink)?;
    if config.count_rows {
        write_list(ROWS, &counted, sink)?;
    }

    let names: Vec<_> = dumped.iter().map(|it| it.database.name.as_str()).collect();
    Ok(Outcome {
        // All of it was read, whatever deduplication makes of it.
        kind: BackupKind::Full,
        attributes: vec![
            ("method".into(), "logical".into()),
            ("server".into(), format!("PostgreSQL {}", version.full)),
            ("pg_dump".into(), programs.version().full.clone()),
            ("databases".into(), names.join(", ")),
            holds(names.iter().filter(|name| **name != MAINTENANCE).count()),
            (
                "role passwords".into(),
                if sees_passwords {
                    "included"
                } else {
                    "not included"
                }
                .into(),
            ),
        ],
    })
}

/// What the dump of a database will lack. Not to know it is no reason to have no dump.
fn gaps(config: &Config, database: &str) -> Gaps {
    Gaps::of(config, database).unwrap_or_else(|error| {
        log::warn(format!(
            "whether the dump of {database} lacks anything is not known: {error}"
        ));
        Gaps::default()
    })
}

/// What a program writes becomes a file. The end of its output proves nothing: only its exit does. `begun` is called when the first of it has come.
fn take(
    program: &str,
    command: Command,
    path: &str,
    sink: &Sink,
    begun: impl FnOnce(),
    is_news: impl Fn(&str) -> bool,
) -> Result<()> {
    let mut writer = sink.write(&Entry::at(path))?;
    let mut process = command.spawn()?;
    let copied = match process.stdout() {
        Some(mut output) => copy(&mut output, &mut writer, begun),
        None => Err(Error::new(ErrorKind::Failed, "its output cannot be read")),
    };
    let finished = finish_telling(program, process, is_news);
    if let Err(error) = copied {
        // Where the engine could not take the bytes, this says why, and the program ended only because nobody listened.
        writer.finish()?;
        return Err(error.on(program));
    }
    finished?;
    writer.finish()?;
    Ok(())
}

fn copy(output: &mut Input, writer: &mut Writer, begun: impl FnOnce()) -> Result<()> {
    let mut first = [0; 4096];
    let count = loop {
        match output.read(&mut first) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            count => break count?,
        }
    };
    writer.write_all(first.get(..count).unwrap_or_default())?;
    begun();
    let mut body = writer.body()?;
    stream::splice(output, &mut body).map(drop)
}
