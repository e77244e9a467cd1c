//! The segments of an initramfs: archives and compressed streams one after the other, zeros between them.

use std::borrow::Cow;

use crate::archive::Limits;
use crate::codec::Codec;
use crate::cpio::{self, Entry};
use crate::error::{Error, Result};

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
    /// What it unpacks to.
    pub(crate) payload: Cow<'a, [u8]>,
    /// Where in the payload its last trailer starts: new records go before it.
    pub(crate) trailer: usize,
}

impl Segment<'_> {
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
        let (segment, len) = read(bytes, at, &mut seen, budget, limits)?;
        let size = u64::try_from(segment.payload.len()).unwrap_or(u64::MAX);
        budget = budget.saturating_sub(size);
        segments.push(segment);
        at = at.saturating_add(len);
    }
    Ok(segments)
}

/// Reads the segment at `at`; `budget` bounds what it may unpack to. Tells its length in the file too.
fn read<'a>(
    bytes: &'a [u8],
    at: usize,
    seen: &mut usize,
    budget: u64,
    limits: &Limits,
) -> Result<(Segment<'a>, usize)> {
    let rest = bytes.get(at..).unwrap_or_default();
    let offset = u64::try_from(at).unwrap_or(u64::MAX);
    if cpio::is_newc(rest) {
        if !at.is_multiple_of(4) {
            return Err(Error::malformed("cpio archive", at, "it does not start on a multiple of 4"));
        }
        let parsed = cpio::parse(rest, 0, seen, limits)?;
        let len = parsed.end;
        let payload = Cow::Borrowed(rest.get(..len).unwrap_or_default());
        let (entries, trailer) = (parsed.entries, parsed.trailer);
        let len_on_disk = u64::try_from(len).unwrap_or(u64::MAX);
        return Ok((
            Segment { codec: Codec::None, offset, len: len_on_disk, entries, payload, trailer },
            len,
        ));
    }
    let codec = Codec::detect(rest).ok_or_else(|| Error::unsupported(name_of(rest), at))?;
    let what = format!("the segment at offset {offset:#x} of the initramfs");
    let (payload, len) = match codec.decompress(rest, budget, &what) {
        Err(Error::TooLarge { what, .. }) => Err(Error::TooLarge { what, limit: limits.unpacked }),
        other => other,
    }?;
    let (entries, trailer) = archives(&payload, seen, limits)?;
    let len_on_disk = u64::try_from(len).unwrap_or(u64::MAX);
    let payload = Cow::Owned(payload);
    Ok((Segment { codec, offset, len: len_on_disk, entries, payload, trailer }, len))
}

/// Reads the archives that a compressed segment unpacks to: usually one. Tells where the last trailer starts.
fn archives(payload: &[u8], seen: &mut usize, limits: &Limits) -> Result<(Vec<Entry>, usize)> {
    let mut entries = Vec::new();
    let mut trailer = 0;
    let mut at = 0;
    while let Some(zeros) = payload.get(at..).and_then(|rest| rest.iter().position(|byte| *byte != 0)) {
        at = at.saturating_add(zeros);
        if !at.is_multiple_of(4) {
            return Err(Error::malformed("cpio archive", at, "it does not start on a multiple of 4"));
        }
        let parsed = cpio::parse(payload, at, seen, limits)?;
        entries.extend(parsed.entries);
        trailer = parsed.trailer;
        at = parsed.end;
    }
    Ok((entries, trailer))
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
