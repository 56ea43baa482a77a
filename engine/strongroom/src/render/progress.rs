//! Progress of a run on the terminal: a bar with rate and remaining time, plain lines where there is no terminal, events for programs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use strongroom_repository::Progress;

use super::narrow::NarrowTerm;
use super::screen::Screen;
use super::text::{clean, truncate};
use super::{size, time};

/// Shows the progress of a run until it is dropped.
pub struct Display {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// For people.
    People,
    /// Events as JSON lines, for `backup --json`.
    Events,
}

/// One moment of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    event: &'static str,
    step: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    item: String,
    bytes: u64,
    bytes_expected: u64,
    items: u64,
    items_expected: u64,
    stored_bytes: u64,
    bytes_per_second: u64,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_seconds: Option<u64>,
}

const REDRAW: Duration = Duration::from_millis(100);
const EVENT_EVERY: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_secs(30);

impl Display {
    /// Begins to show `progress`.
    pub fn begin(screen: &Arc<Screen>, progress: &Arc<Progress>, shown: Shown) -> Self {
        let every = match shown {
            Shown::Events if screen.is_json() => EVENT_EVERY,
            Shown::Events | Shown::People if screen.draws() => REDRAW,
            _ if screen.tells_progress() => LINE_EVERY,
            _ => {
                return Self {
                    stop: None,
                    thread: None,
                };
            }
        };
        let (stop, stopped) = mpsc::channel();
        let screen = Arc::clone(screen);
        let progress = Arc::clone(progress);
        progress.watch();
        let draw = move || show(&screen, &progress, every, &stopped);
        Self {
            stop: Some(stop),
            // Nothing is drawn where the system has no thread for it.
            thread: std::thread::Builder::new().spawn(draw).ok(),
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only draws: whatever became of it is no reason to fail.
            let _ = thread.join();
        }
    }
}

fn show(screen: &Arc<Screen>, progress: &Progress, every: Duration, stopped: &mpsc::Receiver<()>) {
    let started = Instant::now();
    let mut rate = Rate::default();
    rate.update(progress.bytes.load(Relaxed), Duration::ZERO);
    let bar = (every == REDRAW).then(bar);
    if let Some(bar) = &bar {
        screen.set_bar(Some(bar.clone()));
    }
    while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
        let moment = moment(progress, started.elapsed(), &mut rate);
        match &bar {
            Some(bar) => draw(bar, &moment),
            None if screen.is_json() => {
                // A reader who has gone will be noticed with the result.
                let _ = screen.json_line(&moment);
            }
            None => screen.note(&line(&moment)),
        }
    }
    if let Some(bar) = &bar {
        screen.set_bar(None);
        bar.finish_and_clear();
    }
}

fn bar() -> ProgressBar {
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(NarrowTerm::stderr()), 20);
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(spinner_style());
    bar
}

fn spinner_style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
}

fn bar_style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {bar:24.cyan/dim} {percent:>3} %  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
        .progress_chars("━━─")
}

fn draw(bar: &ProgressBar, moment: &Moment) {
    match moment.bytes_expected {
        0 if bar.length().is_some() => {
            bar.unset_length();
            bar.set_style(spinner_style());
        }
        0 => {}
        expected if bar.length() != Some(expected) => {
            bar.set_length(expected);
            bar.set_style(bar_style());
        }
        _ => {}
    }
    bar.set_position(moment.bytes);
    // Spinner, bar and percentage come before the message.
    let before = if moment.bytes_expected > 0 { 36 } else { 2 };
    let room = usize::from(NarrowTerm::columns()).saturating_sub(before);
    bar.set_message(truncate(&figures(moment), room).into_owned());
    bar.tick();
}

/// `12.3 MiB of 1.20 GiB · 85.0 MiB/s · 14 s left · 1,234 files · reading media`.
fn figures(moment: &Moment) -> String {
    let mut parts = Vec::new();
    if moment.bytes > 0 || moment.bytes_expected > 0 {
        parts.push(match moment.bytes_expected {
            0 => size::bytes(moment.bytes),
            expected => format!("{} of {}", size::bytes(moment.bytes), size::bytes(expected)),
        });
    }
    if moment.bytes_per_second > 0 {
        parts.push(size::rate(moment.bytes_per_second as f64));
    }
    if let Some(seconds) = moment.remaining_seconds {
        parts.push(format!(
            "{} left",
            time::duration(Duration::from_secs(seconds.max(10)))
        ));
    }
    if moment.items > 0 {
        parts.push(match moment.items_expected {
            0 => size::count(moment.items),
            expected => format!("{} of {}", size::count(moment.items), size::count(expected)),
        });
    }
    if !moment.step.is_empty() {
        parts.push(clean(&moment.step).into_owned());
    }
    if !moment.item.is_empty() {
        parts.push(clean(&moment.item).into_owned());
    }
    parts.join(" · ")
}

fn line(moment: &Moment) -> String {
    format!(
        "{:>5} s  {}",
        moment.seconds.round() as u64,
        figures(moment)
    )
}

fn moment(progress: &Progress, elapsed: Duration, rate: &mut Rate) -> Moment {
    // The item first: with a step comes a new one.
    let (item, step) = (progress.current_item(), progress.current_step());
    let (bytes, items) = progress.done_in_part();
    // What is expected is often what it was the last time: where there is more, nobody knows how much.
    let at_least = |expected: u64, done: u64| if expected < done { 0 } else { expected };
    let bytes_expected = at_least(progress.bytes_expected.load(Relaxed), bytes);
    let per_second = rate.update(progress.bytes.load(Relaxed), elapsed);
    let left = bytes_expected.saturating_sub(bytes);
    let remaining_seconds = (left > 0 && per_second >= 1.0 && elapsed >= Duration::from_secs(2))
        .then(|| (left as f64 / per_second).ceil() as u64);
    let (step, item) = match progress.is_cancelled() {
        true => ("cancelling…".into(), String::new()),
        false => (step, item),
    };
    Moment {
        event: "progress",
        step,
        item,
        bytes,
        bytes_expected,
        items,
        items_expected: at_least(progress.items_expected.load(Relaxed), items),
        stored_bytes: progress.stored_bytes.load(Relaxed),
        bytes_per_second: per_second as u64,
        seconds: (elapsed.as_secs_f64() * 10.0).round() / 10.0,
        remaining_seconds,
    }
}

/// Bytes a second, over the last few seconds.
#[derive(Debug, Default)]
struct Rate {
    /// How many bytes there were when, oldest first. The last moment before the first byte is the beginning.
    window: VecDeque<(Duration, u64)>,
}

/// Long enough for a figure that can be read, short enough to follow what happens.
const WINDOW: Duration = Duration::from_secs(5);

impl Rate {
    fn update(&mut self, bytes: u64, elapsed: Duration) -> f64 {
        // As long as nothing moves, no time has been spent on it.
        if bytes == 0 {
            self.window.clear();
        }
        // One that is as old as the window is its beginning.
        let is_old = |(moment, _): &(Duration, u64)| elapsed.saturating_sub(*moment) >= WINDOW;
        while self.window.get(1).is_some_and(is_old) {
            self.window.pop_front();
        }
        self.window.push_back((elapsed, bytes));
        let Some((since, before)) = self.window.front() else {
            return 0.0;
        };
        let seconds = elapsed.saturating_sub(*since).as_secs_f64();
        match seconds > 0.0 {
            true => bytes.saturating_sub(*before) as f64 / seconds,
            false => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds_and_the_time_left_follows_the_rate() {
        let progress = Progress::default();
        progress.expect(Some(10_000), None);
        let mut rate = Rate::default();
        // Opening repositories takes as long as it takes.
        for seconds in 0..60 {
            moment(&progress, Duration::from_secs(seconds), &mut rate);
        }
        progress.advance(1_000, 1);
        let first = moment(&progress, Duration::from_secs(60), &mut rate);
        assert_eq!(
            (first.bytes_per_second, first.remaining_seconds),
            (1_000, Some(9))
        );
        progress.advance(500, 1);
        let slower = moment(&progress, Duration::from_secs(61), &mut rate);
        assert_eq!(slower.bytes_per_second, 750);
        for seconds in 62..70 {
            moment(&progress, Duration::from_secs(seconds), &mut rate);
        }
        let stalled = moment(&progress, Duration::from_secs(70), &mut rate);
        assert_eq!(
            (stalled.bytes_per_second, stalled.remaining_seconds),
            (0, None)
        );
    }

    #[test]
    fn each_part_is_a_share_of_its_own() {
        let progress = Progress::default();
        progress.advance(1_000, 10);
        progress.begin_part();
        progress.expect(Some(100), Some(4));
        progress.advance(25, 1);
        let moment = moment(&progress, Duration::from_secs(1), &mut Rate::default());
        assert_eq!((moment.bytes, moment.bytes_expected), (25, 100));
        assert_eq!((moment.items, moment.items_expected), (1, 4));
    }

    #[test]
    fn more_than_was_expected_is_no_share_of_it() {
        let progress = Progress::default();
        progress.expect(Some(100), Some(1));
        progress.advance(101, 1);
        let moment = moment(&progress, Duration::from_secs(3), &mut Rate::default());
        assert_eq!((moment.bytes_expected, moment.items_expected), (0, 1));
        assert_eq!(figures(&moment), "101 B · 1 of 1");
    }

    #[test]
    fn the_file_in_hand_is_shown_until_the_next_step() {
        let progress = Progress::default();
        progress.step("backing up media");
        progress.item("a\u{1b}[2J.jpg");
        let shown = |progress: &Progress| {
            figures(&moment(
                progress,
                Duration::from_secs(1),
                &mut Rate::default(),
            ))
        };
        assert_eq!(shown(&progress), "backing up media · a\\u{1b}[2J.jpg");
        progress.step("writing the index");
        assert_eq!(shown(&progress), "writing the index");
    }

    #[test]
    fn figures_that_are_not_known_are_left_out() {
        let progress = Progress::default();
        progress.step("opening\u{7} nas");
        let moment = moment(&progress, Duration::from_secs(1), &mut Rate::default());
        assert_eq!(figures(&moment), "opening\\u{7} nas");
    }
}
