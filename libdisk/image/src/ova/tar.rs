//! A tar archive: its members, where they are.
//!
//! Reference: POSIX.1-2017, `pax`: "ustar Interchange Format" and "pax Interchange Format"; GNU tar's manual,
//! "Basic Tar Format", for long names and sizes in base 256.

use std::ops::Range;

use block::{Disk, Error, Result};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::LAYER;

/// Headers and data start at multiples of this, in bytes.
const BLOCK: u64 = 512;
/// More members are not looked at.
const MAX_MEMBERS: usize = 4096;
/// The longest name, or extended header, in bytes.
const MAX_EXTENDED: u64 = 64 << 10;

/// Where the magic number is: "ustar", in the header.
pub(super) const MAGIC_AT: usize = 257;
/// That of POSIX, and of GNU.
pub(super) const MAGIC: &[u8] = b"ustar";

/// The header of a member.
#[derive(Debug, Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    name: [u8; 100],
    mode: [u8; 8],
    uid: [u8; 8],
    gid: [u8; 8],
    /// In octal, or in base 256.
    size: [u8; 12],
    mtime: [u8; 12],
    /// The sum of all bytes, those of this field taken as blanks.
    checksum: [u8; 8],
    /// What the member is.
    kind: u8,
    link: [u8; 100],
    /// [`MAGIC`], and the version.
    magic: [u8; 8],
    user: [u8; 32],
    group: [u8; 32],
    device: [u8; 16],
    /// What goes before the name.
    prefix: [u8; 155],
    rest: [u8; 12],
}

const _: () = assert!(size_of::<Header>() == 512);

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    /// Where it is in the archive.
    pub(super) range: Range<u64>,
}

/// What an extended header says of the member that follows.
#[derive(Debug, Default)]
struct Extended {
    name: Option<String>,
    size: Option<u64>,
}

/// The files in `archive`, in their order.
///
/// # Errors
/// `Corrupt` for a damaged or cut archive, `Unsupported` for one of very many members.
pub(super) fn members(archive: &Disk) -> Result<Vec<Member>> {
    let (mut members, mut extended, mut at) = (Vec::new(), Extended::default(), 0_u64);
    for _ in 0..MAX_MEMBERS {
        let corrupt = |what: &'static str| Error::corrupt(LAYER, what).at(at);
        let start = at.checked_add(BLOCK).filter(|start| *start <= archive.size());
        // Two blocks of zeros end an archive; some writers leave them out.
        let Some(start) = start else { return Ok(members) };
        let mut bytes = [0; 512];
        archive.read_at(&mut bytes, at)?;
        if bytes == [0; 512] {
            return Ok(members);
        }
        let header: Header = zerocopy::transmute!(bytes);
        if checksum(&bytes) != octal(&header.checksum) {
            return Err(corrupt("the header of a member does not have its sum"));
        }
        let told = number(&header.size).ok_or_else(|| corrupt("the size of a member is no number"))?;
        let is_file = matches!(header.kind, b'0' | b'7' | 0);
        let size = if is_file { extended.size.unwrap_or(told) } else { told };
        let end = start.checked_add(size).filter(|end| *end <= archive.size());
        let end = end.ok_or_else(|| corrupt("the archive is cut short: it ends within a member"))?;
        let text = || {
            let len = usize::try_from(size.min(MAX_EXTENDED.saturating_add(1))).unwrap_or(0);
            match size > MAX_EXTENDED {
                true => Err(corrupt("a member has a very long name")),
                false => archive.read_vec(start, len),
            }
        };
        match header.kind {
            b'x' => extended = pax(&text()?).ok_or_else(|| corrupt("an extended header is damaged"))?,
            b'L' => extended.name = Some(string(&text()?)),
            b'g' | b'K' => {}
            _ => {
                let said = std::mem::take(&mut extended);
                let name = said.name.unwrap_or_else(|| name(&header));
                if is_file {
                    members.push(Member { name: plain(&name), range: start..end });
                }
            }
        }
        at = end.checked_next_multiple_of(BLOCK).ok_or_else(|| corrupt("a member ends nowhere"))?;
    }
    Err(Error::unsupported(LAYER, format!("an archive of more than {MAX_MEMBERS} members")))
}

/// Text up to its first zero.
fn string(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

fn name(header: &Header) -> String {
    let (name, prefix) = (string(&header.name), string(&header.prefix));
    let is_posix = header.magic.starts_with(b"ustar\0");
    if is_posix && !prefix.is_empty() { format!("{prefix}/{name}") } else { name }
}

/// A name without the `./` that some put before it.
pub(super) fn plain(name: &str) -> String {
    name.trim_start_matches("./").to_owned()
}

fn checksum(bytes: &[u8; 512]) -> Option<u64> {
    let sum = |bytes: &[u8]| bytes.iter().fold(0_u64, |sum, byte| sum.saturating_add(u64::from(*byte)));
    let of_field = sum(bytes.get(148..156)?);
    Some(sum(bytes).saturating_sub(of_field).saturating_add(8 * 32))
}

/// A number in octal, with blanks and zeros around it.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii();
    u64::from_str_radix(str::from_utf8(digits).ok()?, 8).ok()
}

/// The same, or a number in base 256, which has its highest bit set.
fn number(field: &[u8; 12]) -> Option<u64> {
    let [first, rest @ ..] = field;
    if first & 0x80 == 0 {
        return octal(field);
    }
    let (high, low) = rest.split_at_checked(3)?;
    let is_positive = first & 0x7f == 0 && high.iter().all(|byte| *byte == 0);
    is_positive.then_some(u64::from_be_bytes(low.try_into().ok()?))
}

/// Records like `23 path=disk.vmdk`, each with its length before it.
fn pax(mut bytes: &[u8]) -> Option<Extended> {
    let mut extended = Extended::default();
    while !bytes.is_empty() && bytes.first() != Some(&0) {
        let blank = bytes.iter().position(|byte| *byte == b' ')?;
        let len: usize = str::from_utf8(bytes.get(..blank)?).ok()?.parse().ok()?;
        let record = bytes.get(blank.checked_add(1)?..len)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let value = String::from_utf8_lossy(record.get(equals.checked_add(1)?..)?);
        match record.get(..equals)? {
            b"path" => extended.name = Some(value.into_owned()),
            b"size" => extended.size = Some(value.parse().ok()?),
            _ => {}
        }
        bytes = bytes.get(len..)?;
    }
    Some(extended)
}
