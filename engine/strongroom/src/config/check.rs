//! What a schema cannot say of the engine's own tables: names that refer to each other, cron expressions, time zones, retention,
//! addresses.

use std::net::SocketAddr;

use strongroom_repository::Result;

use super::check_verify::check_verify;
use super::document::Document;
use super::model::{JobTable, Model, Retention, Schedule};
use super::nearest::did_you_mean_or_list;
use super::pointer::Pointer;
use super::schedule::{parse_cron, parse_timezone};
use crate::retention::Policy;

/// The first problem in `model`, which was read from `document`.
pub(super) fn check(document: &Document, model: &Model) -> Result<()> {
    let root = Pointer::root();
    if let Some(listen) = &model.engine.listen
        && listen.parse::<SocketAddr>().is_err()
    {
        let at = root.key("engine").key("listen");
        return Err(document
            .error(&at, format!("'{at}' is no address with a port"))
            .hint("write it like \"127.0.0.1:7420\" or \"[::1]:7420\""));
    }
    for name in document.keys(&root.key("sources")) {
        if let Some(source) = model.sources.get(&name)
            && source.allow_empty
            && source.min_files.is_some()
        {
            let at = root.key("sources").key(&name).key("allow_empty");
            return Err(document
                .error(&at, format!("'{at}' and min_files say different things"))
                .hint("keep one of them"));
        }
    }
    for name in document.keys(&root.key("jobs")) {
        if let Some(job) = model.jobs.get(&name) {
            check_job(document, model, &root.key("jobs").key(&name), job)?;
        }
    }
    Ok(())
}

fn check_job(document: &Document, model: &Model, at: &Pointer, job: &JobTable) -> Result<()> {
    let sources: Vec<_> = model.sources.keys().collect();
    let destinations: Vec<_> = model.destinations.keys().collect();
    check_names(
        document,
        &at.key("sources"),
        "source",
        &job.sources,
        &sources,
    )?;
    check_names(
        document,
        &at.key("destinations"),
        "destination",
        &job.destinations,
        &destinations,
    )?;
    check_schedule(document, &at.key("schedule"), job.schedule.as_ref())?;
    if let Some(timezone) = &job.timezone {
        let at = at.key("timezone");
        parse_timezone(timezone).map_err(|reason| {
            document
                .error(&at, format!("'{at}' {reason}"))
                .hint("write an IANA name such as \"Europe/Zurich\" or \"UTC\"")
        })?;
    }
    check_retention(document, &at.key("retention"), job.retention.as_ref())?;
    let on_demand = job.on_demand_retention.as_ref();
    check_retention(document, &at.key("on_demand_retention"), on_demand)?;
    match &job.verify {
        Some(table) => check_verify(document, &at.key("verify"), job, table),
        None => Ok(()),
    }
}

fn check_names(
    document: &Document,
    at: &Pointer,
    what: &str,
    names: &[String],
    known: &[&String],
) -> Result<()> {
    for (index, name) in names.iter().enumerate() {
        if !known.contains(&name) {
            let hint = did_you_mean_or_list(name, &format!("configured {what}s"), known);
            return Err(document
                .error(&at.index(index), unknown(at, what, name))
                .hint(hint));
        }
    }
    Ok(())
}

fn unknown(at: &Pointer, what: &str, name: &str) -> String {
    format!("'{at}' names the unknown {what} '{}'", name.escape_debug())
}

fn check_retention(document: &Document, at: &Pointer, table: Option<&Retention>) -> Result<()> {
    let policy = table.map(Policy::new).transpose();
    policy.map(drop).map_err(|error| {
        let here = document.error(at, format!("'{at}' {}", error.message()));
        match error.hint_text() {
            Some(hint) => here.hint(hint),
            None => here,
        }
    })
}

pub(super) fn check_cron(document: &Document, at: &Pointer, text: &str) -> Result<()> {
    parse_cron(text).map(drop).map_err(|reason| {
        document
            .error(at, format!("'{at}' {reason}"))
            .hint("minute, hour, day of month, month, day of week, such as \"0 2 * * MON-SAT\"")
    })
}

fn check_schedule(document: &Document, at: &Pointer, schedule: Option<&Schedule>) -> Result<()> {
    let check = |at: &Pointer, text: &str| check_cron(document, at, text);
    match schedule {
        None => Ok(()),
        Some(Schedule::One(text)) => check(at, text),
        Some(Schedule::Kinds(kinds)) => {
            if let Some(text) = &kinds.full {
                check(&at.key("full"), text)?;
            }
            if let Some(text) = &kinds.incremental {
                check(&at.key("incremental"), text)?;
            }
            Ok(())
        }
    }
}
