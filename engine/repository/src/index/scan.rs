//! The JSON of an index object, read as it is written by every program that we know: a fixed order of fields, and no spaces.
//!
//! In: a decrypted object. Out: its blobs in a [`Batch`]. A general parser takes several times as long, which is what the first seconds in a
//! large repository would go into, and wants all of the JSON in memory; it still reads whatever looks otherwise.

use std::io::Read;

use super::Batch;
use crate::blob::{BlobType, PackedBlob};
use crate::id::Id;
use crate::repository::json_reader;

/// How much JSON is looked at at once.
const WINDOW: usize = 1 << 16;
/// Nothing that is read in one piece is longer.
const LONGEST_PIECE: usize = 512;

/// Replaces what `batch` holds by the packs of an index object. `None` where anything is not as expected; `batch` is of no use then.
pub(super) fn read(plain: &[u8], batch: &mut Batch) -> Option<()> {
    batch.clear();
    let mut json = Window::new(json_reader(plain)?);
    json.piece(|text| text.skip(b"{\"packs\":["))?;
    loop {
        batch.begin_pack(json.piece(|text| text.pack())?);
        loop {
            let (blob, goes_on) = json.piece(|text| Some((text.blob()?, text.goes_on()?)))?;
            batch.push(&blob);
            if !goes_on {
                break;
            }
        }
        let goes_on = json.piece(|text| {
            text.skip(b"}")?;
            text.goes_on()
        })?;
        if !goes_on {
            break;
        }
    }
    json.piece(|text| text.skip(b"}"))?;
    json.is_at_end().then_some(())
}

/// A part of the JSON, which moves on as it is read.
struct Window<'a> {
    input: Box<dyn Read + 'a>,
    bytes: Vec<u8>,
    /// What is before was read.
    start: usize,
}

impl<'a> Window<'a> {
    fn new(input: Box<dyn Read + 'a>) -> Self {
        Self {
            input,
            bytes: Vec::with_capacity(WINDOW),
            start: 0,
        }
    }

    /// Reads the next piece; nothing of it is read where it is not as expected.
    fn piece<T>(&mut self, read: impl FnOnce(&mut Scanner<'_>) -> Option<T>) -> Option<T> {
        if self.bytes.len() < self.start + LONGEST_PIECE {
            self.move_on()?;
        }
        let mut scanner = Scanner(self.bytes.get(self.start..)?);
        let value = read(&mut scanner)?;
        self.start = self.bytes.len() - scanner.0.len();
        Some(value)
    }

    fn move_on(&mut self) -> Option<()> {
        self.bytes.drain(..self.start);
        self.start = 0;
        let room = (WINDOW - self.bytes.len()) as u64;
        self.input
            .by_ref()
            .take(room)
            .read_to_end(&mut self.bytes)
            .ok()
            .map(drop)
    }

    fn is_at_end(&mut self) -> bool {
        self.move_on().is_some() && self.bytes.trim_ascii().is_empty()
    }
}

/// What is left to read.
struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// Whether a list has another element.
    fn goes_on(&mut self) -> Option<bool> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        match byte {
            b',' => Some(true),
            b']' => Some(false),
            _ => None,
        }
    }

    /// A pack, up to its first blob.
    fn pack(&mut self) -> Option<Id> {
        self.skip(b"{\"id\":\"")?;
        let id = self.id()?;
        self.skip(b"\",\"blobs\":[")?;
        Some(id)
    }

    fn blob(&mut self) -> Option<PackedBlob> {
        self.skip(b"{\"id\":\"")?;
        let id = self.id()?;
        self.skip(b"\",\"type\":\"")?;
        let blob_type = match self.skip(b"data") {
            Some(()) => BlobType::Data,
            None => self.skip(b"tree").map(|()| BlobType::Tree)?,
        };
        self.skip(b"\",\"offset\":")?;
        let offset = self.number()?;
        self.skip(b",\"length\":")?;
        let length = self.number()?;
        let uncompressed_length = match self.skip(b",\"uncompressed_length\":") {
            Some(()) => Some(self.number()?).filter(|length| *length != 0),
            None => None,
        };
        self.skip(b"}")?;
        Some(PackedBlob {
            id,
            blob_type,
            offset,
            length,
            uncompressed_length,
        })
    }

    fn id(&mut self) -> Option<Id> {
        let (digits, rest) = self.0.split_first_chunk::<64>()?;
        let mut bytes = [0; 32];
        let mut seen = 0;
        for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks().0) {
            let (high, low) = (VALUES[usize::from(*high)], VALUES[usize::from(*low)]);
            seen |= high | low;
            *byte = high << 4 | low;
        }
        self.0 = rest;
        (seen < 16).then(|| Id::from_bytes(bytes))
    }

    fn number(&mut self) -> Option<u32> {
        let count = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(count)?;
        // JSON has no numbers with zeros before them.
        if digits.is_empty() || (count > 1 && digits.starts_with(b"0")) {
            return None;
        }
        self.0 = rest;
        digits.iter().try_fold(0_u32, |number, digit| {
            number.checked_mul(10)?.checked_add(u32::from(digit - b'0'))
        })
    }
}

/// Of a lower-case hex digit, its value; 255 of any other byte.
const VALUES: [u8; 256] = {
    let mut values = [255; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::super::{IndexFile, IndexPack, Pack};
    use super::*;

    /// An index object with two blobs in each pack.
    fn json(packs: u32) -> String {
        let blob = |n: u32, blob_type, uncompressed_length| PackedBlob {
            id: Id::of(&n.to_le_bytes()),
            blob_type,
            offset: n,
            length: u32::MAX - n,
            uncompressed_length,
        };
        let pack = |n: u32| {
            let blobs = [
                blob(2 * n, BlobType::Data, None),
                blob(2 * n + 1, BlobType::Tree, Some(n + 1)),
            ];
            IndexPack::new(Id::of(format!("pack {n}").as_bytes()), &blobs)
        };
        let file = IndexFile {
            packs: (0..packs).map(pack).collect(),
            ..IndexFile::default()
        };
        serde_json::to_string(&file).expect("is written")
    }

    fn parsed(json: &str) -> serde_json::Result<Batch> {
        let mut batch = Batch::default();
        batch.replace(serde_json::from_str(json)?);
        Ok(batch)
    }

    fn contents(batch: &Batch) -> (&[Pack], Vec<(u32, PackedBlob)>) {
        let blobs = batch.slots.iter().map(|slot| (slot.pack >> 1, slot.blob()));
        (&batch.packs, blobs.collect())
    }

    #[test]
    fn what_is_written_is_scanned_and_says_the_same_as_to_a_general_parser() {
        // Long enough for the window to move on in the middle of everything.
        let json = json(3000);
        let mut batch = Batch::default();
        read(json.as_bytes(), &mut batch).expect("as expected");
        assert_eq!(contents(&batch), contents(&parsed(&json).expect("JSON")));
        assert_eq!(batch.packs.len(), 3000);
    }

    #[test]
    fn what_looks_otherwise_is_left_to_the_general_parser() {
        let json = json(1);
        for (from, to, is_valid) in [
            ("{\"packs\"", "{\"supersedes\":[],\"packs\"", true),
            ("{\"packs\"", "{\"future\":{\"packs\":[]},\"packs\"", true),
            (",", " ,\n", true),
            ("\"offset\":1,", "\"offset\":1,\"more\":1,", true),
            (
                "\"type\":\"tree\",\"offset\":1,",
                "\"offset\":1,\"type\":\"tree\",",
                true,
            ),
            ("\"offset\":1", "\"offset\":01", false),
            ("\"offset\":1", "\"offset\":4294967296", false),
            ("\"offset\":1", "\"offset\":-1", false),
            ("\"tree\"", "\"wood\"", false),
            ("\"blobs\":[{", "\"blobs\":[,{", false),
            ("]}]}", "]}]", false),
            ("]}]}", "]}]}}", false),
        ] {
            let other = json.replacen(from, to, 1);
            assert_ne!(other, json, "{from}");
            assert!(
                read(other.as_bytes(), &mut Batch::default()).is_none(),
                "{to}"
            );
            assert_eq!(parsed(&other).is_ok(), is_valid, "{to}");
        }
    }

    #[test]
    fn an_id_of_other_digits_is_refused() {
        let json = json(1);
        let id = Id::of(b"pack 0").to_string();
        for wrong in [
            id.to_uppercase(),
            id.replacen(['0', '1', '2'], "g", 1),
            format!("{id}0"),
        ] {
            assert_ne!(wrong, id);
            let json = json.replace(&id, &wrong);
            assert!(
                read(json.as_bytes(), &mut Batch::default()).is_none(),
                "{wrong}"
            );
            assert!(parsed(&json).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_damaged_compression_is_left_to_who_names_it() {
        let mut plain = vec![2];
        plain.extend(zstd::encode_all(json(3000).as_bytes(), 3).expect("compressed"));
        let mut batch = Batch::default();
        read(&plain, &mut batch).expect("as expected");
        plain.truncate(plain.len() / 2);
        assert!(read(&plain, &mut batch).is_none());
    }
}
