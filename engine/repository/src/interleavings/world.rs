//! One store and several machines with clocks of their own, in virtual time. A seed decides who takes the next step, and what goes wrong at it:
//! each call of a destination is a step, and nobody else moves meanwhile.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;

use crate::destination::{Body, Destination, ObjectMetadata, PutOptions};
use crate::file::FileType;
use crate::id::Id;
use crate::identity::Identity;
use crate::machine::{Machine, Process, Ticking};
use crate::time::Time;
use crate::{Error, ErrorKind, Result};

/// A generator whose numbers follow from its seed (splitmix64).
#[derive(Debug, Clone)]
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True once in `times`.
    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

thread_local! {
    static RANDOM: RefCell<Option<Chance>> = const { RefCell::new(None) };
}

/// What this thread encrypts with follows from a seed from now on.
pub(super) fn seed_random(seed: u64) {
    RANDOM.with_borrow_mut(|random| *random = Some(Chance(seed)));
}

/// Fills `bytes` where this thread was given a seed.
pub(crate) fn random(bytes: &mut [u8]) -> bool {
    RANDOM.with_borrow_mut(|random| {
        let Some(chance) = random else {
            return false;
        };
        for piece in bytes.chunks_mut(8) {
            let number = chance.next().to_le_bytes();
            piece.copy_from_slice(&number[..piece.len()]);
        }
        true
    })
}

/// How often things go wrong: once in so many steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faults {
    pub(super) stall: u64,
    pub(super) kill: u64,
    pub(super) error: u64,
}

pub(super) struct World {
    state: Mutex<State>,
    turned: Condvar,
}

struct State {
    chance: Chance,
    /// Since the world began.
    time: Duration,
    store: BTreeMap<String, Object>,
    /// Puts that were given up by their callers and are still on their way.
    late: Vec<(Duration, String, Bytes)>,
    parties: Vec<Party>,
    /// Whose step it is.
    turn: Option<usize>,
    faults: Option<Faults>,
    log: Vec<String>,
}

#[derive(Clone)]
struct Object {
    content: Bytes,
    modified: Duration,
}

struct Party {
    name: &'static str,
    /// Not before then.
    wakes: Duration,
    /// Wants to take a step.
    is_waiting: bool,
    is_done: bool,
    is_killed: bool,
    /// Its machine's clocks stood still for so long.
    paused: Duration,
    /// Whether it has slept for half an hour, and has not looked at its lock since.
    has_overslept: bool,
    stalls_at_most: Duration,
}

/// When a world begins, by the clocks that are right.
const BEGIN: i64 = 1_790_000_000;

impl World {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                chance: Chance(seed),
                time: Duration::ZERO,
                store: BTreeMap::new(),
                late: Vec::new(),
                parties: Vec::new(),
                turn: None,
                faults: None,
                log: Vec::new(),
            }),
            turned: Condvar::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on things go wrong.
    pub(super) fn set_faults(&self, faults: Option<Faults>) {
        self.state().faults = faults;
    }

    /// What happened, a line each.
    pub(super) fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    pub(super) fn note(&self, line: String) {
        let mut state = self.state();
        let time = state.time.as_secs_f64();
        state.log.push(format!("{time:9.1} {line}"));
    }

    pub(super) fn pass(&self, time: Duration) {
        let mut state = self.state();
        state.time += time;
        state.land();
    }

    /// One more who takes steps. His clock is wrong by `skew` seconds.
    pub(super) fn join(
        self: &Arc<Self>,
        name: &'static str,
        host: Host,
        stalls_at_most: Duration,
    ) -> Arc<Station> {
        let mut state = self.state();
        state.parties.push(Party {
            name,
            wakes: Duration::ZERO,
            is_waiting: false,
            is_done: false,
            is_killed: false,
            paused: Duration::ZERO,
            has_overslept: false,
            stalls_at_most,
        });
        Arc::new(Station {
            world: Arc::clone(self),
            number: state.parties.len() - 1,
            host,
            ticking: Mutex::default(),
            is_ticking: Mutex::new(false),
        })
    }

    /// Lets everybody who joined take steps until all are done. Each must have called [`Station::begin`] in its thread, or will.
    pub(super) fn run(&self) {
        let mut state = self.state();
        loop {
            if state.parties.iter().all(|party| party.is_done) {
                return;
            }
            let is_settled = state.turn.is_none()
                && state
                    .parties
                    .iter()
                    .all(|party| party.is_waiting || party.is_done);
            if !is_settled {
                state = self
                    .turned
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.choose();
            self.turned.notify_all();
        }
    }
}

impl State {
    /// Whose step comes next. Time goes on until there is somebody.
    fn choose(&mut self) {
        let waiting: Vec<usize> = (0..self.parties.len())
            .filter(|number| self.parties[*number].is_waiting)
            .collect();
        let Some(first) = waiting
            .iter()
            .map(|number| self.parties[*number].wakes)
            .min()
        else {
            return;
        };
        let step = Duration::from_millis(self.chance.below(3000));
        self.time = self.time.max(first) + step;
        self.land();
        let awake: Vec<usize> = waiting
            .into_iter()
            .filter(|number| self.parties[*number].wakes <= self.time)
            .collect();
        let next = *self.chance.pick(&awake);
        self.parties[next].is_waiting = false;
        self.turn = Some(next);
    }

    fn land(&mut self) {
        let (landing, late): (Vec<_>, Vec<_>) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|(due, ..)| *due <= self.time);
        self.late = late;
        for (due, key, content) in landing {
            self.log
                .push(format!("{:9.1} late: {key}", due.as_secs_f64()));
            self.store.insert(
                key,
                Object {
                    content,
                    modified: due,
                },
            );
        }
    }
}

/// Which machine, and what it is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Host {
    /// Its name, which another one may have too.
    pub(super) name: &'static str,
    /// The space of its process numbers.
    pub(super) space: u64,
    /// Whether programs there note that space: restic does not.
    pub(super) notes_space: bool,
    /// By how many seconds its clock is wrong.
    pub(super) skew: i64,
}

/// A program on a machine: its view of the store and of time.
pub(super) struct Station {
    world: Arc<World>,
    number: usize,
    host: Host,
    ticking: Mutex<Vec<Weak<dyn Ticking>>>,
    is_ticking: Mutex<bool>,
}

enum Fate {
    Passes,
    FailsBefore,
    FailsAfter,
    LandsLate,
}

impl Station {
    /// Waits for the next turn. What the step means is up to the caller.
    fn wait(&self) {
        let world = &self.world;
        let mut state = world.state();
        if state.faults.is_none() {
            return;
        }
        if state.turn == Some(self.number) {
            state.turn = None;
        }
        state.parties[self.number].is_waiting = true;
        world.turned.notify_all();
        while state.turn != Some(self.number) {
            state = world
                .turned
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// To be called first by the thread that is this program.
    pub(super) fn begin(&self) {
        self.wait();
    }

    /// To be called last.
    pub(super) fn end(&self) {
        let mut state = self.world.state();
        state.turn = None;
        state.parties[self.number].is_done = true;
        self.world.turned.notify_all();
    }

    pub(super) fn is_killed(&self) -> bool {
        self.world.state().parties[self.number].is_killed
    }

    pub(super) fn note(&self, line: &str) {
        let name = self.world.state().parties[self.number].name;
        self.world.note(format!("{name}: {line}"));
    }

    fn tick(&self) {
        {
            let mut is_ticking = self
                .is_ticking
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if std::mem::replace(&mut *is_ticking, true) {
                return;
            }
        }
        let ticking: Vec<_> = {
            let mut ticking = self.ticking.lock().unwrap_or_else(PoisonError::into_inner);
            ticking.retain(|it| it.strong_count() > 0);
            ticking.iter().filter_map(Weak::upgrade).collect()
        };
        for it in ticking {
            it.tick();
        }
        *self
            .is_ticking
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// One call: something may go wrong at it.
    fn call<T>(
        &self,
        what: &str,
        key: &str,
        put: Option<&Body>,
        work: impl FnOnce(&mut State) -> Result<T>,
    ) -> Result<T> {
        self.tick();
        self.wait();
        let may_stall_long = !(what == "delete" && key.starts_with("data/"));
        let fate = self.fate(what, key, may_stall_long)?;
        let timed_out = || {
            Err(Error::new(
                ErrorKind::TimedOut,
                format!("no answer: {what} {key}"),
            ))
        };
        match fate {
            Fate::FailsBefore => return timed_out(),
            Fate::LandsLate => {
                if let Some(body) = put {
                    let mut state = self.world.state();
                    let due = state.time + Duration::from_secs(state.chance.below(90));
                    let content = Bytes::copy_from_slice(body.bytes());
                    state.late.push((due, key.to_owned(), content));
                    drop(state);
                    self.sleep(Duration::from_secs(60));
                }
                return timed_out();
            }
            Fate::Passes | Fate::FailsAfter => {}
        }
        let result = {
            let mut state = self.world.state();
            let (time, name) = (state.time, state.parties[self.number].name);
            let shown = key.get(..key.len().min(22)).unwrap_or(key);
            let result = work(&mut state);
            let how = if result.is_ok() { "" } else { " FAILED" };
            state.log.push(format!(
                "{:9.1} {name}: {what} {shown}{how}",
                time.as_secs_f64()
            ));
            if what == "stat" && key.starts_with("locks/") {
                state.parties[self.number].has_overslept = false;
            }
            result
        };
        // An answer may be long on its way, too.
        self.fate("answer", key, true)?;
        match fate {
            Fate::FailsAfter => timed_out(),
            _ => result,
        }
    }

    /// What goes wrong now. Waits where it takes time, and fails where this program was killed.
    fn fate(&self, what: &str, key: &str, may_stall_long: bool) -> Result<Fate> {
        let mut state = self.world.state();
        let killed = || Err(Error::new(ErrorKind::Failed, "killed"));
        let Some(faults) = state.faults else {
            return Ok(Fate::Passes);
        };
        if state.parties[self.number].is_killed {
            return killed();
        }
        if state.chance.once_in(faults.kill) && !state.parties[self.number].has_overslept {
            let party = &mut state.parties[self.number];
            party.is_killed = true;
            let line = format!("{}: KILLED at {what} {key}", party.name);
            let time = state.time.as_secs_f64();
            state.log.push(format!("{time:9.1} {line}"));
            return killed();
        }
        if state.chance.once_in(faults.stall) {
            let is_paused = state.chance.once_in(2);
            let seconds = match state.chance.below(3) {
                0 => 1 + state.chance.below(600),
                _ => 1800 + state.chance.below(1200),
            };
            let most = match may_stall_long {
                true => state.parties[self.number].stalls_at_most,
                false => Duration::from_secs(60),
            };
            let stall = Duration::from_secs(seconds).min(most);
            let time = state.time;
            let party = &mut state.parties[self.number];
            party.has_overslept |= stall > Duration::from_secs(1500);
            if is_paused {
                party.paused += stall;
            }
            party.wakes = time + stall;
            let line = format!("{}: STALLS {stall:?} at {what} {key}", party.name);
            state.log.push(format!("{:9.1} {line}", time.as_secs_f64()));
            drop(state);
            self.wait();
            return Ok(Fate::Passes);
        }
        if what != "answer" && state.chance.once_in(faults.error) {
            return Ok(match state.chance.below(3) {
                0 => Fate::FailsBefore,
                1 => Fate::FailsAfter,
                _ => Fate::LandsLate,
            });
        }
        Ok(Fate::Passes)
    }

    /// By its own clocks.
    fn own_time(&self) -> Duration {
        let state = self.world.state();
        state.time.saturating_sub(state.parties[self.number].paused)
    }

    pub(super) fn put(&self, file_type: FileType, body: &Body) -> Result<Id> {
        let options = PutOptions {
            create_only: false,
            content: file_type.content(),
        };
        Destination::put(self, &file_type.key(&body.sha256()), body, options)?;
        Ok(body.sha256())
    }
}

impl Machine for Station {
    fn now(&self) -> Time {
        let own = i64::try_from(self.own_time().as_nanos()).unwrap_or(i64::MAX);
        Time::from_nanoseconds((BEGIN + self.host.skew) * 1_000_000_000 + own)
    }

    fn uptime(&self) -> Duration {
        self.own_time()
    }

    fn sleep(&self, duration: Duration) {
        {
            let mut state = self.world.state();
            let time = state.time;
            state.parties[self.number].wakes = time + duration;
        }
        self.wait();
    }

    fn identity(&self) -> Identity {
        Identity {
            hostname: self.host.name.to_owned(),
            username: "ann".into(),
            uid: 0,
            gid: 0,
        }
    }

    fn process(&self) -> Process {
        Process {
            pid: self.number as i64,
            space: self.host.notes_space.then(|| self.host.space.to_string()),
            started: None,
        }
    }

    fn lives(&self, process: &Process) -> Option<bool> {
        if process.space != Some(self.host.space.to_string()) {
            return None;
        }
        let state = self.world.state();
        let party = state.parties.get(usize::try_from(process.pid).ok()?)?;
        Some(!party.is_killed && !party.is_done)
    }

    fn calls(&self, ticking: Weak<dyn Ticking>) -> bool {
        self.ticking
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(ticking);
        true
    }
}

impl Destination for Station {
    fn name(&self) -> &str {
        "nas"
    }

    fn parallelism(&self) -> usize {
        1
    }

    fn put(&self, key: &str, body: &Body, options: PutOptions) -> Result<()> {
        self.call("put", key, Some(body), |state| {
            if options.create_only && state.store.contains_key(key) {
                return Err(Error::new(ErrorKind::AlreadyExists, "is there"));
            }
            let content = Bytes::copy_from_slice(body.bytes());
            let modified = state.time;
            state
                .store
                .insert(key.to_owned(), Object { content, modified });
            Ok(())
        })
    }

    fn get(&self, key: &str, offset: u64, length: Option<u64>) -> Result<Bytes> {
        self.call("get", key, None, |state| {
            let object = state.store.get(key);
            let object =
                object.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no {key}")))?;
            let size = object.content.len() as u64;
            let end = length.map_or(size, |length| offset + length);
            match end <= size {
                true => Ok(object.content.slice(offset as usize..end as usize)),
                false => Err(Error::corrupted("too short")),
            }
        })
    }

    fn stat(&self, key: &str) -> Result<Option<ObjectMetadata>> {
        self.call("stat", key, None, |state| {
            Ok(state.store.get(key).map(|object| described(key, object)))
        })
    }

    /// Some keys are read now and the others a moment later.
    fn list(&self, prefix: &str) -> Result<Vec<ObjectMetadata>> {
        let salt = self.world.state().chance.next();
        let is_first = move |key: &str| {
            let hash = key.bytes().fold(salt, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            hash & 0x80 == 0
        };
        let half = |first: bool| {
            move |state: &mut State| {
                let found = state.store.iter();
                let found =
                    found.filter(|(key, _)| key.starts_with(prefix) && is_first(key) == first);
                Ok(found
                    .map(|(key, object)| described(key, object))
                    .collect::<Vec<_>>())
            }
        };
        let mut listed = self.call("list", prefix, None, half(true))?;
        // One call, in which nothing else happens to this program.
        self.wait();
        listed.extend(half(false)(&mut self.world.state())?);
        Ok(listed)
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.call("delete", key, None, |state| {
            state.store.remove(key);
            Ok(())
        })
    }
}

fn described(key: &str, object: &Object) -> ObjectMetadata {
    let modified = i64::try_from(object.modified.as_nanos()).unwrap_or(i64::MAX);
    ObjectMetadata {
        key: key.to_owned(),
        size: object.content.len() as u64,
        // The store has a clock of its own, too.
        modified: Some(BEGIN * 1_000_000_000 / 2 + modified),
    }
}
