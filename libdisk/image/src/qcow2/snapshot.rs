//! Internal snapshots: other states of the disk, each with an L1 table of its own.

use std::path::Path;

use block::{Disk, Error, ErrorKind, Result};
use zerocopy::FromBytes;

use super::header::Header;
use super::{LAYER, ondisk};
use crate::raw;

/// QEMU makes no more of them, and no longer table.
const MAX_SNAPSHOTS: u32 = 65_536;
const MAX_TABLE: u64 = 64 << 20;
/// The most of an entry that can be of use: its fixed part, QEMU's limit of what extends it, and two texts.
const MAX_ENTRY: u64 = 40 + 1024 + 2 * 65_536;
/// So many are named for people.
const NAMED: usize = 8;

/// An internal snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What tells it from all others of its image: "1".
    pub id: String,
    /// What its maker called it.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub created: u32,
    /// Size of its disk in bytes, which may differ from that of the active state.
    pub size: u64,
    pub(super) l1_table_offset: u64,
    pub(super) l1_size: u32,
}

/// The internal snapshots of an image, in the order of its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshots(Vec<Snapshot>);

impl Snapshots {
    /// Those of the image `path`.
    ///
    /// # Errors
    /// `Corrupt`, `Unsupported`, `Io`.
    pub fn of(path: &Path) -> Result<Self> {
        let read = || {
            let file = raw::open_bytes(path)?;
            Self::read(&file, &Header::read(&file)?)
        };
        read().map_err(|error| error.in_file(path))
    }

    pub(super) fn read(file: &Disk, header: &Header) -> Result<Self> {
        let count = header.snapshots;
        if count > MAX_SNAPSHOTS {
            return Err(Error::corrupt(LAYER, format!("{count} internal snapshots")));
        }
        let mut snapshots = Vec::new();
        let mut at = header.snapshots_offset;
        for _ in 0..count {
            let (snapshot, len) = entry(file, header, at)?;
            snapshots.push(snapshot);
            at = at.saturating_add(len);
            if at.saturating_sub(header.snapshots_offset) > MAX_TABLE {
                return Err(Error::corrupt(LAYER, "the table of internal snapshots is too long").at(at));
            }
        }
        Ok(Self(snapshots))
    }

    /// All of them.
    pub fn as_slice(&self) -> &[Snapshot] {
        &self.0
    }

    /// The snapshot with this ID or, if none has it, this name, as QEMU looks for it.
    ///
    /// # Errors
    /// `OutOfRange` if there is none; `Refused` if several are called so.
    pub fn find(&self, text: &str) -> Result<&Snapshot> {
        if let Some(found) = self.0.iter().find(|snapshot| snapshot.id == text) {
            return Ok(found);
        }
        let mut called = self.0.iter().filter(|snapshot| snapshot.name == text);
        match (called.next(), called.next()) {
            (Some(found), None) => Ok(found),
            (None, _) => {
                let there = if self.0.is_empty() { "none".to_owned() } else { self.text() };
                let what = format!("there is no internal snapshot {text:?}; there are: {there}");
                Err(Error::new(ErrorKind::OutOfRange, LAYER, what))
            }
            (Some(_), Some(_)) => {
                let what = format!(
                    "several internal snapshots are called {text:?}, each with an ID of its own: {}",
                    self.text()
                );
                Err(Error::new(ErrorKind::Refused, LAYER, what))
            }
        }
    }

    /// What names a snapshot alone, and can be typed: its name, or its ID where that does not do.
    pub fn handle<'a>(&self, snapshot: &'a Snapshot) -> &'a str {
        let Snapshot { id, name, .. } = snapshot;
        let alone = self.find(name).is_ok_and(|found| found == snapshot);
        let is_plain =
            !name.is_empty() && !name.contains(['/', '#', '@']) && !name.contains(char::is_control);
        if alone && is_plain { name } else { id }
    }

    /// For people: `1 "before", 2 "after"`.
    pub fn text(&self) -> String {
        let named = self.0.iter().take(NAMED).map(|snapshot| format!("{} {:?}", snapshot.id, snapshot.name));
        let mut text = named.collect::<Vec<_>>().join(", ");
        let more = self.0.len().saturating_sub(NAMED);
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
        text
    }
}

/// The entry of the table at `at`, and its length in bytes.
fn entry(file: &Disk, header: &Header, at: u64) -> Result<(Snapshot, u64)> {
    let corrupt = |what: &'static str| Error::corrupt(LAYER, what).at(at);
    let cut = || corrupt("the table of internal snapshots is cut short");
    let len = file.size().checked_sub(at).ok_or_else(cut)?.min(MAX_ENTRY);
    let bytes = file.read_vec(at, usize::try_from(len).unwrap_or(0))?;
    let (raw, rest) = ondisk::Snapshot::read_from_prefix(&bytes).map_err(|_| cut())?;
    let extra_len = usize::try_from(raw.extra_len.get()).unwrap_or(usize::MAX);
    let (extra, rest) = rest.split_at_checked(extra_len).ok_or_else(cut)?;
    let (id, rest) = rest.split_at_checked(usize::from(raw.id_len.get())).ok_or_else(cut)?;
    let (name, _) = rest.split_at_checked(usize::from(raw.name_len.get())).ok_or_else(cut)?;
    // Version 2 need not say the size: it is that of the image, as it was then not changed.
    let size = match ondisk::SnapshotExtra::read_from_prefix(extra) {
        Ok((extra, _)) => extra.disk_size.get(),
        Err(_) if header.version < 3 => header.size,
        Err(_) => return Err(corrupt("an internal snapshot does not tell the size of its disk")),
    };
    let snapshot = Snapshot {
        id: String::from_utf8_lossy(id).into_owned(),
        name: String::from_utf8_lossy(name).into_owned(),
        created: raw.seconds.get(),
        size,
        l1_table_offset: raw.l1_table_offset.get(),
        l1_size: raw.l1_size.get(),
    };
    let len = [extra, id, name].iter().fold(40_u64, |sum, part| sum.saturating_add(crate::len64(part)));
    Ok((snapshot, len.next_multiple_of(8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(named: &[(&str, &str)]) -> Snapshots {
        let one = |(id, name): &(&str, &str)| Snapshot {
            id: (*id).to_owned(),
            name: (*name).to_owned(),
            created: 0,
            size: 0,
            l1_table_offset: 0,
            l1_size: 0,
        };
        Snapshots(named.iter().map(one).collect())
    }

    #[test]
    fn ids_come_first_and_no_name_is_guessed() {
        let all = of(&[("1", "a"), ("2", "1"), ("3", "twice"), ("4", "twice"), ("5", "a/b"), ("6", "")]);
        let id =
            |text: &str| all.find(text).map(|snapshot| snapshot.id.clone()).map_err(|error| error.kind());
        assert_eq!(id("a"), Ok("1".into()));
        assert_eq!(id("1"), Ok("1".into()));
        assert_eq!(id("twice"), Err(ErrorKind::Refused));
        assert_eq!(id("b"), Err(ErrorKind::OutOfRange));
        let handles: Vec<_> = all.as_slice().iter().map(|snapshot| all.handle(snapshot)).collect();
        assert_eq!(handles, ["a", "2", "3", "4", "5", "6"]);
        assert!(handles.iter().zip(all.as_slice()).all(|(handle, of)| all.find(handle).unwrap() == of));
        assert_eq!(of(&[("1", "a\n")]).text(), r#"1 "a\n""#);
        let many: Vec<_> = (0..10).map(|_| ("1", "x")).collect();
        assert!(of(&many).text().ends_with(r#"1 "x" and 2 more"#));
    }
}
