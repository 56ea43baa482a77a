//! The command line: arguments in, one of the commands out.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands;

/// Encrypted, deduplicated backups that the stock restic can read, through sandboxed plugins.
#[derive(Debug, Parser)]
#[command(name = "strongroom", version, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// How to talk, and by which configuration.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The configuration file [default: $STRONGROOM_CONFIG, ./strongroom.toml, /etc/strongroom/strongroom.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print results as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but results, warnings and errors
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print what plugins and engine log
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// Print without colours, as NO_COLOR does
    #[arg(long, global = true)]
    pub no_color: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create the repositories that are missing, and show each recovery key once
    Init(commands::init::InitArgs),
    /// Back up now: all jobs, or those that are named
    Backup(commands::backup::BackupArgs),
    /// List the backups
    List(commands::list::ListArgs),
    /// Show one backup, or the files that it holds
    Show(commands::show::ShowArgs),
    /// List a directory of a backup
    Ls(commands::ls::LsArgs),
    /// Print one file of a backup
    Cat(commands::cat::CatArgs),
    /// Find files in all backups by a pattern
    Find(commands::find::FindArgs),
    /// Show what is different between two backups
    Diff(commands::diff::DiffArgs),
    /// Restore a backup into a directory or another source
    Restore(commands::restore::RestoreArgs),
    /// Write a backup as ordinary files: a database as its dumps, a volume as .tar
    Download(commands::download::DownloadArgs),
    /// See that a backup is good: bring it to life on a scratch server, or restore a sample of its files
    Verify(commands::verify::VerifyArgs),
    /// Verify repositories
    Check(commands::check::CheckArgs),
    /// Remove the backups that the retention of their job no longer keeps
    Forget(commands::forget::ForgetArgs),
    /// Give back the space that no backup needs
    Prune(commands::prune::PruneArgs),
    /// Make a damaged repository whole again, as far as its bytes are there
    #[command(subcommand)]
    Repair(commands::repair::RepairCommand),
    /// Bring one destination up to another: copy the backups that it lacks
    Copy(commands::copy::CopyArgs),
    /// Remove the locks of programs that are gone
    Unlock(commands::unlock::UnlockArgs),
    /// Manage the passwords of a repository
    #[command(subcommand)]
    Key(commands::key::KeyCommand),
    /// Look at a source: what would be backed up, and what is missing for it
    #[command(subcommand)]
    Source(commands::source::SourceCommand),
    /// See which plugins there are, and what each requires where it is used
    #[command(subcommand)]
    Plugin(commands::plugin::PluginCommand),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(commands::config::ConfigCommand),
}
