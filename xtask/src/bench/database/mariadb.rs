//! MariaDB, as it is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::rows::Table;
use super::server::{free_port, unprivileged};
use super::system::{Change, DATABASE, Group, System};
use super::tools::{Kind, PASSWORD, Strongroom, Tool, quoted};
use crate::error::{Error, Result};
use crate::packages;
use crate::process;

/// MariaDB.
pub(super) struct Mariadb {
    server: PathBuf,
    dump: PathBuf,
    client: PathBuf,
    version: String,
    port: u16,
    ours: Option<PathBuf>,
    restic: Option<(String, PathBuf)>,
}

/// What the dump is made with, as ours is.
const DUMP: &str = "--no-defaults --protocol=tcp --single-transaction --quick --routines --triggers --events --hex-blob \
    --default-character-set=utf8mb4 --max-allowed-packet=1G --no-tablespaces --skip-dump-date --skip-ssl";

impl Mariadb {
    /// Finds it, or installs it.
    pub(super) fn find(ours: Option<PathBuf>, restic: Option<(String, PathBuf)>) -> Result<Self> {
        packages::install_mariadb()?;
        let find = |name: &str| {
            let folders = ["/usr/sbin".into()];
            process::find(name, &folders).ok_or_else(|| Error::new(format!("there is no {name}")))
        };
        let server = find("mariadbd")?;
        let text = process::output(Command::new(&server).arg("--version"))?;
        let number = text
            .split_whitespace()
            .find_map(|word| word.split_once("-MariaDB"));
        Ok(Self {
            version: format!("MariaDB {}", number.map_or("", |(number, _)| number)),
            dump: find("mariadb-dump")?,
            client: find("mariadb")?,
            port: free_port()?,
            server,
            ours,
            restic,
        })
    }

    fn tool(&self, name: &str, kind: Kind) -> Tool {
        Tool {
            name: name.into(),
            is_ours: matches!(kind, Kind::Strongroom(_)),
            kind,
            environment: vec![("MYSQL_PWD", PASSWORD.into())],
        }
    }

    fn ours(&self, name: &str, is_full: bool, verify: Option<String>) -> Option<Tool> {
        let port = self.port;
        let source = format!(
            "plugin = \"mysql\"\n\
             config = {{ server = \"mariadb\", host = \"127.0.0.1\", port = {port}, user = \"backup\", password = {{ file = \"password\" }}, databases = [\"{DATABASE}\"], users = false }}\n\
             allow = {{ connect = [\"127.0.0.1:{port}\"], command = [{:?}] }}\n",
            self.dump
        );
        let ours = Strongroom {
            program: self.ours.clone()?,
            source,
            is_full,
            verify,
        };
        Some(self.tool(name, Kind::Strongroom(ours)))
    }
}

impl System for Mariadb {
    fn version(&self) -> &str {
        &self.version
    }

    fn key(&self) -> String {
        let mut parts = self.version.split(['.', ' ']).skip(1);
        let mut part = || parts.next().unwrap_or_default();
        format!("mariadb-{}.{}", part(), part())
    }

    fn create(&self, data: &Path) -> Result<()> {
        let mut install = unprivileged(Path::new("mariadb-install-db"));
        install
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        process::output(&mut install).map(drop)
    }

    fn server(&self, data: &Path) -> Command {
        let mut command = unprivileged(&self.server);
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--port={}", self.port))
            .args([
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--socket=socket",
                "--local-infile=1",
            ])
            .args(["--log-bin=log", "--binlog-format=ROW", "--server-id=1"])
            // No disk is measured.
            .args(["--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0"])
            .args([
                "--innodb-buffer-pool-size=512M",
                "--innodb-log-file-size=512M",
            ])
            .arg(format!(
                "--init-file={}",
                data.with_extension("init").display()
            ));
        // Who backs up, made anew at each start. It is the only one who comes in by TCP.
        let accounts = format!(
            "CREATE OR REPLACE USER backup@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO backup@'127.0.0.1';\n"
        );
        // Without the file the server ends, and says so.
        let _ = std::fs::write(data.with_extension("init"), accounts);
        command
    }

    fn stop_signal(&self) -> libc::c_int {
        libc::SIGTERM
    }

    fn client(&self, database: &str) -> Command {
        let mut command = Command::new(&self.client);
        command
            .args([
                "--no-defaults",
                "--protocol=tcp",
                "--host=127.0.0.1",
                "--user=backup",
            ])
            .args([
                "--batch",
                "--skip-column-names",
                "--local-infile=1",
                "--skip-ssl",
            ])
            .args(["--default-character-set=utf8mb4", "--max-allowed-packet=1G"])
            .arg(format!("--port={}", self.port))
            .arg(format!("--database={database}"))
            .env("MYSQL_PWD", PASSWORD);
        command
    }

    fn schema(&self) -> [&'static str; 2] {
        [
            "CREATE TABLE customers (id BIGINT PRIMARY KEY, name TEXT NOT NULL, email VARCHAR(120) NOT NULL, address JSON NOT NULL,
              since DATETIME NOT NULL, KEY (email)) ENGINE=InnoDB;
            CREATE TABLE orders (id BIGINT PRIMARY KEY, customer_id BIGINT NOT NULL, placed DATETIME NOT NULL, state VARCHAR(20) NOT NULL,
              amount DECIMAL(10, 2) NOT NULL, details JSON NOT NULL, remark TEXT, KEY (customer_id), KEY (placed)) ENGINE=InnoDB;
            CREATE TABLE events (id BIGINT PRIMARY KEY, at DATETIME NOT NULL, kind VARCHAR(20) NOT NULL, customer_id BIGINT, payload JSON,
              weight DOUBLE, KEY (at)) ENGINE=InnoDB;
            CREATE TABLE attachments (id BIGINT PRIMARY KEY, order_id BIGINT NOT NULL, name TEXT NOT NULL, content LONGBLOB NOT NULL,
              KEY (order_id)) ENGINE=InnoDB;",
            "ANALYZE TABLE customers, orders, events, attachments; RESET MASTER;",
        ]
    }

    fn loader(&self, table: Table) -> (Command, &'static str) {
        let columns = match table {
            Table::Attachments => " (id, order_id, name, @content) SET content = UNHEX(@content)",
            _ => "",
        };
        let mut command = self.client(DATABASE);
        command.arg("--execute").arg(format!(
            "LOAD DATA LOCAL INFILE '/dev/stdin' INTO TABLE {}{columns}",
            table.name()
        ));
        (command, "")
    }

    fn size(&self) -> &'static str {
        "SELECT SUM(data_length + index_length) FROM information_schema.tables WHERE table_schema = DATABASE()"
    }

    fn settle(&self) -> &'static str {
        "SELECT COUNT(*) FROM customers; SELECT COUNT(*) FROM orders; SELECT COUNT(*) FROM events; SELECT COUNT(*) FROM attachments;"
    }

    fn change(&self, change: Change) -> String {
        match change {
            Change::Newest { after } => format!(
                "UPDATE orders SET state = 'shipped', details = JSON_SET(details, '$.tracking', MD5(id)) WHERE id > {after};"
            ),
            Change::Scattered => "UPDATE customers SET email = CONCAT('new.', email) WHERE id % 100 = 37;
                UPDATE orders SET state = 'closed', details = JSON_SET(details, '$.closed', true) WHERE id % 100 = 37;
                UPDATE events SET weight = weight + 1 WHERE id % 100 = 37;
                UPDATE attachments SET name = CONCAT('new.', name) WHERE id % 100 = 37;"
                .into(),
        }
    }

    fn groups(&self) -> Vec<Group> {
        let dump = format!(
            "{} {DUMP} --host=127.0.0.1 --port={} --user=backup {DATABASE}",
            quoted(&self.dump),
            self.port
        );
        // The rows, each on a line of its own. Ours also notes where in the log it stands.
        let digest = "grep -E '^(INSERT INTO|[(])' | sha256sum";
        let verify = format!(
            "ours=$(strongroom cat latest {DATABASE}.sql | {digest})\n\
             theirs=$({dump} | {digest})\ntest \"$ours\" = \"$theirs\"\n"
        );
        let restic = self.restic.as_ref().map(|(version, program)| {
            let kind = Kind::Restic(dump.clone(), program.clone());
            self.tool(&format!("dump | restic {version}"), kind)
        });
        let zstd = self.tool("dump | zstd", Kind::Zstd(dump));
        let tools = [
            self.ours("strongroom", true, Some(verify)),
            self.ours("strongroom, by the log", false, None),
            Some(zstd),
            restic,
        ];
        vec![Group {
            name: "mysql",
            title: "Backups of a MariaDB database",
            tools: tools.into_iter().flatten().collect(),
        }]
    }
}
