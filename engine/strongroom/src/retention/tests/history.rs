//! Made-up histories: a seed in, the backups of ten years out, in the order in which they were made.

use jiff::Timestamp;
use strongroom_repository::testing::noise;

use super::Candidate;

/// What befalls the backups.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    /// At most so many a day.
    pub(super) a_day: u64,
    /// One in so many is incomplete.
    pub(super) incomplete: u64,
    /// Once in so many days the machine is off, for up to 50 days.
    pub(super) gap: u64,
    /// Once in so many days the clock goes wrong, by up to 40 days either way, and is put right after a while.
    pub(super) jump: Option<u64>,
}

/// Numbers that look random, the same on every machine.
struct Dice(std::vec::IntoIter<u8>);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(noise(1 << 20, seed).into_iter())
    }

    /// From 0 to `below`, which it is not.
    fn roll(&mut self, below: u64) -> u64 {
        let bytes = std::array::from_fn(|_| self.0.next().expect("enough of them"));
        u64::from_le_bytes(bytes) % below
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }
}

const DAY: i64 = 86_400;

/// The backups of ten years from 2026 on.
pub(super) fn ten_years(seed: u64, fate: Fate) -> Vec<Candidate> {
    let mut dice = Dice::new(seed);
    let mut backups: Vec<Candidate> = Vec::new();
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let (mut day, mut wrong_by, mut wrong_until) = (0, 0, 0);
    while day < 3_653 {
        if dice.once_in(fate.gap) {
            day += dice.roll(50) as i64;
        }
        if day >= wrong_until {
            wrong_by = 0;
        }
        if fate.jump.is_some_and(|jump| dice.once_in(jump)) {
            wrong_by = (dice.roll(80) as i64 - 40) * DAY;
            wrong_until = day + dice.roll(30) as i64;
        }
        let mut seconds: Vec<u64> = (0..=dice.roll(fate.a_day))
            .map(|_| dice.roll(86_400))
            .collect();
        seconds.sort_unstable();
        for second in seconds {
            let second = start.as_second() + day * DAY + wrong_by + second as i64;
            backups.push(Candidate {
                id: format!("{:05}", backups.len()),
                time: Timestamp::from_second(second).expect("in range"),
                is_complete: !dice.once_in(fate.incomplete),
            });
        }
        day += 1;
    }
    backups
}
