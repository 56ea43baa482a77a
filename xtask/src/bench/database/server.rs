//! A server process of the benchmark's own: unprivileged, in a folder, on a free port, and gone with the value.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::process;
use crate::workspace::make_folder;

/// Servers refuse to run as root; this is who they run as then.
const NOBODY: u32 = 65_534;

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(300);

/// A server that runs.
pub(super) struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts it, with its output in the file `log`, and waits until `is_ready`.
    pub(super) fn start(
        command: &mut Command,
        log: &Path,
        is_ready: impl Fn() -> bool,
    ) -> Result<Self> {
        let file = fs::File::create(log).map_err(|e| Error::io("cannot create", log, &e))?;
        let errors = file
            .try_clone()
            .map_err(|e| Error::io("cannot write", log, &e))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .map_err(|error| {
                Error::new(format!(
                    "cannot start `{}`: {error}",
                    process::line(command)
                ))
            })?;
        let mut server = Self {
            child,
            log: log.to_path_buf(),
        };
        let started = Instant::now();
        while !is_ready() {
            let has_ended = !matches!(server.child.try_wait(), Ok(None));
            if has_ended || started.elapsed() > PATIENCE {
                let text = fs::read_to_string(&server.log).unwrap_or_default();
                let last = text.lines().last().unwrap_or("no output");
                return Err(Error::new(format!("the server does not answer: {last}")));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }

    /// Ends it in good order by the signal that asks it to.
    pub(super) fn stop(mut self, signal: libc::c_int) -> Result<()> {
        // SAFETY: the process is our child and was not waited for.
        unsafe { libc::kill(self.child.id().cast_signed(), signal) };
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(50)),
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    return Err(Error::new(format!("the server ended with {status}")));
                }
                Err(error) => return Err(Error::new(format!("the server is lost: {error}"))),
            }
        }
        Err(Error::new("the server does not end"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either fails only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, as somebody else if we are root. A benchmark that is killed leaves no server behind.
pub(super) fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL");
    if is_root() {
        let user = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
        command.args(user).arg("--clear-groups");
    }
    command.arg("--").arg(program);
    command
}

/// Makes a folder that whoever the servers run as can write to, and reach.
pub(super) fn own_folder(path: &Path) -> Result<()> {
    make_folder(path)?;
    let failed = |error| Error::io("cannot give away", path, &error);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    match is_root() {
        true => chown(path, Some(NOBODY), Some(NOBODY)).map_err(failed),
        false => Ok(()),
    }
}

/// A port that nobody listens on.
pub(super) fn free_port() -> Result<u16> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| Error::new(format!("there is no free port: {error}")))
}

fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() == 0 }
}
