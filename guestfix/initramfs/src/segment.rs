//! The segments of an initramfs: archives and compressed streams one after the other, zeros between them.

use std::io;
use std::ops::Range;

use crate::archive::Limits;
use crate::codec::Codec;
use crate::cpio::{self, Entry};
use crate::error::{Error, Result};
use crate::scan::{Cut, Scanner};

/// The most bytes of contents that are unpacked again at once.
const LOADED: usize = 64 << 20;

/// One segment: an archive as it is, or a compressed stream of archives.
#[derive(Debug)]
pub struct Segment<'a> {
    /// How it is compressed.
    pub codec: Codec,
    /// Where it starts in the file.
    pub offset: u64,
    /// Its bytes in the file, without the zeros that follow.
    pub len: u64,
    /// Its records, in order.
    pub entries: Vec<Entry>,
    /// Its last archive ends with its trailer, as it does unless the rest of it is missing.
    pub complete: bool,
    /// Its bytes in the file.
    pub(crate) packed: &'a [u8],
    /// Where in what it unpacks to its last trailer starts: new records go before it.
    pub(crate) trailer: usize,
}

impl Segment<'_> {
    /// The content of a record, or a symbolic link's target. Unpacks the segment again if it was not kept.
    pub(crate) fn content<'s>(&'s self, entry: &'s Entry) -> Result<&'s [u8]> {
        if self.codec == Codec::None {
            return Ok(self.packed.get(entry.data.clone()).unwrap_or_default());
        }
        if entry.content.get().is_none() {
            self.load(&[entry])?;
        }
        Ok(entry.content.get().map(AsRef::as_ref).unwrap_or_default())
    }

    /// Gets the contents of these records, in one pass.
    pub(crate) fn load(&self, entries: &[&Entry]) -> Result<()> {
        let is_missing = |entry: &&Entry| self.codec != Codec::None && entry.content.get().is_none();
        let mut wanted: Vec<&Entry> = entries.iter().copied().filter(is_missing).collect();
        wanted.sort_by_key(|entry| entry.data.start);
        wanted.dedup_by_key(|entry| entry.data.start);
        let total = wanted.iter().map(|entry| entry.data.len()).fold(0, usize::saturating_add);
        if total > LOADED {
            let limit = u64::try_from(LOADED).unwrap_or(u64::MAX);
            return Err(Error::TooLarge { what: "bytes in the files that are looked at", limit });
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let mut contents: Vec<Vec<u8>> = vec![Vec::new(); wanted.len()];
        self.stream(&wanted.iter().map(|entry| entry.data.clone()).collect::<Vec<_>>(), |piece, range| {
            if let Some(content) = range.and_then(|range| contents.get_mut(range)) {
                content.extend_from_slice(piece);
            }
            Ok(())
        })?;
        for (entry, content) in wanted.iter().zip(contents) {
            _ = entry.content.set(content.into_boxed_slice());
        }
        Ok(())
    }

    /// Unpacks the segment again, piece by piece: `take` gets each with the number of the range in `ranges`
    /// it lies in.
    pub(crate) fn stream(
        &self,
        ranges: &[Range<usize>],
        take: impl FnMut(&[u8], Option<usize>) -> io::Result<()>,
    ) -> Result<()> {
        let mut cut = Cut { ranges, at: 0, take };
        // It was unpacked before, within the limits.
        self.codec.unpack_into(self.packed, u64::MAX, &what(self.offset), &mut cut).map(drop)
    }

    /// Is this processor microcode, which the kernel reads before it unpacks anything?
    #[must_use]
    pub fn is_microcode(&self) -> bool {
        self.codec == Codec::None
            && self.entries.iter().any(|entry| {
                entry.path == "early_cpio"
                    || entry.path.starts_with("kernel/x86/microcode/")
                    || entry.path.starts_with("kernel/firmware/acpi/")
            })
    }
}

/// Splits an initramfs.
pub(crate) fn split<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Vec<Segment<'a>>> {
    let mut segments = Vec::new();
    let mut budget = limits.unpacked;
    let mut seen = 0;
    let mut at = 0;
    while let Some(zeros) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte != 0)) {
        at = at.saturating_add(zeros);
        if segments.len() >= limits.segments {
            let limit = u64::try_from(limits.segments).unwrap_or(u64::MAX);
            return Err(Error::TooLarge { what: "segments", limit });
        }
        let (segment, len, size) = read(bytes, at, &mut seen, budget, limits)?;
        budget = budget.saturating_sub(size);
        segments.push(segment);
        at = at.saturating_add(len);
    }
    Ok(segments)
}

/// Reads the segment at `at`; `budget` bounds what it may unpack to. Tells its length in the file and
/// unpacked too.
fn read<'a>(
    bytes: &'a [u8],
    at: usize,
    seen: &mut usize,
    budget: u64,
    limits: &Limits,
) -> Result<(Segment<'a>, usize, u64)> {
    let rest = bytes.get(at..).unwrap_or_default();
    let offset = u64::try_from(at).unwrap_or(u64::MAX);
    if cpio::is_newc(rest) {
        if !at.is_multiple_of(4) {
            return Err(Error::malformed("cpio archive", at, "it does not start on a multiple of 4"));
        }
        let parsed = cpio::parse(rest, 0, seen, limits)?;
        let len = parsed.end;
        let packed = rest.get(..len).unwrap_or_default();
        let (entries, trailer, complete) = (parsed.entries, parsed.trailer, parsed.trailer < len);
        let size = u64::try_from(len).unwrap_or(u64::MAX);
        let codec = Codec::None;
        return Ok((Segment { codec, offset, len: size, entries, complete, packed, trailer }, len, size));
    }
    let codec = Codec::detect(rest).ok_or_else(|| Error::unsupported(name_of(rest), at))?;
    // No real one packs as well as this; zeros do.
    let packed = u64::try_from(rest.len()).unwrap_or(u64::MAX);
    let plausible = packed.saturating_mul(limits.ratio).saturating_add(limits.unpacked_always);
    let mut scanner = Scanner::new(seen, limits);
    let unpacked = codec.unpack_into(rest, budget.min(plausible), &what(offset), &mut scanner);
    let len = match (unpacked, scanner.error()) {
        (_, Some(error)) => return Err(error),
        (Err(Error::TooLarge { what, .. }), _) => {
            return Err(Error::TooLarge { what, limit: limits.unpacked.min(plausible) });
        }
        (unpacked, None) => unpacked?,
    };
    let size = scanner.len();
    let (entries, trailer) = scanner.finish()?;
    let packed = rest.get(..len).unwrap_or_default();
    let len_on_disk = u64::try_from(len).unwrap_or(u64::MAX);
    let complete = u64::try_from(trailer).is_ok_and(|trailer| trailer < size);
    Ok((Segment { codec, offset, len: len_on_disk, entries, complete, packed, trailer }, len, size))
}

/// The segment's name in errors.
fn what(offset: u64) -> String {
    format!("the segment at offset {offset:#x} of the initramfs")
}

/// A name for a format that is not one of an initramfs's.
fn name_of(bytes: &[u8]) -> String {
    const NAMES: &[(&[u8], &str)] = &[
        (b"MZ", "a PE image (a unified kernel image or an EFI program)"),
        (&[0x89, b'L', b'Z', b'O', 0], "lzop data"),
        (&0x184D_2204_u32.to_le_bytes(), "a modern lz4 frame (the kernel reads the legacy one only)"),
        (b"070707", "a cpio archive of the old portable format"),
        (b"hsqs", "a squashfs file system"),
        (b"\x7FELF", "an ELF file"),
    ];
    NAMES.iter().find(|(magic, _)| bytes.starts_with(magic)).map_or_else(
        || {
            let magic = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>();
            format!("an unknown format (magic {magic})")
        },
        |(_, name)| (*name).to_owned(),
    )
}
