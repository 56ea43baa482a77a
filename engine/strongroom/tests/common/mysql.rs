//! MariaDB and MySQL servers of a test's own: each in a temporary folder, on a free port, as an unprivileged user, ended with the test.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::skip;

/// Servers refuse to run as root; this is who they run as then.
const NOBODY: u32 = 65534;

/// How long a server may take to start or to end. A busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// The account that backups are made with, and its password.
pub const USER: &str = "backup";
pub const PASSWORD: &str = "it's a \\ secret";

/// One of the two families, with the programs of it that this machine has.
#[derive(Debug, Clone)]
pub struct Family {
    /// As in `server = "…"`.
    pub key: &'static str,
    pub server: PathBuf,
    pub client: PathBuf,
    pub dump: PathBuf,
    pub log: PathBuf,
    /// Where an unpacked server finds its messages.
    base: Option<PathBuf>,
}

/// A server that runs.
pub struct Server {
    pub family: Family,
    pub port: u16,
    folder: TempDir,
    options: Vec<String>,
    child: Option<Child>,
}

impl Family {
    /// MariaDB, as it is installed.
    pub fn mariadb() -> Self {
        let find = |name: &str| {
            find(name).unwrap_or_else(|| {
                panic!("{name} is missing: install the packages mariadb-server and mariadb-client")
            })
        };
        Self {
            key: "mariadb",
            server: find("mariadbd"),
            client: find("mariadb"),
            dump: find("mariadb-dump"),
            log: find("mariadb-binlog"),
            base: None,
        }
    }

    /// MySQL, where the set-up of the tests has unpacked it.
    pub fn mysql(test: &str) -> Option<Self> {
        let programs = ["mysqld", "mysql", "mysqldump", "mysqlbinlog"];
        Self::unpacked(test, "mysql", "STRONGROOM_TEST_MYSQL", programs)
    }

    /// A MariaDB of a newer series than the one that is installed, where the set-up of the tests has unpacked it.
    pub fn newer_mariadb(test: &str) -> Option<Self> {
        let programs = ["mariadbd", "mariadb", "mariadb-dump", "mariadb-binlog"];
        Self::unpacked(test, "mariadb", "STRONGROOM_TEST_MARIADB", programs)
    }

    fn unpacked(
        test: &str,
        key: &'static str,
        variable: &str,
        programs: [&str; 4],
    ) -> Option<Self> {
        let Some(folder) = std::env::var_os(variable) else {
            skip(test, &format!("{variable} is not set"));
            return None;
        };
        let folder = PathBuf::from(folder);
        let [server, client, dump, log] = programs.map(|name| folder.join("bin").join(name));
        Some(Self {
            key,
            server,
            client,
            dump,
            log,
            base: Some(folder.join("root/usr")),
        })
    }

    /// A server with a log of rows, and the account for backups.
    pub fn start(&self) -> Server {
        self.start_with(&["--log-bin=log", "--binlog-format=ROW", "--server-id=1"])
    }

    /// A server with these options.
    pub fn start_with(&self, options: &[&str]) -> Server {
        let folder = folder();
        let data = folder.path().join("data");
        run(Command::new("cp").arg("-a").arg(self.template()).arg(&data));
        let mut server = Server {
            family: self.clone(),
            port: free_port(),
            folder,
            options: options.iter().map(|&option| option.into()).collect(),
            child: None,
        };
        server.begin();
        let password = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
        server.sql(&format!(
            "CREATE USER {USER}@'%' IDENTIFIED BY '{password}'; GRANT ALL ON *.* TO {USER}@'%' WITH GRANT OPTION"
        ));
        server
    }

    /// The data of a server that has never run, made once for all tests of a program.
    fn template(&self) -> PathBuf {
        static TEMPLATES: [OnceLock<TempDir>; 3] = [const { OnceLock::new() }; 3];
        // The installed MariaDB, the unpacked one, MySQL.
        let number = usize::from(self.base.is_some()) + usize::from(self.key == "mysql");
        let folder = TEMPLATES[number].get_or_init(|| {
            let folder = folder();
            let data = format!("--datadir={}", folder.path().join("data").display());
            let mut make = match &self.base {
                None => unprivileged(Path::new("mariadb-install-db")),
                Some(_) => as_root(&self.server),
            };
            make.arg(data);
            match &self.base {
                None => make.args(["--auth-root-authentication-method=normal", "--skip-test-db"]),
                Some(base) if self.key == "mysql" => {
                    make.arg("--initialize-insecure").args(self.places(base))
                }
                // What mariadb-install-db does; that script looks for the programs where they would be installed.
                Some(base) => {
                    fs::create_dir_all(folder.path().join("data/mysql")).expect("a folder");
                    let statements = folder.path().join("statements");
                    fs::write(&statements, system_tables(base)).expect("written");
                    let statements = fs::File::open(statements).expect("opens");
                    make.arg("--bootstrap")
                        .args(self.places(base))
                        .stdin(statements)
                }
            };
            run(&mut make);
            folder
        });
        folder.path().join("data")
    }

    /// Where an unpacked server has what it looks for elsewhere.
    fn places(&self, base: &Path) -> [String; 4] {
        let messages = base.join("share").join(self.key);
        [
            format!("--basedir={}", base.display()),
            format!("--lc-messages-dir={}", messages.display()),
            format!("--plugin-dir={}", base.join("lib/mysql/plugin").display()),
            "--secure-file-priv=".into(),
        ]
    }
}

impl Server {
    /// Starts it, and waits until it answers.
    pub fn begin(&mut self) {
        let path = |name: &str| self.folder.path().join(name);
        let log = fs::File::create(path("log")).expect("a log file");
        let mut command = match &self.family.base {
            None => unprivileged(&self.family.server),
            Some(_) => as_root(&self.family.server),
        };
        command
            .arg(format!("--datadir={}", path("data").display()))
            .arg(format!("--socket={}", path("socket").display()))
            .arg(format!("--pid-file={}", path("pid").display()))
            .arg(format!("--tmpdir={}", self.folder.path().display()))
            .arg(format!("--port={}", self.port))
            .args(["--bind-address=127.0.0.1", "--innodb-buffer-pool-size=32M"])
            .args(&self.options)
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log);
        command.args(
            self.family
                .base
                .iter()
                .flat_map(|base| self.family.places(base)),
        );
        command.arg(match self.family.key {
            "mysql" => "--mysqlx=OFF",
            _ => "--plugin-maturity=unknown",
        });
        self.child = Some(command.spawn().expect("the server starts"));
        let started = Instant::now();
        while !self.try_sql("SELECT 1").0 {
            let ended = self.child.as_mut().map(|child| child.try_wait());
            let log = || fs::read_to_string(path("log")).unwrap_or_default();
            assert!(matches!(ended, Some(Ok(None))), "it ended: {}", log());
            assert!(
                started.elapsed() < PATIENCE,
                "it does not answer: {}",
                log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Runs SQL as root, which must succeed; out comes what it printed, without column names.
    pub fn sql(&self, sql: &str) -> String {
        let (success, text) = self.try_sql(sql);
        assert!(success, "{sql}: {text}");
        text
    }

    fn try_sql(&self, sql: &str) -> (bool, String) {
        let mut child = self.client(&[]);
        let output = child
            .arg("--execute")
            .arg(sql)
            .output()
            .expect("the client starts");
        let text = if output.status.success() {
            output.stdout
        } else {
            output.stderr
        };
        (
            output.status.success(),
            String::from_utf8_lossy(&text).trim_end().to_owned(),
        )
    }

    /// Feeds a file of SQL to the stock client, as a person would.
    pub fn run_file(&self, database: &str, file: &Path) {
        let input = fs::File::open(file).expect("the file opens");
        run(self.client(&[database]).stdin(input));
    }

    /// The stock client as root.
    pub fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.family.client);
        command
            .args([
                "--no-defaults",
                "--user=root",
                "--batch",
                "--skip-column-names",
            ])
            .arg("--default-character-set=utf8mb4")
            .arg(format!(
                "--socket={}",
                self.folder.path().join("socket").display()
            ))
            .args(arguments);
        command
    }

    /// All that is in a database, in an order of its own, without what differs from server to server.
    pub fn content(&self, database: &str) -> String {
        let socket = format!("--socket={}", self.folder.path().join("socket").display());
        let mut dump = Command::new(&self.family.dump);
        dump.args(["--no-defaults", "--user=root", &socket])
            .args([
                "--skip-comments",
                "--skip-dump-date",
                "--order-by-primary",
                "--hex-blob",
            ])
            .args([
                "--routines",
                "--triggers",
                "--events",
                "--skip-extended-insert",
            ])
            .args(["--default-character-set=utf8mb4", "--no-tablespaces"]);
        if self.family.key == "mysql" {
            dump.arg("--set-gtid-purged=OFF");
        }
        let output = dump
            .arg(database)
            .output()
            .expect("the dump program starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// A file of the server's own.
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }

    /// The lines of a configuration that make this server the source `name`.
    pub fn source(&self, name: &str, more: &str) -> String {
        let Family {
            key,
            client,
            dump,
            log,
            ..
        } = &self.family;
        let port = self.port;
        format!(
            "[sources.{name}]\nplugin = \"mysql\"\n\
             config = {{ server = \"{key}\", host = \"127.0.0.1\", port = {port}, user = \"{USER}\", \
             password = {{ file = \"mysql.password\" }}{more} }}\n\
             allow = {{ connect = [\"127.0.0.1:{port}\"], command = [{client:?}, {dump:?}, {log:?}] }}\n"
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The statements that make the tables of a MariaDB's own.
fn system_tables(base: &Path) -> String {
    let mut statements =
        "CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"
            .to_owned();
    for file in [
        "mariadb_system_tables.sql",
        "mariadb_performance_tables.sql",
        "mariadb_system_tables_data.sql",
        "maria_add_gis_sp_bootstrap.sql",
        "mariadb_sys_schema.sql",
    ] {
        let path = base.join("share/mariadb").join(file);
        statements += &fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    statements
}

/// A folder that whoever the servers run as can write to.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("mode");
    if is_root() {
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("chown");
    }
    folder
}

/// The program, as somebody else if we are root. A test that is killed leaves no server behind.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL");
    if is_root() {
        let user = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
        command.args(user).arg("--clear-groups");
    }
    command.arg("--").arg(program).arg("--no-defaults");
    command
}

/// An unpacked program lies where nobody else may be let in. It runs as root if it is told to.
fn as_root(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig=KILL", "--"])
        .arg(program)
        .arg("--no-defaults");
    if is_root() {
        command.arg("--user=root");
    }
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

fn run(command: &mut Command) {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut errors = String::new();
    if let Some(stderr) = &mut child.stderr {
        let _ = stderr.read_to_string(&mut errors);
    }
    let status = child.wait().expect("it ends");
    assert!(status.success(), "{command:?}: {errors}");
}
