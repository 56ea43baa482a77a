//! What a soak is asked for: the words of the command line in, options out.

use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};

/// So many operations make a soak that counts.
const ENOUGH: u64 = 1000;

/// How long, with which numbers, and what stays.
#[derive(Debug, PartialEq)]
pub(super) struct Options {
    /// It ends then, however much was done.
    minutes: Option<f64>,
    operations: Option<u64>,
    pub(super) seed: u64,
    pub(super) keep: bool,
}

impl Options {
    pub(super) fn parse(arguments: &[String]) -> Result<Self> {
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut options = Self {
            minutes: None,
            operations: None,
            seed: clock.map_or(1, |time| time.as_secs() % 1_000_000),
            keep: false,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| Error::new(format!("{argument} wants a value")))
            };
            match argument.as_str() {
                "--minutes" => options.minutes = Some(number(argument, value()?)?),
                "--operations" => options.operations = Some(number(argument, value()?)?),
                "--seed" => options.seed = number(argument, value()?)?,
                "--keep" => options.keep = true,
                other => {
                    return Err(Error::new(format!("no option `{other}`"))
                        .hint("options are --minutes, --operations, --seed, --keep"));
                }
            }
        }
        let is_time = |minutes: &f64| *minutes > 0.0 && *minutes < 1e6;
        if !options.minutes.as_ref().is_none_or(is_time) {
            return Err(Error::new("--minutes wants a number above zero"));
        }
        if options.operations == Some(0) {
            return Err(Error::new("--operations wants a number above zero"));
        }
        Ok(options)
    }

    /// Whether it goes on after so many operations and so long. Without a time it goes on until enough is done.
    pub(super) fn goes_on(&self, operations: u64, elapsed: Duration) -> bool {
        let most = match self.minutes {
            Some(_) => self.operations.unwrap_or(u64::MAX),
            None => self.wanted(),
        };
        let is_over = self
            .minutes
            .is_some_and(|minutes| elapsed.as_secs_f64() >= minutes * 60.0);
        operations < most && !is_over
    }

    /// What to tell who takes so many operations for enough.
    pub(super) fn shortfall(&self, operations: u64) -> Option<String> {
        let wanted = self.wanted();
        (operations < wanted).then(|| {
            format!(
                "The time was over before {wanted} operations were done: this proves less than a whole soak. \
                 Without --minutes it goes on until they are."
            )
        })
    }

    fn wanted(&self) -> u64 {
        self.operations.unwrap_or(ENOUGH)
    }
}

fn number<T: std::str::FromStr>(option: &str, value: &str) -> Result<T> {
    value
        .parse()
        .map_err(|_| Error::new(format!("{option} wants a number, not `{value}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words)
    }

    #[test]
    fn options_are_read_and_wrong_ones_are_named() {
        let options = parse("--minutes 0.5 --operations 7 --seed 3 --keep").unwrap();
        let expected = Options {
            minutes: Some(0.5),
            operations: Some(7),
            seed: 3,
            keep: true,
        };
        assert_eq!(options, expected);
        for (line, message) in [
            ("--minutes", "--minutes wants a value"),
            ("--minutes NaN", "--minutes wants a number above zero"),
            ("--minutes 0", "--minutes wants a number above zero"),
            ("--operations 0", "--operations wants a number above zero"),
            ("--seed x", "--seed wants a number, not `x`"),
            ("--hours 1", "no option `--hours`"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert_eq!(error.lines().next(), Some(message));
        }
    }

    #[test]
    fn it_ends_with_its_time_or_when_enough_is_done() {
        let check = |line, operations, minutes: u64, goes_on, is_short| {
            let options = parse(line).unwrap();
            let elapsed = Duration::from_secs(minutes * 60);
            let found = (
                options.goes_on(operations, elapsed),
                options.shortfall(operations).is_some(),
            );
            assert_eq!(
                found,
                (goes_on, is_short),
                "{line}: {operations}, {minutes}"
            );
        };
        check("", 999, 10_000, true, true);
        check("", 1000, 1, false, false);
        check("--minutes 5", 999, 4, true, true);
        check("--minutes 5", 999, 5, false, true);
        check("--minutes 5", 5000, 4, true, false);
        check("--operations 7", 6, 10_000, true, true);
        check("--operations 7", 7, 0, false, false);
        check("--operations 7 --minutes 5", 7, 4, false, false);
        check("--operations 7 --minutes 5", 6, 5, false, true);
    }
}
