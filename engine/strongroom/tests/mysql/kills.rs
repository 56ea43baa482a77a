//! Server, dump program and engine killed at random moments: never a backup that is none, and the next one is fine.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use strongroom_repository::testing::Restic;

use crate::common::mysql::{Family, Server};
use crate::failures::dumps;
use crate::{backups, fill, place};

const ROUNDS: u32 = 12;

fn kill_dump(server: &Server) {
    for process in dumps(server) {
        // It may have ended meanwhile.
        let _ = Command::new("kill").args(["-KILL", &process]).status();
    }
}

#[test]
fn a_kill_at_any_moment_leaves_no_half_of_a_backup() {
    let family = Family::mariadb();
    let mut shop = family.start();
    let other = family.start();
    fill(&shop, "shop");
    shop.sql(
        "CREATE TABLE shop.much (id INT PRIMARY KEY AUTO_INCREMENT, t LONGTEXT) ENGINE=InnoDB; \
         INSERT INTO shop.much (t) VALUES (REPEAT(MD5(1), 30000))",
    );
    for _ in 0..6 {
        shop.sql("INSERT INTO shop.much (t) SELECT REPEAT(MD5(RAND()), 30000) FROM shop.much");
    }
    let place = place(&shop, "", Some(&other));
    let started = Instant::now();
    place.ok(&["backup"]);
    let whole = started.elapsed();
    let mut count = backups(&place);
    let mut failed = 0;
    for round in 0..ROUNDS {
        let kind = if round % 2 == 0 {
            "--full"
        } else {
            "--incremental"
        };
        shop.sql("INSERT INTO shop.much (t) VALUES (REPEAT(MD5(RAND()), 30000))");
        let mut backup = place
            .command(&["backup", kind])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(whole.mul_f64(f64::from(round + 1) / f64::from(ROUNDS + 1)));
        match round % 3 {
            0 => shop.kill(),
            1 => kill_dump(&shop),
            _ => backup.kill().expect("killed"),
        }
        let success = backup.wait().expect("ended").success();
        if round % 3 == 0 {
            shop.begin();
        }
        let now = backups(&place);
        if success {
            assert_eq!(now, count + 1, "round {round}");
        } else {
            // An engine that was killed may have been done already.
            assert!(now == count || round % 3 == 2, "round {round}");
            failed += 1;
        }
        place.ok(&["backup"]);
        count = backups(&place);
        assert_eq!(count, now + 1, "round {round}");
    }
    assert!(failed >= ROUNDS / 3, "only {failed} rounds failed");
    assert_eq!(
        left_behind(&shop, Duration::from_secs(10)),
        Vec::<String>::new()
    );

    place.ok(&["check", "--read-data"]);
    for restic in Restic::installed() {
        restic.run(&place.path("nas"), "correct horse", &["check"]);
    }
    place.ok(&["restore", "latest", "--to", "other"]);
    assert_eq!(other.content("shop"), shop.content("shop"));
}

/// Dump programs that outlive the engine.
fn left_behind(server: &Server, patience: Duration) -> Vec<String> {
    let started = Instant::now();
    loop {
        let found = dumps(server);
        if found.is_empty() || started.elapsed() > patience {
            return found;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
