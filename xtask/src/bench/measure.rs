//! What one program costs: wall time, processor time, peak memory.
//!
//! In: a command. Out: [`Measured`], as the kernel counted it for that process alone.

use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::place::warm_memory;
use crate::error::{Error, Result};
use crate::process;

/// What one run of a program cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Measured {
    pub(crate) wall_seconds: f64,
    /// User and system together.
    pub(crate) cpu_seconds: f64,
    /// Peak resident set. The kernel starts it at what we had when the program was started, a few MB.
    pub(crate) peak_bytes: u64,
}

/// Runs `command` to its end with its output in the file `log`. An exit code other than 0 is an error that shows the log's last lines.
pub(crate) fn measure(command: &mut Command, log: &Path) -> Result<Measured> {
    measure_stream(command, None, None, log)
}

/// As [`measure`], with `input` on standard input, and standard output in the file `output`, where they are given.
///
/// Dirty pages of what ran before are written out first, and there is memory, so that nobody pays for somebody else's.
pub(crate) fn measure_stream(
    command: &mut Command,
    input: Option<&Path>,
    output: Option<&Path>,
    log: &Path,
) -> Result<Measured> {
    // SAFETY: sync has no preconditions.
    unsafe { libc::sync() };
    warm_memory();
    cost_of(command, input, output, log)
}

fn cost_of(
    command: &mut Command,
    input: Option<&Path>,
    output: Option<&Path>,
    log: &Path,
) -> Result<Measured> {
    let create =
        |path: &Path| File::create(path).map_err(|error| Error::io("cannot create", path, &error));
    let errors = create(log)?;
    let stdout = match output {
        Some(path) => create(path)?,
        None => errors
            .try_clone()
            .map_err(|error| Error::io("cannot write", log, &error))?,
    };
    let stdin = match input {
        Some(path) => File::open(path)
            .map_err(|error| Error::io("cannot open", path, &error))?
            .into(),
        None => Stdio::null(),
    };
    command.stdin(stdin).stdout(stdout).stderr(errors);

    let line = process::line(command);
    let failed = |error: &std::io::Error| Error::new(format!("cannot run `{line}`: {error}"));
    let started = Instant::now();
    let child = command.spawn().map_err(|error| failed(&error))?;
    let (status, usage) = wait(child.id()).map_err(|error| failed(&error))?;
    let wall_seconds = started.elapsed().as_secs_f64();

    if status != 0 {
        let text = fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.trim().lines().collect();
        let last = lines
            .get(lines.len().saturating_sub(8)..)
            .unwrap_or_default();
        return Err(Error::new(format!("`{line}` failed:\n{}", last.join("\n"))));
    }
    Ok(Measured {
        wall_seconds,
        cpu_seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        // Linux counts in KiB.
        peak_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
    })
}

/// Waits for the child; out come the raw status, 0 where it exited with 0, and what it used. The standard library's `wait` does not tell that.
fn wait(process: u32) -> std::io::Result<(i32, libc::rusage)> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are to locals that live through the call, and a rusage of zeros is valid.
        let waited = unsafe {
            libc::wait4(
                process.cast_signed(),
                &raw mut status,
                0,
                usage.as_mut_ptr(),
            )
        };
        if waited >= 0 {
            // SAFETY: it was zeroed, and the kernel has filled it.
            return Ok((status, unsafe { usage.assume_init() }));
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, name: &str) -> Result<Measured> {
        let log = std::env::temp_dir().join(format!("xtask-measure-{}-{name}", std::process::id()));
        let measured = cost_of(Command::new("sh").args(["-c", script]), None, None, &log);
        fs::remove_file(log).unwrap();
        measured
    }

    #[test]
    fn waiting_costs_wall_time_and_no_processor() {
        let measured = run("sleep 0.3", "sleep").unwrap();
        assert!(measured.wall_seconds >= 0.3, "{measured:?}");
        assert!(measured.cpu_seconds < 0.2, "{measured:?}");
    }

    #[test]
    fn a_program_that_fails_is_an_error_that_shows_what_it_said() {
        let error = run("echo out of luck >&2; exit 3", "fail")
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("failed:\nout of luck"), "{error}");
    }
}
