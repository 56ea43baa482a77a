//! A real PostgreSQL in a temporary folder, started for one test and gone with it.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Of the superuser. The servers listen on the loopback address only.
pub(crate) const PASSWORD: &str = "it's secret";

/// A server that runs.
pub(crate) struct Server {
    folder: TempDir,
    data: PathBuf,
    pub(crate) port: u16,
    child: Child,
}

impl Server {
    /// A new cluster with page checksums. Nobody gets in without a password.
    pub(crate) fn start() -> Self {
        let folder = own_folder();
        fs::write(folder.path().join("password"), PASSWORD).expect("written");
        let data = folder.path().join("data");
        let status = as_owner("initdb")
            .arg("--pgdata")
            .arg(&data)
            .arg("--pwfile")
            .arg(folder.path().join("password"))
            .args([
                "--username=postgres",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
            ])
            .args(["--locale=C.UTF-8", "--data-checksums", "--no-sync"])
            .stdout(Stdio::null())
            .status()
            .expect("initdb starts");
        assert!(status.success(), "initdb: {status}");
        Self::run(folder, data)
    }

    /// A server on a data directory that a restore made. Its owner is changed, as the restore says to.
    pub(crate) fn start_on(data: &Path) -> Self {
        let (owner, group) = owner();
        for path in everything_below(data) {
            chown(&path, Some(owner), Some(group)).expect("given away");
        }
        Self::run(own_folder(), data.to_path_buf())
    }

    fn run(folder: TempDir, data: PathBuf) -> Self {
        let port = free_port();
        let child = spawn(folder.path(), &data, port);
        let mut server = Self {
            folder,
            data,
            port,
            child,
        };
        server.wait_until_ready();
        server
    }

    /// A server that follows this one.
    pub(crate) fn standby(&self) -> Self {
        let folder = own_folder();
        let data = folder.path().join("data");
        let status = as_owner("pg_basebackup")
            .args(["--write-recovery-conf", "--checkpoint=fast", "--pgdata"])
            .arg(&data)
            .args(["--host=127.0.0.1", "--username=postgres"])
            .env("PGPORT", self.port.to_string())
            .env("PGPASSWORD", PASSWORD)
            .status()
            .expect("pg_basebackup starts");
        assert!(status.success(), "pg_basebackup: {status}");
        Self::run(folder, data)
    }

    /// Gives it a locale that the machine has not.
    pub(crate) fn learn_locale(&mut self, source: &str, name: &str) {
        self.stop();
        let folder = self.folder.path().join(LOCALES);
        fs::create_dir_all(&folder).expect("a folder");
        for known in fs::read_dir("/usr/lib/locale").expect("a folder").flatten() {
            let _ = symlink(known.path(), folder.join(known.file_name()));
        }
        let status = Command::new("localedef")
            .args(["-i", source, "-f", "UTF-8"])
            .arg(folder.join(name))
            .status()
            .expect("localedef starts");
        assert!(status.success(), "localedef: {status}");
        self.restart();
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// A folder beside the data directory that the server may use.
    pub(crate) fn own_place(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        fs::create_dir(&path).expect("a folder");
        let (uid, gid) = owner();
        chown(&path, Some(uid), Some(gid)).expect("given away");
        path.display().to_string()
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Runs SQL, which must succeed; out comes what it returns, a line for each row, with `|` between columns.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.try_sql(database, sql);
        output.unwrap_or_else(|stderr| panic!("{sql}: {stderr}"))
    }

    /// Runs SQL, each statement by itself.
    pub(crate) fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = self
            .client("psql")
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
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql starts");
        let mut input = psql.stdin.take().expect("a pipe");
        // Whoever does not get in does not read either.
        let _ = input.write_all(sql.as_bytes());
        drop(input);
        let output = psql.wait_with_output().expect("psql ends");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end().to_owned();
        match output.status.success() {
            true => Ok(text(output.stdout)),
            false => Err(text(output.stderr)),
        }
    }

    /// Runs a script, which must succeed.
    pub(crate) fn script(&self, database: &str, file: &Path) {
        let output = self
            .client("psql")
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-f"])
            .arg(file)
            .output()
            .expect("psql starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Everything in a database as text that is the same for the same content.
    pub(crate) fn dump(&self, database: &str) -> String {
        let output = self
            .client("pg_dump")
            .args(["--format=plain", "-d", database])
            .output()
            .expect("pg_dump starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        // Newer versions write a key that is random.
        let is_content =
            |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
        text.lines()
            .filter(is_content)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// A client program that finds the server by its environment.
    pub(crate) fn client(&self, program: &str) -> Command {
        let mut command = Command::new(bin(program));
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "postgres")
            .env("PGPASSWORD", PASSWORD)
            .env("PGTZ", "UTC");
        command
    }

    /// Kills the server with all its processes, as a power failure would, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let group = format!("-{}", self.child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = self.child.wait();
        }
    }

    /// Starts it again after [`kill`](Self::kill).
    pub(crate) fn restart(&mut self) {
        let begun = Instant::now();
        loop {
            self.child = spawn(self.folder.path(), &self.data, self.port);
            match self.wait() {
                Ok(()) => return,
                // What served its connections is killed by nobody, and takes a moment to notice that the server is gone.
                Err(log) if is_still_held(&log) && begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(200));
                }
                Err(log) => panic!("{log}"),
            }
        }
    }

    /// Has a row of a table lie beyond the end of its page, while the server is stopped. The cluster must have no checksums, or nobody could read
    /// that page any more.
    pub(crate) fn damage(&mut self, file: &str, page: u64) {
        self.stop();
        let path = self.data.join(file);
        let opened = fs::OpenOptions::new().write(true).open(&path);
        // Its pointer, which says: at 32761, in use, 32767 bytes.
        let pointer = 0xFFFE_FFF9_u32.to_le_bytes();
        opened
            .and_then(|file| file.write_all_at(&pointer, 8192 * page + 24))
            .expect("damaged");
        self.restart();
    }

    /// Has it run with another setting from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.stop();
        let file = fs::OpenOptions::new()
            .append(true)
            .open(self.data.join("postgresql.conf"));
        let line = format!("{name} = '{value}'\n");
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("written");
        self.restart();
    }

    /// Does without checksums from now on.
    pub(crate) fn disable_checksums(&mut self) {
        self.stop();
        let status = as_owner("pg_checksums")
            .args(["--disable", "--no-sync", "-D"])
            .arg(&self.data)
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("pg_checksums starts").success());
        self.restart();
    }

    /// Stops it in good order.
    pub(crate) fn stop(&mut self) {
        let _ = Command::new("kill")
            .args(["-INT", &self.child.id().to_string()])
            .status();
        let _ = self.child.wait();
    }

    fn wait_until_ready(&mut self) {
        self.wait().unwrap_or_else(|log| panic!("{log}"));
    }

    /// Waits until it takes connections, and has ended its recovery if that has an end. An error is what it logged.
    fn wait(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        let follows = match self.data.join("standby.signal").exists() {
            true => "t",
            false => "f",
        };
        while self
            .try_sql("postgres", "SELECT pg_is_in_recovery()")
            .as_deref()
            != Ok(follows)
        {
            let ended = self.child.try_wait().expect("it can be asked");
            if ended.is_some() || begun.elapsed() > PATIENCE {
                return Err(format!("the server does not start: {}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

/// Where locales are that one server knows and the machine does not.
const LOCALES: &str = "locales";

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether the last start failed for processes of the one before.
fn is_still_held(log: &str) -> bool {
    let mut last = log.lines().rev().take(4);
    last.any(|line| line.contains("pre-existing shared memory block"))
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program of the server's version.
pub(crate) fn bin(program: &str) -> PathBuf {
    bin_folder().join(program)
}

/// Where PostgreSQL's own programs are: in the folder that `STRONGROOM_TEST_POSTGRES` names, else the newest that Debian has installed.
pub(crate) fn bin_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("STRONGROOM_TEST_POSTGRES") {
        return folder.into();
    }
    let versions = fs::read_dir("/usr/lib/postgresql")
        .expect("postgresql is installed: `cargo xtask test` does it");
    let folders = versions.flatten().map(|entry| entry.path().join("bin"));
    let with_server = folders.filter(|folder| folder.join("initdb").exists());
    with_server
        .max()
        .expect("postgresql is installed: `cargo xtask test` does it")
}

fn spawn(folder: &Path, data: &Path, port: u16) -> Child {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .expect("a log");
    let mut command = as_owner("postgres");
    command
        .arg("-D")
        .arg(data)
        .args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
        ])
        .args([
            "-c",
            "fsync=off",
            "-c",
            "shared_buffers=16MB",
            "-c",
            "max_wal_size=128MB",
            "-c",
            // In the data directory, not in the machine's memory: a server that is killed does not tidy up.
            "dynamic_shared_memory_type=mmap",
        ])
        .arg("-p")
        .arg(port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0);
    if folder.join(LOCALES).exists() {
        command.env("LOCPATH", folder.join(LOCALES));
    }
    command.spawn().expect("the server starts")
}

/// PostgreSQL refuses to run as root: there it runs as the user that Debian's package made.
fn as_owner(program: &str) -> Command {
    if !is_root() {
        return Command::new(bin(program));
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
            "--",
        ])
        .arg(bin(program));
    command
}

fn own_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    if is_root() {
        let (owner, group) = owner();
        chown(folder.path(), Some(owner), Some(group)).expect("given away");
    }
    folder
}

fn owner() -> (u32, u32) {
    let of = |flag: &str| -> u32 {
        let output = Command::new("id").args([flag, "postgres"]).output();
        let text = String::from_utf8(output.expect("id starts").stdout).expect("UTF-8");
        text.trim().parse().expect("there is a user postgres")
    };
    match is_root() {
        true => (of("-u"), of("-g")),
        false => {
            let own = fs::metadata("/proc/self").expect("metadata");
            (own.uid(), own.gid())
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("metadata").uid() == 0
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn everything_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_path_buf()];
    let mut at = 0;
    while let Some(path) = found.get(at).cloned() {
        if path.is_dir() && !path.is_symlink() {
            found.extend(
                fs::read_dir(&path)
                    .expect("a folder")
                    .flatten()
                    .map(|it| it.path()),
            );
        }
        at += 1;
    }
    found
}

/// A program in a folder of its own, for `allow.command`.
pub(crate) fn stand_in(folder: &Path, name: &str, script: &str) -> PathBuf {
    fs::create_dir_all(folder).expect("a folder");
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode");
    path
}

/// Stand-ins that do what the real programs do.
pub(crate) fn pass_on(folder: &Path, programs: &[&str]) {
    let real = bin("");
    for program in programs {
        let script = format!("exec {}/{program} \"$@\"", real.display());
        stand_in(folder, program, &script);
    }
}
