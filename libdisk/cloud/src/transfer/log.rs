//! The file that a transfer is recorded in: records of 40 bytes, appended, each with its own checksum.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | kind: 1 a source, 2 a range, 3 the end |
//! | 4..8 | range: length in bytes |
//! | 8..16 | source: size of the disk; range: offset; end: size of the file |
//! | 16..32 | source: its key; range: XXH3-128 of its bytes; end: time and number of the file |
//! | 32..36 | `rft1` |
//! | 36..40 | CRC-32C of the bytes before |
//!
//! All numbers are little-endian. The log ends before the first record that is not whole; a torn tail is cut off.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use block::{Error, ErrorKind, Result, open_sidecar};
use rustix::fs::{OFlags, fcntl_setfl};

use super::LAYER;

const RECORD: usize = 40;
const MAGIC: &[u8; 4] = b"rft1";

/// What tells one source from another.
pub type Key = [u8; 16];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    /// From here on the file is to become this disk.
    Source { key: Key, size: u64 },
    /// These bytes are in the file.
    Range { offset: u64, len: u32, digest: [u8; 16] },
    /// The file is whole, and so it looked.
    End { size: u64, stamp: [u8; 16] },
}

impl Record {
    fn encode(self) -> [u8; RECORD] {
        let (kind, len, number, bytes) = match self {
            Self::Source { key, size } => (1u32, 0, size, key),
            Self::Range { offset, len, digest } => (2, len, offset, digest),
            Self::End { size, stamp } => (3, 0, size, stamp),
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
        let number = u64::from_le_bytes(*number);
        match u32::from_le_bytes(*kind) {
            1 => Some(Self::Source { key: *field, size: number }),
            2 => Some(Self::Range { offset: number, len: u32::from_le_bytes(*len), digest: *field }),
            3 => Some(Self::End { size: number, stamp: *field }),
            _ => None,
        }
    }
}

/// Why a transfer cannot begin: another process is at the same one.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("another process is writing it")]
pub struct Busy;

/// A log, locked: two runs cannot write the same target.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    mode: u32,
    path: PathBuf,
}

impl Log {
    /// Opens or makes the log at `path`, with mode `mode`, and cuts off a torn tail.
    pub(super) fn open(path: &Path, mode: u32) -> Result<Self> {
        let failed = |cause| Error::io(LAYER, "cannot open the log of the transfer", cause).in_file(path);
        let log = Self::open_file(path, mode)?;
        if log.file.try_lock().is_err() {
            return Err(Error::new(ErrorKind::Refused, LAYER, "the output cannot be taken")
                .because(Busy)
                .in_file(path));
        }
        let whole = log.records()?.count();
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

    /// All records, up to the first that is not whole.
    pub(super) fn records(&self) -> Result<impl Iterator<Item = Record> + use<>> {
        let mut reader = BufReader::with_capacity(RECORD.saturating_mul(4096), self.reopened()?);
        Ok(std::iter::from_fn(move || {
            let mut record = [0; RECORD];
            reader.read_exact(&mut record).ok()?;
            Record::decode(&record)
        }))
    }

    /// The file again, with a position of its own.
    fn reopened(&self) -> Result<File> {
        File::open(&self.path).map_err(|cause| self.failed(cause))
    }

    /// Appends records with one write; they are durable after it if that is wanted.
    pub(super) fn append(&self, records: &[Record], durable: bool) -> Result<()> {
        let bytes: Vec<u8> = records.iter().flat_map(|record| record.encode()).collect();
        (&self.file).write_all(&bytes).map_err(|cause| self.failed(cause))?;
        if durable { self.file.sync_data().map_err(|cause| self.failed(cause)) } else { Ok(()) }
    }

    /// Forgets all.
    pub(super) fn clear(&self) -> Result<()> {
        self.file.set_len(0).map_err(|cause| self.failed(cause))
    }

    /// Puts `records` in the place of all that is there, in one step.
    pub(super) fn replace(&self, mut records: impl Iterator<Item = Record>) -> Result<()> {
        let path = self.path.with_extension("transfer-new");
        let new = Self::open_file(&path, self.mode)?;
        new.clear()?;
        loop {
            let batch: Vec<_> = records.by_ref().take(4096).collect();
            if batch.is_empty() {
                break;
            }
            new.append(&batch, false)?;
        }
        new.file.sync_data().map_err(|cause| self.failed(cause))?;
        std::fs::rename(&new.path, &self.path).map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: std::io::Error) -> Error {
        Error::io(LAYER, "cannot write the log of the transfer", cause).in_file(&self.path)
    }
}

impl Drop for Log {
    /// Said, and not left to the end of the file: a program that another thread just starts has the file open too, until it is a
    /// program of its own.
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
            Record::Source { key: [7; 16], size: 1 << 40 },
            Record::Range { offset: 1 << 19, len: 1 << 19, digest: [9; 16] },
            Record::End { size: 3, stamp: [1; 16] },
        ];
        Log::open(&path, ANY_MODE).unwrap().append(&all, true).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 3 * RECORD);
        for len in 0..bytes.len() {
            std::fs::write(&path, &bytes[..len]).unwrap();
            let log = Log::open(&path, ANY_MODE).unwrap();
            let whole = len / RECORD;
            assert_eq!(log.records().unwrap().collect::<Vec<_>>(), all[..whole]);
            log.append(&all[..1], false).unwrap();
            assert_eq!(log.records().unwrap().count(), whole + 1, "what follows a torn tail is read");
        }
        for at in 0..RECORD {
            let mut bytes = bytes.clone();
            bytes[RECORD + at] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(Log::open(&path, ANY_MODE).unwrap().records().unwrap().count(), 1, "byte {at}");
        }
    }

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.transfer");
        let log = Log::open(&path, ANY_MODE).unwrap();
        assert_eq!(Log::open(&path, ANY_MODE).unwrap_err().kind(), ErrorKind::Refused);
        // As a program has it that is being started meanwhile.
        let _inherited = log.file.try_clone().unwrap();
        log.append(&[Record::Source { key: [1; 16], size: 1 }], false).unwrap();
        log.replace((0..10_000).map(|offset| Record::Range { offset, len: 1, digest: [0; 16] })).unwrap();
        drop(log);
        assert_eq!(Log::open(&path, ANY_MODE).unwrap().records().unwrap().count(), 10_000);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
