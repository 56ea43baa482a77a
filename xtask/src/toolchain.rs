//! The target `wasm32-wasip2`, which plugins are built for.
//!
//! In: the compiler in use. Out: its sysroot holds the target's standard library. Where that is so already, nothing is done. Otherwise rustup is
//! asked; and where rustup cannot fetch (a machine that reaches only package registries), the standard library is built from Debian's packages
//! `rust-src` and `wasi-libc`. Every file on the way lies in `toolchain/` under the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::debian::{Mirror, Suite};
use crate::error::{Error, Result};
use crate::process;
use crate::workspace::{Workspace, make_folder, say};

/// What plugins are built for.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Where Debian's rust-src of a compiler's version is looked for, the likeliest first.
const SUITES: [&str; 4] = ["trixie-backports", "trixie", "forky", "sid"];

/// A slow line needs a while for 30 MB; a machine that reaches nothing fails at once.
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);

/// Makes the target ready. Fails with what to install where neither rustup nor Debian's packages can be had.
pub(crate) fn ensure(workspace: &Workspace) -> Result<()> {
    let compiler = Compiler::find()?;
    if compiler.has_target() {
        return Ok(());
    }
    let _lock = workspace.lock("toolchain")?;
    if compiler.has_target() {
        return Ok(());
    }
    say(&format!(
        "rustc {} has no target {TARGET} yet",
        compiler.version
    ));
    if compiler.is_managed_by_rustup() {
        say(&format!(
            "asking rustup for it (rustup target add {TARGET})"
        ));
        let mut rustup = Command::new("rustup");
        rustup
            .args(["target", "add", TARGET])
            .env("RUSTUP_MAX_RETRIES", "0");
        if process::succeeds_within(&mut rustup, RUSTUP_LIMIT) && compiler.has_target() {
            say("rustup has added it");
            return Ok(());
        }
        say("rustup could not fetch it");
    }
    build_from_debian(workspace, &compiler).map_err(|error| {
        error
            .context(format!("cannot make the target {TARGET} ready"))
            .or_hint(format!("`rustup target add {TARGET}`, or your system's package of Rust's standard library for {TARGET}, does"))
    })?;
    say(&format!("the target {TARGET} is ready"));
    Ok(())
}

/// The Rust compiler in use.
#[derive(Debug)]
struct Compiler {
    /// Such as `1.95.0`.
    version: String,
    sysroot: PathBuf,
}

impl Compiler {
    fn find() -> Result<Self> {
        let version = process::output(Command::new("rustc").arg("-V"))?;
        let version = version
            .split_whitespace()
            .nth(1)
            .ok_or_else(|| Error::new(format!("`rustc -V` names no version: {}", version.trim())))?
            .to_owned();
        let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
        Ok(Self {
            version,
            sysroot: PathBuf::from(sysroot.trim_end()),
        })
    }

    fn is_managed_by_rustup(&self) -> bool {
        self.rustlib()
            .join("multirust-channel-manifest.toml")
            .exists()
            && process::find("rustup", &[]).is_some()
    }

    fn rustlib(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib")
    }

    /// The folder of the target's libraries.
    fn libraries(&self) -> PathBuf {
        self.rustlib().join(TARGET).join("lib")
    }

    fn has_target(&self) -> bool {
        rlibs(&self.libraries()).is_ok_and(|libraries| libraries.iter().any(|path| is_std(path)))
    }
}

fn build_from_debian(workspace: &Workspace, compiler: &Compiler) -> Result<()> {
    let libraries = compiler.libraries();
    let objects = libraries.join("self-contained");
    // Before anything is downloaded: nobody waits a minute to hear that the last step may not be done.
    make_folder(&objects).map_err(|error| {
        error.hint("run `cargo xtask toolchain` once as a user who may write there")
    })?;

    let folder = workspace.target_folder("toolchain")?;
    say("taking its standard library from Debian's packages rust-src and wasi-libc instead");
    let mirror = Mirror::find(&folder.join("apt"))?;
    let (suite, version) = suite_with_source_of(&mirror, compiler)?;
    let (unpacked, build) = (folder.join("unpacked"), folder.join("build"));
    remove(&unpacked)?;
    say(&format!("downloading and unpacking rust-src {version}"));
    suite.unpack("rust-src", &version, &unpacked)?;
    let libc_version = suite
        .versions("wasi-libc")?
        .into_iter()
        .next()
        .ok_or_else(|| Error::new("the suite with rust-src has no wasi-libc"))?;
    say(&format!(
        "downloading and unpacking wasi-libc {libc_version}"
    ));
    suite.unpack("wasi-libc", &libc_version, &unpacked)?;

    say("copying the C library for WebAssembly into the compiler's folder");
    for name in ["crt1-command.o", "crt1-reactor.o", "libc.a"] {
        copy(
            &unpacked.join("usr/lib").join(TARGET).join(name),
            &objects.join(name),
        )?;
    }
    say("building Rust's standard library for WebAssembly (half a minute)");
    let dependencies = build_sysroot(workspace, &unpacked, &build)?;
    copy_libraries(&dependencies, &libraries)?;
    if !compiler.has_target() {
        return Err(Error::new("the build made no library called std"));
    }
    // Half a gigabyte that nobody needs again.
    remove(&unpacked)?;
    remove(&build)
}

/// The first suite whose rust-src is of the compiler's version, and that package's version there.
fn suite_with_source_of(mirror: &Mirror, compiler: &Compiler) -> Result<(Suite, String)> {
    let wanted = format!("{}+", compiler.version);
    let mut last = None;
    for name in SUITES {
        say(&format!(
            "looking for rust-src {} in Debian {name}",
            compiler.version
        ));
        let found = mirror.suite(name).and_then(|suite| {
            let versions = suite.versions("rust-src")?;
            Ok((
                versions
                    .into_iter()
                    .find(|version| version.starts_with(&wanted)),
                suite,
            ))
        });
        match found {
            Ok((Some(version), suite)) => return Ok((suite, version)),
            Ok((None, _)) => {}
            Err(error) => last = Some(error),
        }
    }
    let looked = SUITES.join(", ");
    let missing = format!("no rust-src {} in Debian's {looked}", compiler.version);
    Err(match last {
        Some(error) => error.context(missing),
        None => Error::new(missing),
    })
}

/// Builds the crates of the standard library; out comes the folder that holds their `.rlib` files.
fn build_sysroot(workspace: &Workspace, unpacked: &Path, target: &Path) -> Result<PathBuf> {
    let sources = unpacked.join("usr/src");
    let source = fs::read_dir(&sources)
        .map_err(|e| Error::io("cannot read", &sources, &e))?
        .flatten()
        .map(|entry| entry.path().join("library/sysroot"))
        .find(|path| path.join("Cargo.toml").exists())
        .ok_or_else(|| Error::new("rust-src holds no library/sysroot"))?;
    // What another version left would be taken for ours.
    remove(target)?;
    let mut cargo = workspace.cargo();
    cargo
        .current_dir(&source)
        .args(["build", "--release", "--quiet", "--target", TARGET])
        .args(["--features", "panic-unwind,backtrace,compiler-builtins-mem"])
        .arg("--target-dir")
        .arg(target)
        // The standard library uses what only a nightly compiler allows; this is how Rust builds it in a release.
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "RUSTFLAGS",
            "-Zforce-unstable-if-unmarked -Cembed-bitcode=yes",
        )
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR");
    process::output(&mut cargo)?;
    Ok(target.join(TARGET).join("release/deps"))
}

/// Copies every `.rlib`, the library `std` last: it is what tells that the target is there, whenever we are interrupted.
fn copy_libraries(from: &Path, to: &Path) -> Result<()> {
    // Of two versions of a library the compiler could not tell which to take.
    for stale in rlibs(to)? {
        fs::remove_file(&stale).map_err(|error| Error::io("cannot remove", &stale, &error))?;
    }
    let mut files = rlibs(from)?;
    files.sort_by_key(|path| is_std(path));
    for file in &files {
        if let Some(name) = file.file_name() {
            copy(file, &to.join(name))?;
        }
    }
    Ok(())
}

fn rlibs(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|e| Error::io("cannot read", folder, &e))?;
    Ok(entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "rlib")
        })
        .collect())
}

/// rustup's file is called `libstd-<hash>.rlib`, the one that cargo builds just `libstd.rlib`.
fn is_std(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem == "libstd" || stem.starts_with("libstd-")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map_err(|error| Error::io("cannot copy", from, &error))?;
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("cannot remove", folder, &error))
        }
        _ => Ok(()),
    }
}
