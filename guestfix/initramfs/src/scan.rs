//! The records of a compressed segment, read as it unpacks: of large files only the place is kept.

use std::io::{self, Write};

use crate::archive::Limits;
use crate::cpio::{self, Entry, Header, Kind};
use crate::error::{Error, Result};

/// What is kept of a segment at once, in bytes: all of an ordinary one but its modules.
const KEPT: usize = 24 << 20;
/// The largest file that is kept.
const KEPT_FILE: usize = 4 << 20;
/// Modules and firmware are kept only as long as no more than this is.
const KEPT_MODULES: usize = 8 << 20;

/// Takes the unpacked bytes as they come.
pub(crate) struct Scanner<'l> {
    limits: &'l Limits,
    /// The records of the whole initramfs.
    seen: &'l mut usize,
    entries: Vec<Entry>,
    /// Bytes of contents that are kept.
    kept: usize,
    /// Bytes that have come.
    at: usize,
    /// Where the last trailer starts.
    trailer: usize,
    state: State,
    /// The part of a header, a name or a content that has come.
    part: Vec<u8>,
    /// Why no more is taken.
    error: Option<Error>,
}

enum State {
    /// Zeros, and then an archive or the end.
    Between,
    /// The header of the record that starts here.
    Header { start: usize },
    /// The name of that record.
    Name { start: usize, header: Header },
    /// Its content, which is kept or not, and the bytes that fill it up.
    Content { left: usize, padding: usize, keep: bool, trailer: bool },
}

impl<'l> Scanner<'l> {
    pub(crate) fn new(seen: &'l mut usize, limits: &'l Limits) -> Self {
        let (entries, part, state) = (Vec::new(), Vec::new(), State::Between);
        Self { limits, seen, entries, kept: 0, at: 0, trailer: 0, state, part, error: None }
    }

    /// How many bytes have come.
    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.at).unwrap_or(u64::MAX)
    }

    /// The error that ended it, if one did.
    pub(crate) fn error(&mut self) -> Option<Error> {
        self.error.take()
    }

    /// The records, and where the last trailer starts: new records go before it.
    pub(crate) fn finish(mut self) -> Result<(Vec<Entry>, usize)> {
        match self.state {
            State::Between => {}
            // An archive may end without a trailer.
            State::Header { start } if self.part.is_empty() => self.trailer = start,
            State::Header { start } | State::Name { start, .. } => return Err(cpio::truncated(start)),
            State::Content { left: 0, trailer: true, .. } => {}
            State::Content { left: 0, .. } => {
                // The padding after the very last record may be missing.
                if let Some(last) = self.entries.last_mut() {
                    last.record.end = self.at;
                }
                self.trailer = self.at;
            }
            State::Content { .. } => {
                let start = self.entries.last().map_or(self.trailer, |entry| entry.record.start);
                return Err(cpio::truncated(start));
            }
        }
        Ok((self.entries, self.trailer))
    }

    /// Takes some of `bytes`; answers the rest.
    fn take<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8]> {
        match &mut self.state {
            State::Between => {
                let zeros = bytes.iter().position(|byte| *byte != 0);
                let rest = zeros.and_then(|zeros| bytes.get(zeros..)).unwrap_or_default();
                self.at = self.at.saturating_add(bytes.len().saturating_sub(rest.len()));
                if !rest.is_empty() {
                    if !self.at.is_multiple_of(4) {
                        let what = "it does not start on a multiple of 4";
                        return Err(Error::malformed("cpio archive", self.at, what));
                    }
                    self.state = State::Header { start: self.at };
                }
                Ok(rest)
            }
            &mut State::Header { start } => {
                let rest = self.collect(bytes, Header::LEN);
                if self.part.len() >= 6 && !cpio::is_newc(&self.part) {
                    let what = "no record where one should start";
                    return Err(Error::malformed("cpio archive", start, what));
                }
                if self.part.len() == Header::LEN {
                    *self.seen = self.seen.saturating_add(1);
                    if *self.seen > self.limits.entries {
                        let limit = u64::try_from(self.limits.entries).unwrap_or(u64::MAX);
                        return Err(Error::TooLarge { what: "files", limit });
                    }
                    let header = Header::parse(&self.part, start)?;
                    self.part.clear();
                    self.state = State::Name { start, header };
                }
                Ok(rest)
            }
            State::Name { start, header } => {
                let (start, name, padded) = (*start, header.name, header.padded_name());
                if self.part.len() < padded {
                    let rest = Self::collect_into(&mut self.part, &mut self.at, bytes, padded);
                    if self.part.len() < padded {
                        return Ok(rest);
                    }
                    let (entry, trailer) = header.entry(self.part.get(..name).unwrap_or_default(), start)?;
                    self.begin(entry, trailer);
                    return Ok(rest);
                }
                Ok(bytes)
            }
            State::Content { left, padding, keep, trailer } => {
                if *left > 0 {
                    let now = bytes.len().min(*left);
                    let (taken, rest) = bytes.split_at_checked(now).unwrap_or((bytes, &[]));
                    if *keep {
                        self.part.extend_from_slice(taken);
                    }
                    *left = left.saturating_sub(now);
                    self.at = self.at.saturating_add(now);
                    if *left == 0 && *keep {
                        let content = std::mem::take(&mut self.part).into_boxed_slice();
                        if let Some(entry) = self.entries.last() {
                            _ = entry.content.set(content);
                        }
                    }
                    return Ok(rest);
                }
                let now = bytes.len().min(*padding);
                *padding = padding.saturating_sub(now);
                self.at = self.at.saturating_add(now);
                if *padding == 0 {
                    self.state = if *trailer { State::Between } else { State::Header { start: self.at } };
                }
                Ok(bytes.get(now..).unwrap_or_default())
            }
        }
    }

    /// Goes on to the content of a record.
    fn begin(&mut self, entry: Entry, trailer: bool) {
        self.part.clear();
        let left = entry.data.len();
        let padding = entry.record.end.saturating_sub(entry.data.end);
        let keep = !trailer && self.keeps(&entry);
        if trailer {
            self.trailer = entry.record.start;
        } else {
            if keep {
                self.kept = self.kept.saturating_add(left);
            }
            if left == 0 {
                _ = entry.content.set(Box::default());
            }
            self.entries.push(entry);
        }
        self.state = match (left.saturating_add(padding), trailer) {
            (0, true) => State::Between,
            (0, false) => State::Header { start: self.at },
            _ => State::Content { left, padding, keep, trailer },
        };
    }

    fn keeps(&self, entry: &Entry) -> bool {
        let size = entry.data.len();
        let large = crate::closure::is_module(&entry.path) || entry.path.contains("lib/firmware/");
        let room = if large { KEPT_MODULES } else { KEPT };
        matches!(entry.kind, Kind::File | Kind::Symlink)
            && size <= KEPT_FILE
            && self.kept.saturating_add(size) <= room
    }

    fn collect<'b>(&mut self, bytes: &'b [u8], len: usize) -> &'b [u8] {
        Self::collect_into(&mut self.part, &mut self.at, bytes, len)
    }

    /// Moves bytes into `part` until it has `len`; answers the rest.
    fn collect_into<'b>(part: &mut Vec<u8>, at: &mut usize, bytes: &'b [u8], len: usize) -> &'b [u8] {
        let now = len.saturating_sub(part.len()).min(bytes.len());
        let (taken, rest) = bytes.split_at_checked(now).unwrap_or((bytes, &[]));
        part.extend_from_slice(taken);
        *at = at.saturating_add(now);
        rest
    }
}

impl Write for Scanner<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.take(rest) {
                Ok(left) => rest = left,
                Err(error) => {
                    self.error = Some(error);
                    return Err(io::Error::other("no more is taken"));
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes the bytes of some ranges out of what comes, or leaves them out.
pub(crate) struct Cut<'a, F> {
    /// Ascending, apart from each other.
    pub(crate) ranges: &'a [std::ops::Range<usize>],
    pub(crate) at: usize,
    /// Gets each piece, and the number of its range, or `None` for what lies in none.
    pub(crate) take: F,
}

impl<F: FnMut(&[u8], Option<usize>) -> io::Result<()>> Write for Cut<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let next = self.ranges.iter().position(|range| range.end > self.at && !range.is_empty());
            let range = next.and_then(|index| self.ranges.get(index));
            let (len, inside) = match range {
                None => (rest.len(), None),
                Some(range) if range.start > self.at => (range.start.saturating_sub(self.at), None),
                Some(range) => (range.end.saturating_sub(self.at), next),
            };
            let (now, left) = rest.split_at_checked(len.min(rest.len())).unwrap_or((rest, &[]));
            (self.take)(now, inside)?;
            self.at = self.at.saturating_add(now.len());
            rest = left;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut writer = cpio::Writer::new();
        writer.directory("lib").unwrap();
        writer.file("lib/five", b"12345").unwrap();
        writer.file("lib/none", b"").unwrap();
        writer.file("large", &vec![7; KEPT_FILE + 1]).unwrap();
        let mut bytes = writer.into_records();
        cpio::write_trailer(&mut bytes).unwrap();
        cpio::pad(&mut bytes, cpio::BLOCK);
        bytes
    }

    fn scan(bytes: &[u8], piece: usize) -> Result<(Vec<Entry>, usize)> {
        let (mut seen, limits) = (0, Limits::default());
        let mut scanner = Scanner::new(&mut seen, &limits);
        for piece in bytes.chunks(piece) {
            if scanner.write_all(piece).is_err() {
                return Err(scanner.error().unwrap());
            }
        }
        scanner.finish()
    }

    /// Entries are equal in all but the contents that were kept.
    fn places(entries: &[Entry]) -> Vec<(String, std::ops::Range<usize>, std::ops::Range<usize>)> {
        entries.iter().map(|e| (e.path.clone(), e.record.clone(), e.data.clone())).collect()
    }

    #[test]
    fn a_stream_has_the_records_that_the_whole_has() {
        let mut bytes = sample();
        bytes.extend(sample());
        let first = cpio::parse(&bytes, 0, &mut 0, &Limits::default()).unwrap();
        let second = bytes.len() / 2;
        let second = cpio::parse(&bytes, second, &mut 0, &Limits::default()).unwrap();
        let whole = [first.entries, second.entries].concat();
        for piece in [1, 3, 110, 4096, bytes.len()] {
            let (entries, trailer) = scan(&bytes, piece).unwrap();
            assert_eq!((places(&entries), trailer), (places(&whole), second.trailer));
            let kept: Vec<_> = entries.iter().filter_map(|entry| Some(entry.content.get()?.len())).collect();
            assert_eq!(kept, [0, 5, 0, 0, 5, 0], "the large one is not kept");
            assert_eq!(entries[1].content.get().unwrap().as_ref(), b"12345");
        }
    }

    #[test]
    fn what_is_cut_short_or_no_archive_is_refused() {
        let whole = sample();
        let ends = cpio::parse(&whole, 0, &mut 0, &Limits::default()).unwrap();
        let between: Vec<usize> = ends.entries.iter().map(|entry| entry.record.start).collect();
        for len in (0..600).chain(whole.len() - 700..whole.len()) {
            let cut = &whole[..len];
            let by_slice =
                if len == 0 { true } else { cpio::parse(cut, 0, &mut 0, &Limits::default()).is_ok() };
            assert_eq!(scan(cut, 64).is_ok(), by_slice, "{len} bytes, records start at {between:?}");
        }
        assert!(matches!(scan(b"070701 no archive, but long enough to be the header of one. 0123456789012345678901234567890123456789012345678", 64), Err(Error::Malformed { .. })));
        assert!(matches!(scan(b"\0\0x", 64), Err(Error::Malformed { .. })));
        assert!(matches!(scan(b"hello", 64), Err(Error::Malformed { .. })));
    }

    #[test]
    fn pieces_are_cut_out_and_left_out() {
        let (mut inside, mut outside) = (vec![Vec::new(), Vec::new()], Vec::new());
        let ranges = [2..4, 7..usize::MAX];
        let mut cut = Cut {
            ranges: &ranges,
            at: 0,
            take: |piece: &[u8], range: Option<usize>| {
                range.map_or(&mut outside, |range| &mut inside[range]).extend_from_slice(piece);
                Ok(())
            },
        };
        cut.write_all(b"012").unwrap();
        cut.write_all(b"3456789").unwrap();
        assert_eq!((inside, outside), (vec![b"23".to_vec(), b"789".to_vec()], b"01456".to_vec()));
    }
}
