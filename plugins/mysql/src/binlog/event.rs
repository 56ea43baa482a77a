//! Events of the binary log, as far as a backup must understand them: the header of each, and the few that give the log its shape.

/// What every file of the log begins with.
pub(crate) const MAGIC: [u8; 4] = [0xfe, b'b', b'i', b'n'];

/// The length of an event's header.
pub(crate) const HEADER_BYTES: usize = 19;

/// The length of an event's checksum, which comes last.
const CHECKSUM_BYTES: usize = 4;

/// The server made the event up for us: it does not lie in the file.
const ARTIFICIAL: u16 = 0x20;

/// The header of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    /// When it was executed, in seconds since 1970.
    pub(crate) timestamp: u32,
    pub(crate) kind: Kind,
    /// With the header, and with the checksum where there is one.
    pub(crate) length: u32,
    /// Where the event ends in its file, modulo 2³². 0 where nobody says: newer MariaDBs tell it only of the events that begin and end a transaction.
    pub(crate) end: u32,
    flags: u16,
}

/// What an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The file goes on in another one.
    Rotate,
    /// The first event of every file: how the others look.
    Format,
    /// A transaction begins.
    Transaction,
    /// A statement as text.
    Statement,
    /// Sent while there is nothing to send.
    Heartbeat,
    /// MariaDB: which transactions came before this file.
    TransactionsBefore,
    /// What follows is encrypted.
    Encryption,
    /// Which table the rows that follow are of.
    Table,
    /// Rows that were written, changed or removed.
    Rows,
    /// The statement that made the rows, for people.
    Annotation,
    /// What belongs to the log and not to the data, or prepares the statement that follows.
    Aside,
    /// What cannot be replayed by itself, and why.
    Unreplayable(&'static str),
}

impl Event {
    pub(crate) fn parse(header: &[u8; HEADER_BYTES]) -> Self {
        let [
            t0,
            t1,
            t2,
            t3,
            kind,
            _,
            _,
            _,
            _,
            l0,
            l1,
            l2,
            l3,
            e0,
            e1,
            e2,
            e3,
            f0,
            f1,
        ] = *header;
        Self {
            timestamp: u32::from_le_bytes([t0, t1, t2, t3]),
            kind: Kind::of(kind),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            end: u32::from_le_bytes([e0, e1, e2, e3]),
            flags: u16::from_le_bytes([f0, f1]),
        }
    }

    /// Whether it lies in no file.
    pub(crate) fn is_artificial(&self) -> bool {
        let is_repeated = matches!(self.kind, Kind::Rotate | Kind::Format) && self.end == 0;
        self.flags & ARTIFICIAL != 0 || self.kind == Kind::Heartbeat || is_repeated
    }
}

impl Kind {
    fn of(code: u8) -> Self {
        match code {
            2 => Self::Statement,
            4 => Self::Rotate,
            15 => Self::Format,
            27 | 41 => Self::Heartbeat,
            // MySQL: with a GTID, without one, with a tagged one. MariaDB: with its own kind of GTID.
            33 | 34 | 42 | 162 => Self::Transaction,
            163 => Self::TransactionsBefore,
            164 => Self::Encryption,
            19 => Self::Table,
            // MariaDB compresses them by themselves. MySQL writes some of JSON in part.
            23..=25 | 30..=32 | 39 | 166..=171 => Self::Rows,
            29 | 160 => Self::Annotation,
            // The end of a file, a value that the next statement uses, a commit, what only groups of servers use, which files are done with.
            3 | 5 | 13 | 14 | 16 | 28 | 35..=37 | 161 => Self::Aside,
            38 => Self::Unreplayable("a transaction in two steps (XA)"),
            6 | 8..=12 | 17 | 18 => Self::Unreplayable("LOAD DATA as a statement"),
            26 => Self::Unreplayable("a note of the server that it has lost changes"),
            40 => Self::Unreplayable("a compressed transaction (binlog_transaction_compression)"),
            165 => Self::Unreplayable("a compressed statement (log_bin_compress)"),
            _ => Self::Unreplayable("an event of a kind that is not known"),
        }
    }
}

/// What follows each event of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksum {
    None,
    Crc32,
}

impl Checksum {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::None => 0,
            Self::Crc32 => CHECKSUM_BYTES,
        }
    }
}

/// The event with another body between its header and its checksum, or none where that would be too long for one.
pub(super) fn with_body(header: &[u8], body: &[&[u8]], checksum: Checksum) -> Option<Vec<u8>> {
    let mut event = header.get(..HEADER_BYTES)?.to_vec();
    for part in body {
        event.extend_from_slice(part);
    }
    let whole = u32::try_from(event.len() + checksum.bytes()).ok()?;
    event.get_mut(9..13)?.copy_from_slice(&whole.to_le_bytes());
    if checksum == Checksum::Crc32 {
        let sum = crc32fast::hash(&event);
        event.extend(sum.to_le_bytes());
    }
    Some(event)
}

/// The format event of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) checksum: Checksum,
    /// Different for every file that a server ever began: it holds when that was, and by which server.
    pub(crate) identity: u32,
}

impl Format {
    /// Reads the whole event, header and checksum included. None where it is damaged or none that a supported server writes.
    pub(crate) fn parse(event: &[u8]) -> Option<Self> {
        let (content, checksum) = event.split_last_chunk::<CHECKSUM_BYTES>()?;
        let (algorithm, described) = content.split_last()?;
        // The server marks the file that it is writing to, and leaves that mark out of the checksum.
        let mut unmarked = content.to_vec();
        if let Some(flags) = unmarked.get_mut(HEADER_BYTES - 2) {
            *flags &= !1;
        }
        let identity = crc32fast::hash(&unmarked);
        let is_whole = identity == u32::from_le_bytes(*checksum);
        let checksum = match algorithm {
            0 => Checksum::None,
            1 if is_whole => Checksum::Crc32,
            _ => return None,
        };
        (described.len() > HEADER_BYTES).then_some(Self { checksum, identity })
    }
}

/// The file that a rotate event names. Those that the server makes up may have a checksum whatever the file has.
pub(crate) fn rotate_target(event: &[u8]) -> Option<String> {
    let content = match event.split_last_chunk::<CHECKSUM_BYTES>() {
        Some((content, checksum)) if crc32fast::hash(content) == u32::from_le_bytes(*checksum) => {
            content
        }
        _ => event,
    };
    let name = content.get(HEADER_BYTES + 8..)?;
    // It becomes a part of a path.
    let name = str::from_utf8(name).ok()?;
    let is_name = !name.is_empty() && !name.contains(['/', '\\', '\0']) && !name.starts_with('.');
    is_name.then(|| name.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An event as a server writes it, with a checksum or without.
    pub(crate) fn event(kind: u8, timestamp: u32, end: u32, body: &[u8], sums: bool) -> Vec<u8> {
        let length = HEADER_BYTES + body.len() + if sums { CHECKSUM_BYTES } else { 0 };
        let mut event = timestamp.to_le_bytes().to_vec();
        event.push(kind);
        event.extend(1_u32.to_le_bytes());
        event.extend(u32::try_from(length).expect("small").to_le_bytes());
        event.extend(end.to_le_bytes());
        event.extend([0, 0]);
        event.extend(body);
        if sums {
            event.extend(crc32fast::hash(&event).to_le_bytes());
        }
        event
    }

    /// A format event which says whether the others have checksums. It has one itself in any case.
    pub(crate) fn format_event(created: u32, sums: bool) -> Vec<u8> {
        let mut body = vec![4, 0];
        body.resize(52, 0);
        body.extend(created.to_le_bytes());
        body.push(19);
        body.push(u8::from(sums));
        let end = u32::try_from(MAGIC.len() + HEADER_BYTES + body.len() + CHECKSUM_BYTES);
        event(15, created, end.expect("small"), &body, true)
    }

    #[test]
    fn a_header_is_read_and_what_is_made_up_recognised() {
        let bytes = event(162, 77, 400, b"abc", true);
        let header = Event::parse(bytes.first_chunk().expect("long enough"));
        assert_eq!(header.kind, Kind::Transaction);
        assert_eq!((header.timestamp, header.end), (77, 400));
        assert_eq!(header.length as usize, bytes.len());
        assert!(!header.is_artificial());
        let is_artificial = |kind, end| {
            let bytes = event(kind, 0, end, b"", false);
            Event::parse(bytes.first_chunk().expect("long enough")).is_artificial()
        };
        assert!(is_artificial(4, 0), "names the file that follows");
        assert!(!is_artificial(4, 400), "is the last of its file");
        let rows = 23;
        assert!(
            !is_artificial(rows, 0),
            "lies in a transaction of MariaDB 11.8"
        );
    }

    #[test]
    fn a_format_event_tells_of_checksums_and_is_of_its_own_file() {
        for (sums, expected) in [(false, Checksum::None), (true, Checksum::Crc32)] {
            let format = Format::parse(&format_event(1, sums)).expect("a format");
            assert_eq!(format.checksum, expected);
        }
        let identity = |created| Format::parse(&format_event(created, true)).map(|f| f.identity);
        assert_ne!(identity(1), identity(2));
    }

    #[test]
    fn a_file_in_use_is_the_same_file() {
        let mut marked = format_event(1, true);
        marked[HEADER_BYTES - 2] |= 1;
        assert_eq!(
            Format::parse(&marked),
            Format::parse(&format_event(1, true))
        );
    }

    #[test]
    fn a_damaged_format_event_is_none() {
        let good = format_event(1, true);
        for at in HEADER_BYTES..good.len() - CHECKSUM_BYTES {
            let mut bad = good.clone();
            bad[at] ^= 4;
            assert_eq!(Format::parse(&bad), None, "byte {at}");
        }
        assert_eq!(Format::parse(&good[..10]), None);
    }

    #[test]
    fn a_rotate_names_the_next_file_and_no_path() {
        let check = |name: &str, sums, expected| {
            let body = [&4_u64.to_le_bytes(), name.as_bytes()].concat();
            let target = rotate_target(&event(4, 0, 0, &body, sums));
            assert_eq!(target.as_deref(), expected, "{name}");
        };
        check("log.000002", false, Some("log.000002"));
        check("log.000002", true, Some("log.000002"));
        check("../log.000002", true, None);
        check("..", true, None);
        check("", true, None);
    }
}
