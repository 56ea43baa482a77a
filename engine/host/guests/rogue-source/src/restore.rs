//! What `restore` can be told to do.

use wasip2::io::streams::StreamError;

use crate::exports::strongroom::plugin::source::{Attributes, RestoreRequest};
use crate::strongroom::plugin::feed::{Conflict, Extraction, Feed};
use crate::strongroom::plugin::types::{Error, ErrorKind};
use crate::{Config, failed};

pub(crate) fn restore(
    config: &Config,
    request: &RestoreRequest,
    feed: &Feed,
) -> Result<Attributes, Error> {
    let path = config.text("path");
    match config.text("mode") {
        "read" => {
            let mut content = feed.attributes();
            content.push(("options".into(), request.options.clone()));
            loop {
                let entries = feed.next(2)?;
                if entries.is_empty() {
                    return Ok(content);
                }
                for entry in entries {
                    let text = String::from_utf8_lossy(&read(feed, &entry.path)?).into_owned();
                    content.push((entry.path, text));
                }
            }
        }
        "splice" => {
            let stream = feed.open(path)?.body()?;
            let mut bytes = Vec::new();
            loop {
                match stream.blocking_read(1 << 16) {
                    Ok(piece) => bytes.extend(piece),
                    Err(StreamError::Closed) => break,
                    Err(error) => return Err(failed(error)),
                }
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            return Ok(vec![(path.into(), text)]);
        }
        "extract" => {
            let extraction = Extraction {
                target: path.into(),
                on_conflict: Conflict::KeepExisting,
                delete_extra: true,
            };
            feed.extract("", &extraction)?;
        }
        "lack" => feed.missing("view\u{7} v", "its function is missing"),
        "lack without end" => loop {
            feed.missing("", "");
        },
        // Asks for all entries at once, and answers with how many came each time.
        "greed" => {
            let mut counts = Vec::new();
            loop {
                match feed.next(u32::MAX)?.len() {
                    0 => return Ok(vec![("counts".into(), counts.join(" "))]),
                    count => counts.push(count.to_string()),
                }
            }
        }
        // Opens the same file again and again and keeps every reader; lets go of them and reads it. `COUNT|ERROR|CONTENT`.
        "hoard" => {
            let mut readers = Vec::new();
            let error = loop {
                match feed.open(path) {
                    Ok(reader) => readers.push(reader),
                    Err(error) => break error.message,
                }
            };
            let count = readers.len();
            // A stream is one more name of the same reader.
            let stream = readers.swap_remove(0).body()?;
            let again = feed.open(path).is_ok();
            drop((readers, stream));
            let content = String::from_utf8_lossy(&read(feed, path)?).into_owned();
            return Ok(vec![(
                "hoard".into(),
                format!("{count}|{error}|{again}|{content}"),
            )]);
        }
        "look" => {
            let kind = feed.open(path).err().map(|error| error.kind);
            assert_eq!(kind, Some(ErrorKind::NotFound));
        }
        _ => {}
    }
    Ok(Vec::new())
}

fn read(feed: &Feed, path: &str) -> Result<Vec<u8>, Error> {
    let reader = feed.open(path)?;
    let mut bytes = Vec::new();
    loop {
        let piece = reader.read(3)?;
        if piece.is_empty() {
            return Ok(bytes);
        }
        bytes.extend(piece);
    }
}
