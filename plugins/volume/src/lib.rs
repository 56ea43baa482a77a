//! A directory tree of the host as a source. The engine walks, reads and writes it; this plugin says which one, and by which rules.

use std::{fs, io};

use schemars::JsonSchema;
use serde::Deserialize;
use strongroom_plugin::{
    Attributes, BackupKind, Capability, Context, Error, ErrorKind, Extraction, Feed, Finding,
    HostPath, Info, Needs, OnConflict, Outcome, RestoreRequest, Result, Sampled, Scratch, Sink,
    Source, Tree, Verification, VerifyRequest, progress,
};

/// The directory to back up, and what to leave out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The directory to back up; an absolute path.
    path: HostPath,
    /// What to leave out: patterns as in a .gitignore file, relative to `path`.
    #[serde(default)]
    exclude: Vec<String>,
    /// Leave out a directory that holds a file with one of these names.
    #[serde(default)]
    exclude_if_present: Vec<String>,
    /// Leave out the content of directories that are marked as caches by a CACHEDIR.TAG file.
    #[serde(default)]
    exclude_caches: bool,
    /// Leave out what other file systems are mounted below `path`.
    #[serde(default)]
    one_file_system: bool,
    /// Allow a restore into `path` itself. Without it the plugin asks for read access only.
    #[serde(default)]
    writable: bool,
}

/// How to restore into the directory itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RestoreOptions {
    /// What to do with a file that exists already.
    #[serde(default)]
    conflict: OnConflict,
    /// Remove what the backup does not hold.
    #[serde(default)]
    delete_extra: bool,
}

struct Volume {
    config: Config,
}

impl Source for Volume {
    const INFO: Info = Info {
        name: "volume",
        version: env!("CARGO_PKG_VERSION"),
        summary: "backs up a directory with all its metadata",
        features: &["incremental", "restore", "verify"],
    };
    type Config = Config;
    type RestoreOptions = RestoreOptions;

    fn requirements(config: &Config) -> Result<Vec<Capability>> {
        let path = config.path.to_string();
        Ok(vec![if config.writable {
            Capability::Write(path)
        } else {
            Capability::Read(path)
        }])
    }

    fn open(config: Config) -> Result<Self> {
        Ok(Self { config })
    }

    fn check(&mut self) -> Result<Attributes> {
        let path = &self.config.path;
        let mut entries: u64 = 0;
        for entry in fs::read_dir(path).map_err(unopened).on(path)? {
            entry.on(path)?;
            entries += 1;
        }
        Ok(vec![
            ("path".into(), path.to_string()),
            ("top-level entries".into(), entries.to_string()),
        ])
    }

    fn backup(&mut self, _: BackupKind, sink: &Sink) -> Result<Outcome> {
        let path = &self.config.path;
        progress::step(path.as_str());
        sink.tree(
            "",
            &Tree {
                root: path.to_string(),
                exclude: self.config.exclude.clone(),
                exclude_if_present: self.config.exclude_if_present.clone(),
                exclude_caches: self.config.exclude_caches,
                one_file_system: self.config.one_file_system,
            },
        )?;
        // The engine compares each file with the parent's by itself; whether there was a parent is all there is to say.
        Ok(Outcome {
            kind: match sink.parent() {
                Some(_) => BackupKind::Incremental,
                None => BackupKind::Full,
            },
            attributes: vec![("path".into(), path.to_string())],
        })
    }

    fn restore(
        &mut self,
        request: RestoreRequest<RestoreOptions>,
        feed: &Feed,
    ) -> Result<Attributes> {
        let path = &self.config.path;
        if !self.config.writable {
            return Err(Error::new(
                ErrorKind::Denied,
                format!("{path} is configured for reading only"),
            )
            .hint(
                "set writable = true in the source's config, or restore into another directory",
            ));
        }
        if request.until.is_some() {
            let problem = "a volume can only be restored as it was at a backup";
            return Err(Error::new(ErrorKind::Unsupported, problem));
        }
        progress::step(path.as_str());
        // The feed holds no more than the request's paths.
        let extraction = Extraction {
            target: path.to_string(),
            on_conflict: request.options.conflict.into(),
            delete_extra: request.options.delete_extra,
        };
        feed.extract("", &extraction)?;
        Ok(vec![("path".into(), path.to_string())])
    }

    fn verify_needs(_: &Config, _: &Attributes, scratch: &Scratch) -> Result<Needs> {
        Ok(Needs::of(scratch))
    }

    fn verify(&mut self, request: VerifyRequest, feed: &Feed) -> Result<Verification> {
        if let Some(assertion) = request.assertions.first() {
            let problem = format!("a volume cannot be asked '{}'", assertion.sql);
            return Err(Error::new(ErrorKind::InvalidConfig, problem)
                .hint("name the source that each of the assertions is of"));
        }
        let sampled = feed.sample(&request.scratch.directory, request.percent)?;
        Ok(Verification {
            findings: findings(&sampled),
            attributes: Vec::new(),
        })
    }
}

/// A directory that may be written and is missing was not even handed to us, of which the system's words are none for people.
fn unopened(error: io::Error) -> Error {
    let error = match error.raw_os_error() {
        None => Error::new(ErrorKind::NotFound, "there is no such directory"),
        Some(_) => error.into(),
    };
    match error.kind() {
        ErrorKind::NotFound => error.hint("correct the path, or mount what belongs there"),
        _ => error,
    }
}

/// What is different one by one, the rest together.
fn findings(sampled: &Sampled) -> Vec<Finding> {
    let different = sampled.different.iter();
    let different = different.map(|(path, problem)| Finding::failed(path, problem));
    let same = sampled.files.saturating_sub(sampled.different.len() as u64);
    let detail = format!(
        "{same} of {} files restored and read back as they were",
        sampled.of_files
    );
    let same = match (same, sampled.files) {
        // All that there was to be restored were none.
        (0, 1..) => None,
        _ => Some(Finding::passed("sample", detail)),
    };
    same.into_iter().chain(different).collect()
}

strongroom_plugin::export_source!(Volume);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &str, expected: Capability) {
        let config = serde_json::from_str(config).expect("a good configuration");
        let required = Volume::requirements(&config).expect("it can be had");
        assert_eq!(format!("{required:?}"), format!("{:?}", [expected]));
    }

    #[test]
    fn writing_is_asked_for_only_where_the_operator_wants_to_restore_in_place() {
        check(r#"{"path":"/srv"}"#, Capability::Read("/srv".into()));
        check(
            r#"{"path":"/srv/","writable":true}"#,
            Capability::Write("/srv".into()),
        );
    }

    #[test]
    fn what_is_different_is_told_one_by_one() {
        let check = |files, different: &[&str], expected: &[&str]| {
            let sampled = Sampled {
                files,
                bytes: 0,
                of_files: 60,
                different: different
                    .iter()
                    .map(|&path| (path.into(), "its size".into()))
                    .collect(),
            };
            let findings = findings(&sampled);
            let found = findings
                .iter()
                .map(|it| format!("{:?} {}", it.verdict, it.subject));
            assert_eq!(found.collect::<Vec<_>>(), expected);
        };
        check(3, &[], &["Verdict::Passed sample"]);
        check(0, &[], &["Verdict::Passed sample"]);
        let both = ["Verdict::Passed sample", "Verdict::Failed a"];
        check(3, &["a"], &both);
        check(1, &["a"], &["Verdict::Failed a"]);
    }

    #[test]
    fn nothing_is_left_out_unless_the_operator_says_so() {
        let exclude_caches = |config| {
            serde_json::from_str::<Config>(config)
                .expect("a good configuration")
                .exclude_caches
        };
        assert!(!exclude_caches(r#"{"path":"/srv"}"#));
        assert!(exclude_caches(r#"{"path":"/srv","exclude_caches":true}"#));
    }
}
