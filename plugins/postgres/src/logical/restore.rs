//! Dumps back into a server. What is in the way is found before anything is written. All databases are made beside those that they replace, and get their
//! names at one moment when they are whole: an error or a kill before that changes nothing that was there, and after it nothing is missing.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_plugin::{
    Attributes, Context, Error, ErrorKind, Feed, OnConflict, RestoreRequest, Result, log, progress,
};

use super::beside::{Names, check_replaceable, holds_something, tidy};
use super::fill::GoOn;
use super::lobby::{Lobby, remove};
use super::make::{Made, Maker, exists};
use super::plan::{Step, choose, plan};
use super::swap::{Swap, swap};
use super::{DATABASES, Dumped, GLOBALS, globals, read_list, read_text};
use crate::config::{Config, RestoreOptions};
use crate::link::{self, Client};
use crate::programs::Programs;
use crate::server::Version;

/// Where to look around from while the configured database is replaced.
const OTHER_LOBBY: &str = "template1";

/// Restores the dumps that are asked for.
pub(crate) fn restore(
    config: &Config,
    request: &RestoreRequest<RestoreOptions>,
    feed: &Feed,
) -> Result<Attributes> {
    if request.until.is_some() || request.options.until_lsn.is_some() {
        let problem = "a dump can only be restored as it was at a backup";
        return Err(Error::new(ErrorKind::Unsupported, problem)
            .hint("back up with method = \"physical\" to come back to any moment"));
    }
    let options = &request.options;
    options.check(config)?;
    let dumped = choose(listed(feed)?, &request.paths)?;

    let mut client = link::connect(config, &config.database)?;
    let version = Version::of(&mut client)?;
    let programs = Programs::find(config, &version)?;
    let existing = existing(config, &mut client, &dumped, options)?;
    client.close();
    let steps = plan(dumped, options, &existing)?;
    let replaces_own = |it: &Step| it.replaces && it.name == config.database;
    let lobby = match steps.iter().any(replaces_own) {
        true => OTHER_LOBBY,
        false => &config.database,
    };
    let mut lobby = Lobby::enter(config, lobby)?;
    for step in steps.iter().filter(|it| it.replaces) {
        check_replaceable(lobby.client()?, &step.name)?;
    }
    let overwrites = options.conflict == OnConflict::Overwrite;
    let mut taken = tidy(&mut lobby, &steps, overwrites)?;

    let maker = Maker {
        config,
        programs: &programs,
        feed,
        parallel: options.parallel,
        go_on: match options.go_on {
            true => GoOn::Always,
            false => GoOn::Refreshes,
        },
        server: version.major,
        lost_tablespaces: apply_globals(lobby.client()?, feed, options)?,
    };
    let steps: Vec<_> = steps
        .into_iter()
        .map(|step| (Names::choose(&step.name, &mut taken), step))
        .collect();
    progress::expect(size(feed, &steps)?, None);
    let result = make_all(&maker, &mut lobby, &steps).and_then(|made| {
        progress::step("giving the databases their names");
        swap(&mut lobby, &swaps(&steps, &made))?;
        Ok(made)
    });
    let made = match result {
        Ok(made) => made,
        Err(error) => return Err(give_up(&mut lobby, &steps, error)),
    };
    let kept = drop_replaced(&mut lobby, &steps, &made);
    lobby.close();
    for (subject, reason) in made.iter().flat_map(|it| &it.left_out) {
        feed.missing(subject, reason);
    }
    let names: Vec<_> = steps.iter().map(|(_, step)| step.name.as_str()).collect();
    let mut attributes = vec![
        ("server".into(), config.address().to_string()),
        ("databases".into(), names.join(", ")),
    ];
    if !kept.is_empty() {
        attributes.push(("kept".into(), kept.join(", ")));
    }
    Ok(attributes)
}

/// The statements for what belongs to no database.
pub(crate) fn globals(feed: &Feed) -> Result<String> {
    read_text(GLOBALS, feed)
}

/// What the backup says of all its dumps.
pub(crate) fn listed(feed: &Feed) -> Result<Vec<Dumped>> {
    read_list(DATABASES, feed).on("the backup's list of databases")
}

/// Makes a database under its own name, where there is none of that name. Anything that cannot be restored is an error.
pub(crate) fn restore_new(
    config: &Config,
    programs: &Programs,
    feed: &Feed,
    server: u32,
    client: &mut Client,
    dumped: &Dumped,
) -> Result<()> {
    let name = &dumped.database.name;
    let maker = Maker {
        config,
        programs,
        feed,
        parallel: 1,
        go_on: GoOn::Never,
        server,
        lost_tablespaces: BTreeSet::new(),
    };
    let made = maker.make(client, dumped, name, name);
    let result = made.and_then(|made| Ok(client.query(&made.comment(name)).map(drop)?));
    if result.is_err() {
        // Nobody shall look at half of it. Where that fails too, the server is not well, and whoever looks will see.
        let _ = remove(config, client, name, true);
    }
    result
}

/// The databases of the server, and of those that would be in the way whether they hold anything. A new server has an empty one from its beginning.
fn existing(
    config: &Config,
    client: &mut Client,
    dumped: &[Dumped],
    options: &RestoreOptions,
) -> Result<BTreeMap<String, bool>> {
    let wanted: BTreeSet<_> = dumped
        .iter()
        .map(|it| options.name_of(&it.database.name))
        .collect();
    let names = client.query("SELECT datname FROM pg_catalog.pg_database")?;
    let names = names.into_iter().flatten().flatten();
    Ok(names
        .map(|name| {
            // One that cannot be looked into is taken for one that does.
            let holds = !wanted.contains(&*name) || holds_something(config, &name).unwrap_or(true);
            (name, holds)
        })
        .collect())
}

/// How many bytes will be read, where that is known: what was asked for by the name of its database, the engine does not list.
fn size(feed: &Feed, steps: &[(Names, Step)]) -> Result<Option<u64>> {
    let mut sizes = BTreeMap::new();
    for entry in feed.entries() {
        let entry = entry?;
        sizes.insert(entry.path, entry.size);
    }
    let size = |(_, step): &(Names, Step)| sizes.get(&step.dumped.path).copied().flatten();
    Ok(steps.iter().map(size).sum())
}

/// Roles and tablespaces, whichever databases were asked for: their objects belong to roles. The tablespaces that are not there afterwards come out.
fn apply_globals(
    client: &mut Client,
    feed: &Feed,
    options: &RestoreOptions,
) -> Result<BTreeSet<String>> {
    let script = match options.globals {
        true => {
            progress::step("roles and tablespaces");
            let script = globals(feed)?;
            let named = globals::tablespaces(&script);
            if let Some(unknown) = options.tablespaces.keys().find(|it| !named.contains(it)) {
                let problem = format!("the backup has none called '{}'", unknown.escape_debug());
                return Err(Error::invalid_config("tablespaces", problem));
            }
            globals::apply(client, &script, &options.tablespaces)?;
            script
        }
        // Where it is damaged, that may be why it is not to be used.
        false => globals(feed).unwrap_or_default(),
    };
    let there = globals::tablespaces_of(client)?;
    let named = globals::tablespaces(&script);
    Ok(named
        .into_iter()
        .filter(|name| !there.contains(name))
        .collect())
}

fn make_all(maker: &Maker, lobby: &mut Lobby, steps: &[(Names, Step)]) -> Result<Vec<Made>> {
    let mut made = Vec::new();
    for (names, step) in steps {
        progress::check_cancelled()?;
        progress::step(&step.name);
        let client = lobby.client()?;
        let database = maker
            .make(client, &step.dumped, &names.making, &step.name)
            .on(format_args!("database {}", step.name.escape_debug()))?;
        made.push(database);
    }
    progress::check_cancelled()?;
    Ok(made)
}

fn swaps<'a>(steps: &'a [(Names, Step)], made: &[Made]) -> Vec<Swap<'a>> {
    let swap = |((names, step), made): (&'a (Names, Step), &Made)| Swap {
        from: &names.making,
        to: &step.name,
        replaced: step.replaces.then_some(&*names.replaced),
        drops_replaced: !made.lacks_data,
        comment: made.comment(&step.name),
    };
    steps.iter().zip(made).map(swap).collect()
}

/// Nothing got its name: what was made goes.
fn give_up(lobby: &mut Lobby, steps: &[(Names, Step)], error: Error) -> Error {
    for (names, _) in steps {
        let name = &names.making;
        let is_superuser = lobby.is_superuser;
        let config = lobby.config;
        let removed = lobby
            .client()
            .and_then(|client| match exists(client, name)? {
                true => remove(config, client, name, is_superuser).map(drop),
                false => Ok(()),
            });
        if let Err(left) = removed {
            log::warn(format!(
                "the half-made database {name} is left, and the next restore drops it: {left}"
            ));
        }
    }
    error
}

/// Drops what was replaced, but for what lacks something in its place. Those that are kept come out.
fn drop_replaced(lobby: &mut Lobby, steps: &[(Names, Step)], made: &[Made]) -> Vec<String> {
    let mut kept = Vec::new();
    for ((names, step), made) in steps.iter().zip(made) {
        if !step.replaces {
            continue;
        }
        let name = &names.replaced;
        if made.lacks_data {
            log::warn(format!(
                "database {} was restored in part, and the one that it replaces is kept as {name}: drop it if nobody misses anything in it",
                step.name
            ));
            kept.push(name.clone());
            continue;
        }
        let is_superuser = lobby.is_superuser;
        let config = lobby.config;
        let removed = lobby
            .client()
            .and_then(|client| remove(config, client, name, is_superuser));
        match removed {
            Ok(told) => told.into_iter().for_each(log::warn),
            Err(error) => {
                log::warn(format!(
                    "database {} is restored, and the one that it replaced is left as {name}: {error}",
                    step.name
                ));
                kept.push(name.clone());
            }
        }
    }
    kept
}
