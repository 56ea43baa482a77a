//! What pg_dump will not put into the dump of a database, or stumble over, foretold: a connection in, the gaps for people out.
//!
//! pg_dump leaves some things out without a word, or with one that nobody reads. Where the role may not read a table it ends without a dump.

use std::collections::BTreeMap;

use strongroom_plugin::{Result, Sink, log};

use crate::config::Config;
use crate::link::{self, Client};

/// How many of a kind are named.
const NAMED: u64 = 3;

/// What a kind is called, how many there are, and the first of their names. `FIRST` is how many of those.
const GAPS: &str = "WITH me AS (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), \
    relations AS (SELECT c.oid, c.relkind, c.relpersistence, c.relrowsecurity, format('%I.%I', n.nspname, c.relname) AS name, \
        has_schema_privilege(n.oid, 'USAGE') AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT') \
            ELSE has_table_privilege(c.oid, 'SELECT') END AS is_readable, \
        EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') AS is_of_extension, \
        EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig)) AS is_configuration \
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'), \
    gaps AS ( \
        SELECT 'unreadable' AS what, name FROM relations WHERE NOT is_readable AND (relkind IN ('r', 'p') \
            OR relkind = 'S' AND (is_configuration OR NOT is_of_extension)) \
        UNION ALL SELECT 'policies', name FROM relations WHERE relkind IN ('r', 'p') AND is_readable AND relrowsecurity \
            AND (is_configuration OR NOT is_of_extension) AND row_security_active(oid) \
        UNION ALL SELECT 'foreign', name FROM relations WHERE relkind = 'f' AND NOT is_of_extension \
        UNION ALL SELECT 'unlogged', name FROM relations WHERE relkind = 'r' AND relpersistence = 'u' AND pg_is_in_recovery() \
        UNION ALL SELECT 'of extensions', name FROM relations \
            WHERE relkind = 'r' AND is_of_extension AND NOT is_configuration AND pg_relation_size(oid) > 0 \
        UNION ALL SELECT 'invalid indexes', name FROM relations JOIN pg_index i ON i.indexrelid = oid \
            WHERE relkind = 'i' AND NOT i.indisvalid \
        UNION ALL SELECT 'subscriptions', subname::text FROM pg_subscription CROSS JOIN me \
            WHERE NOT me.rolsuper AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
        UNION ALL SELECT 'large objects', m.oid::text FROM pg_largeobject_metadata m CROSS JOIN me \
            WHERE NOT me.rolsuper AND current_setting('lo_compat_privileges') <> 'on' AND NOT pg_has_role(m.lomowner, 'USAGE') \
            AND NOT EXISTS (SELECT FROM aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT' \
                AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE'))) \
        UNION ALL SELECT 'in system schemas', format('%I.%I', n.nspname, o.name) FROM pg_namespace n JOIN ( \
            SELECT oid, pronamespace AS schema, proname AS name, 'pg_proc'::regclass AS class FROM pg_proc \
            UNION ALL SELECT oid, relnamespace, relname, 'pg_class' FROM pg_class) o ON o.schema = n.oid \
            WHERE n.nspname IN ('pg_catalog', 'information_schema') AND o.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend d \
                WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype IN ('e', 'i'))) \
    SELECT what, total, name FROM (SELECT what, name, count(*) OVER (PARTITION BY what) AS total, \
        row_number() OVER (PARTITION BY what ORDER BY name) AS place FROM gaps) numbered WHERE place <= FIRST ORDER BY what, place";

/// Options of user mappings are shown to few; those who may read the catalog itself can tell that there are some.
const MAY_READ_MAPPINGS: &str = "SELECT has_table_privilege('pg_user_mapping', 'SELECT')";
const HIDDEN_MAPPINGS: &str = "SELECT format('%s on %s', v.usename, v.srvname) FROM pg_user_mappings v \
    JOIN pg_user_mapping m ON m.oid = v.umid WHERE v.umoptions IS NULL AND m.umoptions IS NOT NULL ORDER BY 1";
const BARE_MAPPINGS: &str = "SELECT format('%s on %s', usename, srvname) FROM pg_user_mappings WHERE umoptions IS NULL ORDER BY 1";

/// What will not be in a dump.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Gaps {
    /// Why pg_dump will fail.
    pub(crate) obstacles: Vec<String>,
    /// What the dump would have and the role may not read: the rest is dumped without it. A subject, and why.
    pub(crate) missing: Vec<(String, String)>,
    /// What the role does not get to see.
    pub(crate) warnings: Vec<String>,
    /// What pg_dump leaves out by its nature, for whomever.
    pub(crate) left_out: Vec<String>,
    /// Whether the dump has to do without large objects.
    pub(crate) without_large_objects: bool,
}

/// How many there are of a kind, and the first names.
type Found = BTreeMap<String, (u64, Vec<String>)>;

impl Gaps {
    /// Looks into one database.
    pub(crate) fn of(config: &Config, database: &str) -> Result<Self> {
        let mut client = link::connect(config, database)?;
        let found = find(&mut client)?;
        client.close();
        Ok(Self::from_found(&found, &config.user))
    }

    fn from_found(found: &Found, role: &str) -> Self {
        // Such as: 5 tables (a.b, a.c, a.d, …).
        let told = |what: &str, one: &str, many: &str| {
            let (total, names) = found.get(what)?;
            let called = if *total == 1 { one } else { many };
            let more = if *total > NAMED { ", …" } else { "" };
            Some(format!("{total} {called} ({}{more})", names.join(", ")))
        };
        let mut gaps = Self::default();
        let unreadable = told("unreadable", "table or sequence", "tables or sequences");
        gaps.obstacles.extend(unreadable.map(|it| {
            format!("role {role} may not read {it}: it needs pg_read_all_data, or USAGE of the schema and SELECT")
        }));
        let policies = told("policies", "table", "tables");
        gaps.obstacles.extend(
            policies.map(|it| {
                format!("role {role} is shown only some rows of {it}: it needs BYPASSRLS")
            }),
        );
        if let Some(objects) = told("large objects", "large object", "large objects") {
            gaps.without_large_objects = true;
            let reason = format!(
                "role {role} may not read {objects}, and pg_dump takes all or none: it needs to be a superuser or a member of their owner, or GRANT SELECT ON LARGE OBJECT"
            );
            gaps.missing.push(("large objects".into(), reason));
        }
        let subscriptions = told("subscriptions", "subscription", "subscriptions");
        gaps.warnings
            .extend(subscriptions.map(|it| format!("{it}: only a superuser may dump them")));
        let mappings = told("mappings", "user mapping", "user mappings");
        gaps.warnings.extend(mappings.map(|it| {
            format!("options of {it}: only a superuser gets to see them, as they may be passwords")
        }));
        let bare = told("bare mappings", "user mapping", "user mappings");
        gaps.warnings.extend(bare.map(|it| {
            format!("options of {it}, if there are any: only a superuser gets to see them, as they may be passwords")
        }));
        let in_system = told(
            "in system schemas",
            "object in a system schema",
            "objects in system schemas",
        );
        gaps.warnings
            .extend(in_system.map(|it| format!("{it}: pg_dump takes them for the server's own")));
        let unlogged = told("unlogged", "unlogged table", "unlogged tables");
        gaps.warnings
            .extend(unlogged.map(|it| format!("rows of {it}: a standby has none")));
        let left_out = [
            told("foreign", "foreign table", "foreign tables").map(|it| format!("rows of {it}")),
            told(
                "of extensions",
                "table of an extension",
                "tables of extensions",
            )
            .map(|it| format!("rows of {it}")),
            told("invalid indexes", "invalid index", "invalid indexes"),
        ];
        gaps.left_out.extend(left_out.into_iter().flatten());
        gaps
    }

    /// Tells a backup of them. Obstacles are pg_dump's to tell.
    pub(super) fn tell(&self, database: &str, sink: &Sink) {
        for (subject, reason) in &self.missing {
            sink.missing(format!("{subject} of database {database}"), reason);
        }
        for warning in &self.warnings {
            log::warn(format!("not in the dump of {database}: {warning}"));
        }
        if !self.left_out.is_empty() {
            sink.note(&format!("not in {database}"), &self.left_out.join("; "));
        }
    }

    /// Whether a remark of pg_dump says what is known already.
    pub(super) fn know(&self, remark: &str) -> bool {
        remark.contains("subscriptions not dumped")
            && self.warnings.iter().any(|it| it.contains("subscription"))
    }
}

/// Asks the server.
fn find(client: &mut Client) -> Result<Found> {
    let mut found = Found::new();
    for row in client.query(&GAPS.replace("FIRST", &NAMED.to_string()))? {
        let mut columns = row.into_iter().map(Option::unwrap_or_default);
        let mut text = || columns.next().unwrap_or_default();
        let (what, total, name) = (text(), text(), text());
        let entry = found.entry(what).or_default();
        entry.0 = total.parse().unwrap_or(0);
        entry.1.push(name);
    }
    let is_sure = client.value(MAY_READ_MAPPINGS)? == "t";
    let mappings = client.query(match is_sure {
        true => HIDDEN_MAPPINGS,
        false => BARE_MAPPINGS,
    })?;
    let names: Vec<_> = mappings.into_iter().flatten().flatten().collect();
    if !names.is_empty() {
        let total = names.len() as u64;
        let what = if is_sure { "mappings" } else { "bare mappings" };
        let first = names.into_iter().take(NAMED as usize).collect();
        found.insert(what.into(), (total, first));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(what: &str, total: u64, names: &[&str]) -> Found {
        let names = names.iter().map(|&it| it.to_owned()).collect();
        [(what.to_owned(), (total, names))].into()
    }

    #[test]
    fn what_stops_a_dump_is_told_with_what_it_takes() {
        let gaps = Gaps::from_found(&found("unreadable", 5, &["a.b", "a.c", "a.d"]), "backup");
        assert_eq!(
            gaps.obstacles,
            [
                "role backup may not read 5 tables or sequences (a.b, a.c, a.d, …): it needs pg_read_all_data, or USAGE of the schema and SELECT"
            ]
        );
    }

    #[test]
    fn large_objects_that_are_not_ours_are_missing_and_stop_nothing() {
        let gaps = Gaps::from_found(&found("large objects", 1, &["42"]), "backup");
        assert!(gaps.without_large_objects && gaps.obstacles.is_empty());
        assert_eq!(gaps.missing.len(), 1);
        assert!(gaps.missing[0].1.contains("1 large object (42)"));
    }

    #[test]
    fn a_remark_that_was_foretold_is_told_once() {
        let gaps = Gaps::from_found(&found("subscriptions", 1, &["s"]), "backup");
        assert_eq!(
            gaps.warnings,
            ["1 subscription (s): only a superuser may dump them"]
        );
        let remark = "pg_dump: subscriptions not dumped because current user is not a superuser";
        assert!(gaps.know(remark) && !gaps.know("pg_dump: something else"));
        assert!(!Gaps::default().know(remark));
    }
}
