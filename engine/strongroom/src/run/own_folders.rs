//! Which folders no backup should hold: the destinations of a job in, the folders of all destinations and of the engine itself out.

use strongroom_repository::backup::OwnFolder;

use crate::config::Section;
use crate::engine::{Engine, PreparedDestination};

/// For a job that writes to `destinations`. The folders of other destinations are among them, for two jobs that back up each other's repositories
/// would double them with every run; one that is a source by itself is backed up all the same.
pub(super) fn own_folders(engine: &Engine, destinations: &[PreparedDestination]) -> Vec<OwnFolder> {
    let mut own = Vec::new();
    for destination in destinations {
        let folders = destination.folders.iter();
        own.extend(folders.map(|path| OwnFolder {
            path: path.clone(),
            what: Some(what(&destination.name)),
            is_written_to: true,
        }));
    }
    for name in engine.config().names(Section::Destinations) {
        if destinations.iter().any(|known| known.name == name) {
            continue;
        }
        own.extend(engine.folders_of(&name).into_iter().map(|path| OwnFolder {
            path,
            what: Some(what(&name)),
            is_written_to: false,
        }));
    }
    // Compiled plugins, and what verifications restore: of use to nobody, and never the same for long.
    let state = engine.config().state_folder();
    own.extend(["plugins", "scratch"].map(|name| OwnFolder {
        path: state.join(name),
        what: None,
        is_written_to: false,
    }));
    own
}

fn what(destination: &str) -> String {
    format!("the repository of destination {destination}")
}
