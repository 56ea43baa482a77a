//! How fast bytes pass through the sandbox. Not a test of speed: run with `--ignored --nocapture` to see the figures.

use std::sync::Arc;
use std::time::Instant;

use strongroom_repository::destination::{Body, Content, PutOptions};

use crate::common::{DESTINATION, SOURCE, destination, host, limits};

const ROUNDS: u32 = 20;

#[test]
#[ignore = "prints figures; nothing can fail"]
fn figures() {
    let folder = tempfile::tempdir_in("/dev/shm").expect("folder");
    let nas = destination(limits(), folder.path(), 1, Arc::default());
    let body = Body::of(vec![7; 16 << 20]);
    let options = PutOptions {
        create_only: false,
        content: Content::Data,
    };
    let measure = |what: &str, each: &dyn Fn()| {
        each();
        let begun = Instant::now();
        (0..ROUNDS).for_each(|_| each());
        eprintln!("{what}: {:?}", begun.elapsed() / ROUNDS);
    };
    for key in ["splice/a", "copy/a"] {
        measure(&format!("put of 16 MiB, {key}"), &|| {
            nas.put(key, &body, options).expect("put");
        });
    }
    measure("get of 16 MiB", &|| {
        nas.get("copy/a", 0, Some(16 << 20)).expect("get");
    });
    measure("stat", &|| drop(nas.stat("copy/a").expect("stat")));
    let plain = folder.path().join("plain");
    measure("the same write without a sandbox", &|| {
        std::fs::write(&plain, body.bytes()).expect("write");
    });
    measure("the same read without a sandbox", &|| {
        std::fs::read(&plain).expect("read");
    });
    let host = host(limits());
    for (name, component) in [("source", &SOURCE), ("destination", &DESTINATION)] {
        measure(&format!("load and describe {name}"), &|| {
            host.load(name, component).expect("load");
        });
    }
}
