//! A program that runs outside of the sandbox. In go its path, arguments and environment; out come its pipes, and how it ended.
//!
//! A thread keeps each program: it starts it, reads its standard error whatever else happens, sees it end, and ends it with its whole
//! process group when nobody holds it any more or the run is cancelled. The program stays a zombie until it is let go, so that its
//! process group cannot become another's in the meantime.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, pidfd_open,
    waitid,
};
use tokio::sync::watch;

use crate::account::Account;
use crate::limits::Watch;
use crate::quota::Place;
use crate::running::Counted;
use crate::stderr::LastWords;

/// How long a program may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(3);
/// How often it is looked whether the run was cancelled.
const LOOK: Duration = Duration::from_millis(100);

/// What to run.
pub(crate) struct Order<'a> {
    pub(crate) path: &'a Path,
    pub(crate) arguments: &'a [String],
    pub(crate) environment: &'a [(String, String)],
    /// As whom; none for the engine's own user.
    pub(crate) account: Option<&'a Account>,
    /// These live as long as the program does.
    pub(crate) place: Place,
    pub(crate) counted: Option<Counted>,
}

/// How a program ended.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    /// Its exit code, or the negative number of the signal that ended it.
    pub(crate) code: i32,
    /// The end of its standard error.
    pub(crate) stderr: String,
}

/// A program that was started. Dropping it ends the program.
pub(crate) struct Program {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    ending: watch::Receiver<Option<Ending>>,
    /// Closing it is the order to end.
    _held: PipeWriter,
}

impl Program {
    /// Starts it. `watch` tells when the run is cancelled.
    pub(crate) fn start(order: Order<'_>, watch: Watch) -> io::Result<Self> {
        let mut command = command(&order);
        let counted = (order.place, order.counted);
        let (released, held) = io::pipe()?;
        let (ending_sender, ending) = watch::channel(None);
        let (reply, started) = sync_channel(1);
        // Linux ends a program with the thread that started it, so that thread must be the one that outlives it.
        std::thread::Builder::new()
            .name("plugin-program".into())
            .spawn(move || {
                keep(&mut command, &reply, released, ending_sender, watch);
                drop(counted);
            })?;
        let (stdin, stdout) = started
            .recv()
            .map_err(|_| io::Error::other("its thread ended"))??;
        Ok(Self {
            stdin,
            stdout,
            ending,
            _held: held,
        })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<Ending> {
        self.ending.borrow().clone()
    }

    /// Resolves when it has ended.
    pub(crate) fn ending(&self) -> impl Future<Output = Option<Ending>> + Send + use<> {
        let mut ending = self.ending.clone();
        async move { ending.wait_for(Option::is_some).await.ok()?.clone() }
    }
}

/// An empty environment, the root as working directory, pipes, and a session of its own: no terminal to ask for a password at.
fn command(order: &Order<'_>) -> Command {
    let mut command = Command::new(order.path);
    command
        .args(order.arguments)
        .env_clear()
        .envs(order.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(account) = order.account {
        // Its other groups stay behind too: the standard library drops them.
        command.uid(account.uid).gid(account.gid);
    }
    let engine = rustix::process::getpid();
    // SAFETY: system calls and nothing else, which is all that may happen between fork and exec.
    unsafe {
        command.pre_exec(move || {
            rustix::process::setsid()?;
            // What the engine itself inherited is not passed on. Kernels before 5.11 cannot, and mostly need not.
            libc::syscall(
                libc::SYS_close_range,
                3,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            );
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // It may have died before it could be asked for that.
            match rustix::process::getppid() == Some(engine) {
                true => Ok(()),
                false => Err(rustix::io::Errno::SRCH.into()),
            }
        });
    }
    command
}

type Pipes = (Option<OwnedFd>, Option<OwnedFd>);

/// The life of a program.
fn keep(
    command: &mut Command,
    reply: &SyncSender<io::Result<Pipes>>,
    released: PipeReader,
    ending: watch::Sender<Option<Ending>>,
    watch: Watch,
) {
    let keeper = command.spawn().and_then(|mut child| {
        let pipes = (
            child.stdin.take().map(OwnedFd::from),
            child.stdout.take().map(OwnedFd::from),
        );
        Ok((Keeper::new(child, released, ending, watch)?, pipes))
    });
    match keeper {
        Ok((mut keeper, pipes)) => {
            let _ = reply.send(Ok(pipes));
            keeper.run();
        }
        Err(error) => drop(reply.send(Err(error))),
    }
}

struct Keeper {
    child: Child,
    group: Pid,
    process: OwnedFd,
    stderr: Option<ChildStderr>,
    last_words: LastWords,
    /// Closed by whoever holds the program; gone when that was seen.
    released: Option<PipeReader>,
    ending: watch::Sender<Option<Ending>>,
    watch: Watch,
}

impl Keeper {
    fn new(
        mut child: Child,
        released: PipeReader,
        ending: watch::Sender<Option<Ending>>,
        watch: Watch,
    ) -> io::Result<Self> {
        let group = Pid::from_child(&child);
        let stderr = child.stderr.take();
        let opened = pidfd_open(group, PidfdFlags::empty()).and_then(|process| {
            ioctl_fionbio(&released, true)?;
            stderr
                .as_ref()
                .map_or(Ok(()), |stderr| ioctl_fionbio(stderr, true))?;
            Ok(process)
        });
        match opened {
            Ok(process) => Ok(Self {
                child,
                group,
                process,
                stderr,
                last_words: LastWords::default(),
                released: Some(released),
                ending,
                watch,
            }),
            Err(error) => {
                let _ = child.kill().and_then(|()| child.wait().map(drop));
                Err(error.into())
            }
        }
    }

    fn run(&mut self) {
        while !self.has_ended() {
            self.wait_for_news();
            self.look();
            if self.released.is_none() || self.watch.is_cancelled() {
                self.end();
            }
        }
        while self.released.is_some() {
            self.wait_for_news();
            self.look();
        }
        // What it started and left behind goes too.
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Asks the program to end, and ends it when it does not.
    fn end(&mut self) {
        self.signal(Signal::TERM);
        let asked = Instant::now();
        while !self.has_ended() {
            if asked.elapsed() >= GRACE {
                self.signal(Signal::KILL);
            }
            self.wait_for_news();
            self.look();
        }
    }

    fn has_ended(&self) -> bool {
        self.ending.borrow().is_some()
    }

    /// Waits until something happened, or it is time to look.
    fn wait_for_news(&self) {
        let mut fds = Vec::new();
        let mut timeout = None;
        if !self.has_ended() {
            fds.push(PollFd::new(&self.process, PollFlags::IN));
            timeout = Some(Timespec {
                tv_sec: 0,
                tv_nsec: LOOK.subsec_nanos().into(),
            });
        }
        fds.extend(
            self.released
                .as_ref()
                .map(|pipe| PollFd::new(pipe, PollFlags::IN)),
        );
        fds.extend(
            self.stderr
                .as_ref()
                .map(|pipe| PollFd::new(pipe, PollFlags::IN)),
        );
        // An interrupted wait is as good as one that brought no news.
        let _ = poll(&mut fds, timeout.as_ref());
    }

    fn look(&mut self) {
        // In this order: what it wrote before it ended is there to be read.
        let status = self.status();
        self.drain_stderr();
        if let Some(status) = status {
            self.ending.send_replace(Some(Ending {
                code: code(&status),
                stderr: self.last_words.text(),
            }));
        }
        let is_released = match &mut self.released {
            Some(released) => released.read(&mut [0]).is_ok(),
            None => false,
        };
        if is_released {
            self.released = None;
        }
    }

    /// How it ended, once. It stays a zombie.
    fn status(&self) -> Option<WaitIdStatus> {
        if self.has_ended() {
            return None;
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::PidFd(self.process.as_fd()), options).ok()?
    }

    fn drain_stderr(&mut self) {
        let mut piece = [0; 16 << 10];
        // Not for ever: a program that floods must not keep us from looking at anything else.
        for _ in 0..64 {
            let Some(stderr) = &mut self.stderr else {
                return;
            };
            match stderr.read(&mut piece) {
                Ok(0) => self.stderr = None,
                Ok(length) => self
                    .last_words
                    .push(piece.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.stderr = None,
            }
        }
    }

    fn signal(&self, signal: Signal) {
        // It fails only for a group that is gone.
        let _ = kill_process_group(self.group, signal);
    }
}

fn code(status: &WaitIdStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => -signal,
        (None, None) => -1,
    }
}
