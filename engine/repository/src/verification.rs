//! Proving a backup: what a source is asked, and what it answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::source::Attributes;

/// Where a backup is proven. Made for it, and removed afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scratch {
    /// A host directory, empty at first.
    pub directory: PathBuf,
    /// Free on 127.0.0.1.
    pub port: u16,
}

/// A question that the restored data has to answer with true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// Where to ask; none where there is only one place.
    pub database: Option<String>,
    /// A query of one row with one column.
    pub sql: String,
}

/// What is to be proven, where.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// Where.
    pub scratch: Scratch,
    /// What the restored data has to answer.
    pub assertions: Vec<Assertion>,
    /// The share of files to restore where the backup is one of files.
    pub percent: f64,
}

/// What came of one thing that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is as it should be.
    Passed,
    /// It is not.
    Failed,
    /// It could not be looked at.
    Skipped,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What came of it.
    pub verdict: Verdict,
    /// What was looked at.
    pub subject: String,
    /// What was found, or why nothing was.
    pub detail: String,
}

/// What came of proving a backup.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// What was looked at.
    pub findings: Vec<Finding>,
    /// Details for people.
    pub attributes: Attributes,
}

impl Verification {
    /// Something passed and nothing failed: to have looked at nothing proves nothing.
    pub fn is_proof(&self) -> bool {
        let any = |verdict| self.findings.iter().any(|it| it.verdict == verdict);
        any(Verdict::Passed) && !any(Verdict::Failed)
    }
}

/// What came of restoring a sample of files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sampled {
    /// Files that were restored.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that the backup holds.
    pub of_files: u64,
    /// Paths that did not come out as the backup has them, and why.
    pub different: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_looked_at_is_proven() {
        let check = |verdicts: &[Verdict], expected| {
            let finding = |&verdict| Finding {
                verdict,
                subject: String::new(),
                detail: String::new(),
            };
            let verification = Verification {
                findings: verdicts.iter().map(finding).collect(),
                attributes: Vec::new(),
            };
            assert_eq!(verification.is_proof(), expected, "{verdicts:?}");
        };
        check(&[], false);
        check(&[Verdict::Skipped], false);
        check(&[Verdict::Skipped, Verdict::Passed], true);
        check(&[Verdict::Passed, Verdict::Failed], false);
    }
}
