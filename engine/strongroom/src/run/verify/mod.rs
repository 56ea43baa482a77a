//! Proving backups: a backup in, what each of its sources turned out to be worth out. Each is brought to life in a scratch directory by the plugin that
//! made it, and the outcome is recorded.

mod account;
mod scratch;
mod settings;
mod workers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_host::Ground;
use strongroom_repository::backup::Manifest;
use strongroom_repository::feed::SnapshotFeed;
use strongroom_repository::verification::{Finding, Verdict, Verification, VerifyRequest};
use strongroom_repository::{Error, ErrorKind, Progress, Result, Time};

use super::backups::{Backup, BackupSource};
use super::proofs::{Proof, Proofs, Worth};
use super::survey::{Reading, Survey};
use crate::engine::Engine;

pub use settings::{Options, Settings};

use account::choose_account;
use scratch::ScratchDirectory;

/// How long programs of a verification have to end when it is over. They are asked to, and ended after three seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of one source.
pub struct Verified {
    /// What was recorded of it.
    pub proof: Proof,
    /// Why nothing can be said, where that is so.
    pub error: Option<Error>,
}

/// Proves `sources` of `backup` one after another, and records each. Being cancelled ends it; any other failure is in the result.
pub fn verify(
    engine: &Engine,
    survey: &Survey,
    backup: &Backup,
    sources: &[&BackupSource],
    options: &Options,
    progress: &Arc<Progress>,
) -> Result<Vec<Verified>> {
    let proofs = Proofs::of(engine);
    let mut verified = Vec::new();
    for source in sources {
        let begun = Instant::now();
        let mut proof = Proof {
            time: Time::now(),
            backup: backup.id.clone(),
            source: source.source.clone(),
            destination: None,
            snapshot: None,
            result: Worth::Unknown,
            findings: Vec::new(),
            attributes: Vec::new(),
            error: None,
            seconds: 0.0,
        };
        let error = match prove(
            engine, survey, backup, source, options, progress, &mut proof,
        ) {
            Ok(()) => None,
            Err(error) if progress.is_cancelled() || error.kind() == ErrorKind::Cancelled => {
                return Err(error);
            }
            // What cannot be read back is worth nothing, whatever it was once.
            Err(error) if error.kind() == ErrorKind::Corrupted => {
                proof.result = Worth::Failed;
                proof.findings.push(Finding {
                    verdict: Verdict::Failed,
                    subject: "the backup's bytes".into(),
                    detail: error.to_string(),
                });
                None
            }
            Err(error) => Some(error),
        };
        proof.error = error.as_ref().map(ToString::to_string);
        proof.seconds = begun.elapsed().as_secs_f64();
        if let Err(error) = proofs.add(&proof) {
            progress.warn(format!("nobody will know of this verification: {error}"));
        }
        verified.push(Verified { proof, error });
    }
    Ok(verified)
}

fn prove(
    engine: &Engine,
    survey: &Survey,
    backup: &Backup,
    source: &BackupSource,
    options: &Options,
    progress: &Arc<Progress>,
    proof: &mut Proof,
) -> Result<()> {
    let settings = Settings::of(engine.config(), backup, &source.source, options);
    progress.step(format!("opening {}", source.source));
    let (reading, ()) = survey.read(source, progress, |_| Ok(()))?;
    proof.destination = Some(reading.destination.clone());
    proof.snapshot = Some(*reading.contents.id());
    let manifest = reading
        .contents
        .manifest()
        .ok_or_else(|| not_ours(source))?;
    check_plugin(engine, &source.source, manifest)?;

    let scratch = ScratchDirectory::create(&settings.scratch)?;
    let verification = run(engine, &reading, source, &settings, &scratch, progress);
    let removed = scratch.remove();
    let verification = verification?;
    if let Err(error) = removed {
        progress.warn(format!("the next verification will tidy up: {error}"));
    }
    let has = |verdict| verification.findings.iter().any(|it| it.verdict == verdict);
    proof.result = match verification.is_proof() {
        true => Worth::Proven,
        false if has(Verdict::Failed) => Worth::Failed,
        // All was skipped: that this machine lacks something is no fault of the backup's.
        false => Worth::Unknown,
    };
    proof.findings = verification.findings;
    proof.attributes = verification.attributes;
    Ok(())
}

/// Has the plugin verify. When this returns, nothing of it runs any more.
fn run(
    engine: &Engine,
    reading: &Reading,
    source: &BackupSource,
    settings: &Settings,
    scratch: &ScratchDirectory,
    progress: &Arc<Progress>,
) -> Result<Verification> {
    let name = source.source.as_str();
    let place = scratch.place();
    let (plugin, config, ground) = engine.verifier(name, &place)?;
    let contents = Arc::clone(&reading.contents);
    let feed = SnapshotFeed::new(contents, Vec::new(), Arc::clone(progress));
    let attributes = strongroom_repository::source::Feed::attributes(&feed);
    let needs = plugin
        .verify_needs(&config, &attributes, &place)
        .map_err(|error| error.on(format!("source {name}")))?;
    let ground = Ground {
        folders: settings.programs.clone(),
        folders_setting: settings.programs_setting(),
        account: choose_account(&needs, settings, ground.is_bundled, &place.directory)?,
        ..ground
    };
    let grants = ground.grant(&needs)?;
    let running = grants.running();
    let mut session = plugin.source(name, &config, grants, Arc::clone(progress))?;
    let request = VerifyRequest {
        scratch: place,
        assertions: settings.assertions.clone(),
        percent: settings.percent,
    };
    let verification = session.verify(&request, &feed);
    drop(session);
    if !running.wait(PATIENCE) {
        progress.warn("a program of the verification does not end");
    }
    // Being cancelled ends the programs too, and a plugin may take that for the backup's fault.
    progress.check_cancelled()?;
    verification
}

fn not_ours(source: &BackupSource) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "restic made this backup, and no plugin knows how to verify it",
    )
    .on(format!("source {}", source.source))
    .hint("`strongroom check --read-data` reads every byte of the repository")
}

/// A plugin of another kind would not know what the backup holds.
fn check_plugin(engine: &Engine, source: &str, manifest: &Manifest) -> Result<()> {
    match engine.config().model().sources.get(source) {
        Some(table) if table.plugin != manifest.plugin => Err(Error::new(
            ErrorKind::InvalidConfig,
            format!(
                "the backup was made by plugin {}, and the source is now one of {}",
                manifest.plugin, table.plugin
            ),
        )
        .on(format!("source {source}"))),
        Some(_) => Ok(()),
        None => Err(engine
            .unknown(crate::config::Section::Sources, source)
            .hint("a backup is verified by the plugin of its source: the configuration has to have one of this name")),
    }
}
