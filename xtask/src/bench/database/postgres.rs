//! PostgreSQL: the newest version that is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::rows::Table;
use super::server::{free_port, unprivileged};
use super::system::{Change, DATABASE, Group, System};
use super::tools::{Kind, PASSWORD, Strongroom, Tool, quoted};
use crate::error::{Error, Result};
use crate::packages::{self, postgres_folder};
use crate::process;

/// PostgreSQL.
pub(super) struct Postgres {
    bin: PathBuf,
    version: String,
    port: u16,
    ours: Option<PathBuf>,
    restic: Option<(String, PathBuf)>,
}

impl Postgres {
    /// Finds it, or installs it.
    pub(super) fn find(ours: Option<PathBuf>, restic: Option<(String, PathBuf)>) -> Result<Self> {
        packages::install_postgres()?;
        let bin = postgres_folder().ok_or_else(|| Error::new("there is no PostgreSQL"))?;
        let text = process::output(Command::new(bin.join("postgres")).arg("--version"))?;
        let number = text.split_whitespace().nth(2).unwrap_or_default();
        Ok(Self {
            version: format!("PostgreSQL {number}"),
            port: free_port()?,
            bin,
            ours,
            restic,
        })
    }

    fn program(&self, name: &str) -> String {
        quoted(&self.bin.join(name))
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("PGHOST", "127.0.0.1".into()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", "postgres".into()),
            ("PGPASSWORD", PASSWORD.into()),
        ]
    }

    fn tool(&self, name: &str, kind: Kind) -> Tool {
        Tool {
            name: name.into(),
            is_ours: matches!(kind, Kind::Strongroom(_)),
            kind,
            environment: self.environment(),
        }
    }

    fn ours(&self, method: &str, is_full: bool, verify: String) -> Option<Tool> {
        let config = format!(
            "plugin = \"postgres\"\n\
             config = {{ host = \"127.0.0.1\", port = {port}, password = {{ file = \"password\" }}, method = \"{method}\" }}\n\
             allow = {{ connect = [\"127.0.0.1:{port}\"], command = [{:?}, {:?}, {:?}] }}\n",
            self.bin.join("pg_dump"),
            self.bin.join("pg_dumpall"),
            self.bin.join("pg_restore"),
            port = self.port,
        );
        let ours = Strongroom {
            program: self.ours.clone()?,
            source: config,
            is_full,
            verify: Some(verify),
        };
        Some(self.tool("strongroom", Kind::Strongroom(ours)))
    }

    fn logical(&self) -> Group {
        let dump = format!("{} -Fc -Z0 {DATABASE}", self.program("pg_dump"));
        // Newer versions write a key that is random.
        let digest = format!(
            "{} -f - | sed -E '/^.(un)?restrict /d' | sha256sum",
            self.program("pg_restore")
        );
        let verify = format!(
            "ours=$(strongroom cat latest {DATABASE}.dump | {digest})\ntheirs=$({dump} | {digest})\ntest \"$ours\" = \"$theirs\"\n"
        );
        let restic = self.restic.as_ref().map(|(version, program)| {
            let kind = Kind::Restic(dump.clone(), program.clone());
            self.tool(&format!("pg_dump | restic {version}"), kind)
        });
        let zstd = self.tool("pg_dump | zstd", Kind::Zstd(dump));
        let tools = [self.ours("logical", false, verify), Some(zstd), restic];
        Group {
            name: "postgres",
            title: "Dumps of a PostgreSQL database",
            tools: tools.into_iter().flatten().collect(),
        }
    }

    fn physical(&self) -> Group {
        let backup = format!(
            "{} -Ft -X fetch -D - -c fast",
            self.program("pg_basebackup")
        );
        let verify = format!(
            "strongroom restore latest --target \"$FOLDER/restored\"\n\
             {} --no-parse-wal --quiet \"$FOLDER/restored/shop/data\"\nrm -r \"$FOLDER/restored\"\n",
            self.program("pg_verifybackup")
        );
        let tools = [
            self.ours("physical", false, verify),
            Some(self.tool("pg_basebackup | zstd", Kind::Zstd(backup))),
        ];
        Group {
            name: "postgres-physical",
            title: "Physical backups of a PostgreSQL cluster",
            tools: tools.into_iter().flatten().collect(),
        }
    }
}

impl System for Postgres {
    fn version(&self) -> &str {
        &self.version
    }

    fn key(&self) -> String {
        let major = self.version.split(['.', ' ']).nth(1).unwrap_or_default();
        format!("postgres-{major}")
    }

    fn create(&self, data: &Path) -> Result<()> {
        let password = data.with_extension("password");
        std::fs::write(&password, PASSWORD)
            .map_err(|error| Error::io("cannot write", &password, &error))?;
        let mut initdb = unprivileged(&self.bin.join("initdb"));
        initdb
            .arg("--pgdata")
            .arg(data)
            .arg("--pwfile")
            .arg(&password)
            .args([
                "--username=postgres",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
            ])
            .args(["--locale=C.UTF-8", "--data-checksums", "--no-sync"]);
        process::output(&mut initdb).map(drop)
    }

    fn server(&self, data: &Path) -> Command {
        let mut command = unprivileged(&self.bin.join("postgres"));
        command
            .arg("-D")
            .arg(data)
            .arg("-p")
            .arg(self.port.to_string());
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            // No disk is measured, and nothing happens by itself meanwhile.
            "fsync=off",
            "autovacuum=off",
            "checkpoint_timeout=1d",
            "max_wal_size=8GB",
            "shared_buffers=256MB",
            "maintenance_work_mem=256MB",
        ] {
            command.args(["-c", setting]);
        }
        command
    }

    fn stop_signal(&self) -> libc::c_int {
        libc::SIGINT
    }

    fn client(&self, database: &str) -> Command {
        // The name that each system has for the database that is always there.
        let database = if database.is_empty() {
            "postgres"
        } else {
            database
        };
        let mut command = Command::new(self.bin.join("psql"));
        command
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                database,
            ])
            .envs(self.environment());
        command
    }

    fn schema(&self) -> [&'static str; 2] {
        [
            "CREATE TABLE customers (id bigint, name text NOT NULL, email text NOT NULL, address jsonb NOT NULL, since timestamp NOT NULL);
            CREATE TABLE orders (id bigint, customer_id bigint NOT NULL, placed timestamp NOT NULL, state text NOT NULL,
              amount numeric(10, 2) NOT NULL, details jsonb NOT NULL, remark text);
            CREATE TABLE events (id bigint, at timestamp NOT NULL, kind text NOT NULL, customer_id bigint, payload jsonb, weight double precision);
            CREATE TABLE attachments (id bigint, order_id bigint NOT NULL, name text NOT NULL, content bytea NOT NULL);",
            "ALTER TABLE customers ADD PRIMARY KEY (id); ALTER TABLE orders ADD PRIMARY KEY (id);
            ALTER TABLE events ADD PRIMARY KEY (id); ALTER TABLE attachments ADD PRIMARY KEY (id);
            CREATE INDEX ON customers (email); CREATE INDEX ON orders (customer_id); CREATE INDEX ON orders (placed);
            CREATE INDEX ON events (at); CREATE INDEX ON attachments (order_id);
            VACUUM (FREEZE, ANALYZE);",
        ]
    }

    fn loader(&self, table: Table) -> (Command, &'static str) {
        let mut command = self.client(DATABASE);
        command
            .arg("-c")
            .arg(format!("COPY {} FROM STDIN", table.name()));
        (command, r"\\x")
    }

    fn size(&self) -> &'static str {
        "SELECT pg_database_size(current_database())"
    }

    fn settle(&self) -> &'static str {
        // Whoever reads a row first after it was written marks its page, which would be the first tool's to do.
        "SELECT count(*) FROM customers; SELECT count(*) FROM orders; SELECT count(*) FROM events; SELECT count(*) FROM attachments; CHECKPOINT;"
    }

    fn change(&self, change: Change) -> String {
        match change {
            Change::Newest { after } => format!(
                "UPDATE orders SET state = 'shipped', details = details || jsonb_build_object('tracking', md5(id::text)) WHERE id > {after};"
            ),
            Change::Scattered => "UPDATE customers SET email = 'new.' || email WHERE id % 100 = 37;
                UPDATE orders SET state = 'closed', details = details || '{\"closed\": true}' WHERE id % 100 = 37;
                UPDATE events SET weight = weight + 1 WHERE id % 100 = 37;
                UPDATE attachments SET name = 'new.' || name WHERE id % 100 = 37;"
                .into(),
        }
    }

    fn groups(&self) -> Vec<Group> {
        vec![self.logical(), self.physical()]
    }
}
