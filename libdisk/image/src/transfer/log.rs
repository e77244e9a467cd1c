//! The record of a transfer: 40 bytes an entry, appended, each with its own checksum.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | kind: 1 a source, 2 a range, 3 the end, 4 the content, 5 what was put of a range, 6 the base, 7 an edit, 8 what was there before |
//! | 4..8 | source: bytes of a piece; range, what was put, edit: its length in bytes |
//! | 8..16 | source, content: size of the disk; range, what was put, edit: offset; end: size of the file |
//! | 16..32 | source, base: its key; range, content: [`ContentSum`]; end, what was there before: time and number of the file |
//! | 32..36 | `rft2` |
//! | 36..40 | CRC-32C of the bytes before |
//!
//! All numbers are little-endian. The log ends before the first record that is not whole; a torn tail is cut
//! off.

use std::fmt::Debug;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use block::{ContentSum, Error, ErrorKind, Result, check_sidecar, in_the_way, open_sidecar};
use rustix::fs::{OFlags, fcntl_setfl};

use super::LAYER;
use super::key::Key;

const RECORD: usize = 40;
const MAGIC: &[u8; 4] = b"rft2";

/// Where the log of the output `target` is.
pub fn log_path(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".transfer");
    target.with_file_name(name)
}

/// Leaves a log beside `target` that tells no piece of it: all that it says is that an unfinished output
/// there is refloat's.
///
/// # Errors
/// As [`FileLog::open`].
pub(crate) fn mark(target: &Path, mode: u32) -> Result<()> {
    let log = FileLog::open(&log_path(target), mode)?;
    log.clear()?;
    log.append(Record::Source { key: Key::default(), size: 0, piece: 0 }, false)
}

/// Whether the log beside `target` says that an output there was begun, and not that it is whole.
///
/// # Errors
/// `Refused` if the log is no regular file; `Io`.
pub(crate) fn is_unfinished(target: &Path) -> Result<bool> {
    let path = log_path(target);
    if !check_sidecar(&path)? {
        return Ok(false);
    }
    let last =
        read(&path)?.filter(|record| matches!(record, Record::Source { .. } | Record::End { .. })).last();
    let failed = |cause| Error::io(LAYER, "cannot read the log", cause).in_file(&path);
    Ok(match last {
        // What a crash of the machine leaves of a log that was begun.
        None => File::open(&path).and_then(|file| is_torn_start(&file)).map_err(failed)?,
        Some(Record::End { .. }) => target.symlink_metadata().is_err(),
        Some(_) => true,
    })
}

/// An entry of the record of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// From here on the target is to become this disk.
    Source {
        /// What tells it from others.
        key: Key,
        /// Its size in bytes.
        size: u64,
        /// How much is recorded at once, in bytes.
        piece: u32,
    },
    /// A piece is in the target.
    Range {
        /// Byte offset in the disk.
        offset: u64,
        /// Length in bytes.
        len: u32,
        /// The sum of it.
        sum: ContentSum,
    },
    /// A part of a piece was put, and the service has it. Only targets have these that cannot be read as
    /// cheaply as a list of what is in them.
    Put {
        /// Byte offset in the disk.
        offset: u64,
        /// Length in bytes.
        len: u32,
    },
    /// All that the target holds.
    Content {
        /// Size of the disk in bytes.
        size: u64,
        /// The sum of it.
        sum: ContentSum,
    },
    /// The target is whole, and so it looked.
    End {
        /// Bytes of the file.
        size: u64,
        /// When it was changed last, and its number.
        stamp: [u8; 16],
    },
    /// But for the edits, the target holds this.
    Base {
        /// What tells it from others.
        key: Key,
    },
    /// Here the target may hold something else than its base.
    Edit {
        /// Byte offset in the disk.
        offset: u64,
        /// Length in bytes.
        len: u32,
    },
    /// So the target looked before the first edit of this run.
    Before {
        /// As of the end.
        stamp: [u8; 16],
    },
}

/// Why an output cannot be written now: another process is at it.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("another process is writing it")]
pub struct Busy;

/// Where a transfer is recorded: a file beside the output, or in a state folder for a target elsewhere.
/// Whoever holds it is the only one who writes the target.
pub trait TransferLog: Debug + Send + Sync {
    /// All records, up to the first that is not whole.
    ///
    /// # Errors
    /// `Io`.
    fn records(&self) -> Result<Box<dyn Iterator<Item = Record> + Send>>;

    /// Appends a record; called from several threads. With `durable` it and all before it are on the disk
    /// afterwards.
    ///
    /// # Errors
    /// `Io`.
    fn append(&self, record: Record, durable: bool) -> Result<()>;

    /// Puts `records` in the place of all that is there, in one step; `durable` as above.
    ///
    /// # Errors
    /// `Io`.
    fn replace(&self, records: &mut dyn Iterator<Item = Record>, durable: bool) -> Result<()>;

    /// Forgets all.
    ///
    /// # Errors
    /// `Io`.
    fn clear(&self) -> Result<()>;
}

impl Record {
    /// The edits of `ranges`.
    pub fn edits(ranges: &[Range<u64>]) -> impl Iterator<Item = Self> {
        const MOST: u32 = 1 << 31;
        ranges.iter().flat_map(|range| {
            let end = range.end;
            range.clone().step_by(1 << 31).map(move |offset| {
                let len = u32::try_from(end.saturating_sub(offset)).unwrap_or(MOST).min(MOST);
                Self::Edit { offset, len }
            })
        })
    }

    fn encode(self) -> [u8; RECORD] {
        let (kind, len, number, bytes) = match self {
            Self::Source { key, size, piece } => (1u32, piece, size, key),
            Self::Range { offset, len, sum } => (2, len, offset, sum.to_bytes()),
            Self::End { size, stamp } => (3, 0, size, stamp),
            Self::Content { size, sum } => (4, 0, size, sum.to_bytes()),
            Self::Put { offset, len } => (5, len, offset, [0; 16]),
            Self::Base { key } => (6, 0, 0, key),
            Self::Edit { offset, len } => (7, len, offset, [0; 16]),
            Self::Before { stamp } => (8, 0, 0, stamp),
        };
        let parts: [&[u8]; 5] =
            [&kind.to_le_bytes(), &len.to_le_bytes(), &number.to_le_bytes(), &bytes, MAGIC];
        let mut record = parts.concat();
        record.extend(crc32c::crc32c(&record).to_le_bytes());
        record.try_into().unwrap_or([0; RECORD])
    }

    fn decode(bytes: &[u8; RECORD]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        let (kind, rest) = body.split_first_chunk::<4>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (field, magic) = rest.split_first_chunk::<16>()?;
        if magic != MAGIC || crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (number, len, sum) =
            (u64::from_le_bytes(*number), u32::from_le_bytes(*len), ContentSum::from_bytes(*field));
        match u32::from_le_bytes(*kind) {
            1 => Some(Self::Source { key: *field, size: number, piece: len }),
            2 => Some(Self::Range { offset: number, len, sum }),
            3 => Some(Self::End { size: number, stamp: *field }),
            5 => Some(Self::Put { offset: number, len }),
            4 => Some(Self::Content { size: number, sum }),
            6 => Some(Self::Base { key: *field }),
            7 => Some(Self::Edit { offset: number, len }),
            8 => Some(Self::Before { stamp: *field }),
            _ => None,
        }
    }
}

/// A log in a file, locked: two runs cannot write the same target.
#[derive(Debug)]
pub struct FileLog {
    file: File,
    mode: u32,
    path: PathBuf,
}

impl FileLog {
    /// Opens or makes the log at `path`, with mode `mode`, and cuts off a torn tail.
    ///
    /// # Errors
    /// `Refused` because of [`Busy`] if another process writes the same target, or if something else is in
    /// the way; `Io`.
    pub fn open(path: &Path, mode: u32) -> Result<Self> {
        let failed = |cause| Error::io(LAYER, "cannot open the log of the transfer", cause).in_file(path);
        let log = Self::open_file(path, mode)?;
        if log.file.try_lock().is_err() {
            return Err(Error::new(ErrorKind::Refused, LAYER, "the output cannot be taken")
                .because(Busy)
                .in_file(path));
        }
        let whole = log.check_ours()?;
        let len = u64::try_from(whole.saturating_mul(RECORD)).unwrap_or(u64::MAX);
        if log.file.metadata().map_err(failed)?.len() > len {
            tracing::info!(path = %path.display(), "the end of the log is torn");
            log.file.set_len(len).map_err(failed)?;
        }
        Ok(log)
    }

    fn open_file(path: &Path, mode: u32) -> Result<Self> {
        let log = Self { file: open_sidecar(path, mode)?, mode, path: path.to_owned() };
        // Several threads append.
        fcntl_setfl(&log.file, OFlags::APPEND).map_err(|cause| log.failed(cause.into()))?;
        Ok(log)
    }

    /// Refuses a file that is no log; gives the number of whole records.
    fn check_ours(&self) -> Result<usize> {
        let whole = read(&self.path)?.count();
        if whole == 0 && !is_torn_start(&self.file).map_err(|cause| self.failed(cause))? {
            return Err(in_the_way(&self.path, "it is no log of a transfer"));
        }
        Ok(whole)
    }

    fn failed(&self, cause: std::io::Error) -> Error {
        Error::io(LAYER, "cannot write the log of the transfer", cause).in_file(&self.path)
    }

    fn write(&self, records: &[Record]) -> Result<()> {
        let bytes: Vec<u8> = records.iter().flat_map(|record| record.encode()).collect();
        (&self.file).write_all(&bytes).map_err(|cause| self.failed(cause))
    }
}

/// Whether what has no whole record may be a log whose first record was cut off by a crash: nothing, zeros
/// that a file system left, or the start of a record of a source. Anything else is somebody's file, and is
/// left alone.
fn is_torn_start(file: &File) -> std::io::Result<bool> {
    let mut start = [0; RECORD];
    let len = file.read_at(&mut start, 0)?;
    let start = start.get(..len).unwrap_or_default();
    let zeros = start.iter().all(|byte| *byte == 0);
    Ok(zeros || start.iter().zip(1u32.to_le_bytes()).all(|(found, wanted)| *found == wanted))
}

/// The records of the log at `path`, up to the first that is not whole, with a position of their own.
pub(super) fn read(path: &Path) -> Result<impl Iterator<Item = Record> + Send + use<>> {
    let file = File::open(path);
    let file = file.map_err(|cause| Error::io(LAYER, "cannot read the log", cause).in_file(path))?;
    let mut reader = BufReader::with_capacity(RECORD.saturating_mul(4096), file);
    Ok(std::iter::from_fn(move || {
        let mut record = [0; RECORD];
        reader.read_exact(&mut record).ok()?;
        Record::decode(&record)
    }))
}

impl TransferLog for FileLog {
    fn records(&self) -> Result<Box<dyn Iterator<Item = Record> + Send>> {
        Ok(Box::new(read(&self.path)?))
    }

    fn append(&self, record: Record, durable: bool) -> Result<()> {
        self.write(&[record])?;
        if durable { self.file.sync_data().map_err(|cause| self.failed(cause)) } else { Ok(()) }
    }

    fn replace(&self, mut records: &mut dyn Iterator<Item = Record>, durable: bool) -> Result<()> {
        let path = self.path.with_extension("transfer-new");
        let new = Self::open_file(&path, self.mode)?;
        new.check_ours()?;
        new.clear()?;
        loop {
            let batch: Vec<_> = (&mut records).take(4096).collect();
            if batch.is_empty() {
                break;
            }
            new.write(&batch)?;
        }
        if durable {
            new.file.sync_data().map_err(|cause| self.failed(cause))?;
        }
        std::fs::rename(&new.path, &self.path).map_err(|cause| self.failed(cause))
    }

    fn clear(&self) -> Result<()> {
        self.file.set_len(0).map_err(|cause| self.failed(cause))
    }
}

impl Drop for FileLog {
    /// Said, and not left to the end of the file: a program that another thread just starts has the file open
    /// too, until it is a program of its own.
    fn drop(&mut self) {
        if let Err(cause) = self.file.unlock() {
            tracing::warn!(path = %self.path.display(), %cause, "the log of the transfer stays locked");
        }
    }
}

#[cfg(test)]
mod tests {
    use block::ANY_MODE;

    use super::*;

    #[test]
    fn a_torn_tail_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.transfer");
        let all = [
            Record::Source { key: [7; 16], size: 1 << 40, piece: 1 << 19 },
            Record::Range { offset: 1 << 19, len: 1 << 19, sum: ContentSum::from_bytes([9; 16]) },
            Record::Content { size: 1 << 40, sum: ContentSum::from_bytes([8; 16]) },
            Record::End { size: 3, stamp: [1; 16] },
            Record::Put { offset: 3 << 40, len: 4096 },
            Record::Base { key: [5; 16] },
            Record::Edit { offset: 5 << 40, len: u32::MAX },
            Record::Before { stamp: [6; 16] },
        ];
        FileLog::open(&path, ANY_MODE).unwrap().write(&all).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), all.len() * RECORD);
        for len in 0..bytes.len() {
            std::fs::write(&path, &bytes[..len]).unwrap();
            let log = FileLog::open(&path, ANY_MODE).unwrap();
            let whole = len / RECORD;
            assert_eq!(log.records().unwrap().collect::<Vec<_>>(), all[..whole]);
            log.append(all[0], false).unwrap();
            assert_eq!(log.records().unwrap().count(), whole + 1, "what follows a torn tail is read");
        }
        for at in 0..RECORD {
            let mut bytes = bytes.clone();
            bytes[RECORD + at] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(FileLog::open(&path, ANY_MODE).unwrap().records().unwrap().count(), 1, "byte {at}");
        }
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.transfer");
        for content in [&b"precious"[..], &[b'x'; 4 * RECORD], b"y"] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(FileLog::open(&path, ANY_MODE).unwrap_err().kind(), ErrorKind::Refused);
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
        for content in [&b""[..], &[0; RECORD], &[1, 0, 0, 0, 9], &[1, 0]] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(FileLog::open(&path, ANY_MODE).unwrap().records().unwrap().count(), 0);
        }
    }

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.transfer");
        let log = FileLog::open(&path, ANY_MODE).unwrap();
        assert_eq!(FileLog::open(&path, ANY_MODE).unwrap_err().kind(), ErrorKind::Refused);
        // As a program has it that is being started meanwhile.
        let _inherited = log.file.try_clone().unwrap();
        log.append(Record::Source { key: [1; 16], size: 1, piece: 1 }, true).unwrap();
        let sum = ContentSum::default();
        log.replace(&mut (0..10_000).map(|offset| Record::Range { offset, len: 1, sum }), true).unwrap();
        drop(log);
        assert_eq!(FileLog::open(&path, ANY_MODE).unwrap().records().unwrap().count(), 10_000);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
