//! A dump under another name: what was dumped of one database comes in, the same for another one goes out.
//!
//! Dumps name their database in two places, both at the begin of a line: `ALTER DATABASE` around what was made while it had another character set, and
//! triggers that were made with its name.

use std::io::{BufRead, BufReader, Read, Write};

use strongroom_plugin::{Error, ErrorKind, Result};

use crate::binlog::changed;
use crate::name::identifier;

/// What is looked at of a line. Lines of rows are longer by far.
const HEAD_BYTES: u64 = 4096;

const BUFFER_BYTES: usize = 256 * 1024;

/// Copies the dump of `old`, to be loaded into `new`.
pub(crate) fn copy(from: impl Read, to: &mut impl Write, old: &str, new: &str) -> Result<()> {
    let mut from = BufReader::with_capacity(BUFFER_BYTES, from);
    let prefix = |name: &str| format!("ALTER DATABASE {} ", identifier(name)).into_bytes();
    let (named, renamed) = (prefix(old), prefix(new));
    let mut head = Vec::new();
    loop {
        head.clear();
        let mut line = Read::take(&mut from, HEAD_BYTES);
        if line.read_until(b'\n', &mut head)? == 0 {
            return Ok(());
        }
        if is_trigger_of(&head, old, new) {
            let problem = format!("the dump has a trigger that was made with the name {old}");
            return Err(Error::new(ErrorKind::Unsupported, problem)
                .hint("restore under the old name, on another server if need be"));
        }
        match head.strip_prefix(named.as_slice()) {
            Some(rest) => {
                to.write_all(&renamed)?;
                to.write_all(rest)?;
            }
            None => to.write_all(&head)?,
        }
        if !head.ends_with(b"\n") {
            copy_line(&mut from, to)?;
        }
    }
}

/// Copies up to the end of the line.
fn copy_line(from: &mut impl BufRead, to: &mut impl Write) -> Result<()> {
    loop {
        let part = from.fill_buf()?;
        let end = part.iter().position(|&byte| byte == b'\n');
        let count = end.map_or(part.len(), |end| end + 1);
        to.write_all(part.get(..count).unwrap_or_default())?;
        from.consume(count);
        if end.is_some() || count == 0 {
            return Ok(());
        }
    }
}

/// Whether the line makes a trigger in `old`, if `new` is the current database.
fn is_trigger_of(line: &[u8], old: &str, new: &str) -> bool {
    if !line.starts_with(b"/*!50003 CREATE") && !line.starts_with(b"CREATE ") {
        return false;
    }
    let sql = String::from_utf8_lossy(line);
    let mut words = sql.split_whitespace();
    words.any(|word| word.eq_ignore_ascii_case("trigger"))
        && changed(&sql, new).is_some_and(|change| change.databases.contains(old))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(dump: &str) -> Result<String> {
        let mut out = Vec::new();
        copy(dump.as_bytes(), &mut out, "shop", "shop_2")?;
        Ok(String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn a_dump_changes_the_database_that_it_is_loaded_into() {
        let long = format!("INSERT INTO `a` VALUES ('{}');\n", "x".repeat(1_000_000));
        let rest = "/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 TRIGGER `tr` BEFORE INSERT ON `a` FOR EACH ROW SET @a = 'shop'";
        let dump = |name: &str| {
            format!(
                "{long}ALTER DATABASE `{name}` CHARACTER SET latin1 ;\n{long} ALTER DATABASE `shop` no\n{rest}"
            )
        };
        assert!(renamed(&dump("shop")).is_ok_and(|found| found == dump("shop_2")));
        assert_eq!(renamed(""), Ok(String::new()));
    }

    #[test]
    fn a_trigger_that_names_the_database_is_not_made_in_it() {
        let trigger = |name: &str| {
            format!(
                "DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 trigger {name} before insert on a for each row set @a = 1\n"
            )
        };
        let error = renamed(&trigger("shop.tr")).expect_err("it names it");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(renamed(&trigger("tr")).is_ok());
    }
}
