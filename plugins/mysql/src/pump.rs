//! Two programs in a row, the first of which is fed by us: parts come in, and what the first one makes of them goes to the second one.

use strongroom_plugin::command::{Command, Process};
use strongroom_plugin::{Error, ErrorKind, Result, progress};
use wasip2::io::poll::poll;
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// How much moves from one program to the other at once.
const SPLICE_BYTES: u64 = 1024 * 1024;

/// Runs `first | second`. `next` appends to what `first` reads, and says false at the end. Both must succeed.
pub(crate) fn pump(
    first: Command,
    second: Command,
    next: impl FnMut(&mut Vec<u8>) -> Result<bool>,
) -> Result<()> {
    let mut second = second.spawn()?;
    let mut first = first.spawn()?;
    match move_all(&mut first, &mut second, next) {
        Ok(()) => {
            second.success()?;
            first.success()
        }
        Err(Failure::Ours(error)) => Err(error),
        // A program knows better than its streams what went wrong. The last one first: if that failed, the other has but lost its reader.
        Err(Failure::Stream(error)) => {
            second.success()?;
            first.success()?;
            Err(error)
        }
    }
}

/// Why moving came to an end.
enum Failure {
    Ours(Error),
    Stream(Error),
}

fn move_all(
    first: &mut Process,
    second: &mut Process,
    mut next: impl FnMut(&mut Vec<u8>) -> Result<bool>,
) -> Result<(), Failure> {
    let taken = || Failure::Ours(Error::new(ErrorKind::Failed, "a program has no streams"));
    let mut feed = Some(first.stdin().ok_or_else(taken)?.into_inner());
    let from = first.stdout().ok_or_else(taken)?.into_inner();
    let to = second.stdin().ok_or_else(taken)?.into_inner();
    let (mut part, mut sent, mut is_all) = (Vec::new(), 0, false);
    loop {
        progress::check_cancelled().map_err(Failure::Ours)?;
        if sent == part.len() {
            part.clear();
            sent = 0;
            while part.is_empty() && !is_all {
                is_all = !next(&mut part).map_err(Failure::Ours)?;
            }
            if part.is_empty() {
                // Its end of input.
                feed = None;
            }
        }
        match wait(feed.as_ref(), &from) {
            Ready::ToFeed => {
                if let Some(feed) = &feed {
                    sent += write(feed, part.get(sent..).unwrap_or_default())?;
                }
            }
            Ready::ToMove => match to.blocking_splice(&from, SPLICE_BYTES) {
                Ok(_) => {}
                // Either end may have closed. If it is the receiver, it has not got all.
                Err(StreamError::Closed) if to.check_write().is_ok() && feed.is_none() => {
                    return to.blocking_flush().map_err(broken);
                }
                Err(error) => return Err(broken(error)),
            },
        }
    }
}

enum Ready {
    ToFeed,
    ToMove,
}

/// Waits until the first program takes more or has made something. What it has made goes first: until that is taken it may take no more.
fn wait(feed: Option<&OutputStream>, from: &InputStream) -> Ready {
    let made = from.subscribe();
    let Some(feed) = feed else {
        made.block();
        return Ready::ToMove;
    };
    let takes = feed.subscribe();
    poll(&[&made, &takes]);
    match made.ready() {
        true => Ready::ToMove,
        false => Ready::ToFeed,
    }
}

fn write(to: &OutputStream, part: &[u8]) -> Result<usize, Failure> {
    let room = to.check_write().map_err(broken)?;
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let part = part.get(..room).unwrap_or(part);
    if !part.is_empty() {
        to.write(part).map_err(broken)?;
    }
    Ok(part.len())
}

fn broken(error: StreamError) -> Failure {
    let what = match error {
        StreamError::Closed => "a stream between programs was closed".to_owned(),
        StreamError::LastOperationFailed(reason) => {
            format!(
                "a stream between programs broke: {}",
                reason.to_debug_string()
            )
        }
    };
    Failure::Stream(Error::new(ErrorKind::Failed, what))
}
