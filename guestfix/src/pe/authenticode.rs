//! Whether a PE file is as it was signed, by the digest in its signatures; or as it was linked, by its checksum
//! ("Windows Authenticode Portable Executable Signature Format", 2008; "PE Format", Microsoft Learn, 2026). Who
//! has signed it is not asked.

use std::ops::Range;

use sha2::{Digest, Sha256, Sha384, Sha512};

use super::Pe;
use crate::systemd::needs::Fault;
use crate::{Result, View, limits};

/// The header of every loader is in this many bytes.
const HEAD: usize = 8192;
/// Read at once; of two bytes each is a word of the checksum.
const PART: u64 = 1 << 20;
/// The largest table of signatures, in bytes.
const TABLE: u64 = 1 << 20;
/// The most signatures of one file.
const SIGNATURES: usize = 16;
/// A signature that is PKCS #7.
const SIGNED_DATA: u16 = 2;
/// What is signed, by its object identifier: SPC_INDIRECT_DATA.
const INDIRECT_DATA: &[u8] = &[0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x04];

/// Algorithms of the digest, by their object identifiers.
const SHA_256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const SHA_384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
const SHA_512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];

/// How a file differs from what was signed, or linked. A snapshot's bytes are paid for, so its files are not
/// read whole.
///
/// # Errors
/// If the guest cannot be read.
pub(crate) fn damage(view: &dyn View, path: &str) -> Result<Option<Fault>> {
    let size = view.stat(path)?.map_or(0, |node| node.size);
    if view.machine().remote || size > limits::FILE {
        return Ok(None);
    }
    let head = view.start(path, HEAD)?.unwrap_or_default();
    let fields = Pe::signed_fields(&head).unwrap_or_default();
    let [checksum, entry] = fields.as_slice() else { return Ok(None) };
    let (checksum, entry) = (checksum.clone(), entry.clone());
    let file = File { view, path, size, checksum, entry };
    let (start, length) = (file.number(&head, file.entry.start), file.number(&head, file.entry.start + 4));
    if start == 0 || length == 0 {
        let written = file.number(&head, file.checksum.start);
        let is_whole = written == 0 || written == file.checksum()?;
        let why = "its bytes do not add up to the checksum in its header: it may be damaged";
        return Ok((!is_whole).then(|| Fault::unsure(path, why)));
    }
    // what is behind the table would not be signed
    if length > TABLE || start.checked_add(length) != Some(size) {
        return Ok(None);
    }
    let table = view.range(path, start, usize::try_from(length).unwrap_or(0))?.unwrap_or_default();
    let signed = digests(&table);
    for (algorithm, digest) in &signed {
        let own = match *algorithm {
            SHA_256 => file.digest::<Sha256>(start)?,
            SHA_384 => file.digest::<Sha384>(start)?,
            SHA_512 => file.digest::<Sha512>(start)?,
            _ => return Ok(None),
        };
        if own == *digest {
            return Ok(None);
        }
    }
    Ok((!signed.is_empty()).then(|| Fault::sure(path, "it is damaged: it differs from what was signed")))
}

/// Whether a file in memory adds up to the checksum in its header, if there is one.
pub(crate) fn adds_up(file: &[u8]) -> bool {
    let fields = Pe::signed_fields(file).unwrap_or_default();
    let Some(at) = fields.first().and_then(|checksum| usize::try_from(checksum.start).ok()) else {
        return true;
    };
    let written =
        file.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_le_bytes(*word));
    let sum = file.chunks(2).enumerate().fold(0_u32, |sum, (index, pair)| {
        let is_own = [at, at.saturating_add(2)].contains(&index.saturating_mul(2));
        let low = pair.first().copied().unwrap_or(0);
        let word = u16::from_le_bytes([low, pair.get(1).copied().unwrap_or(0)]);
        let sum = sum.saturating_add(if is_own { 0 } else { u32::from(word) });
        (sum & 0xffff).saturating_add(sum >> 16)
    });
    written == 0 || u64::from(sum).saturating_add(file.len() as u64) == u64::from(written)
}

struct File<'a> {
    view: &'a dyn View,
    path: &'a str,
    size: u64,
    /// Where the checksum is.
    checksum: Range<u64>,
    /// Where it is said where the signatures are.
    entry: Range<u64>,
}

impl File<'_> {
    /// A number of four bytes of the header; 0 where it has none.
    fn number(&self, head: &[u8], at: u64) -> u64 {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = at.checked_add(4).and_then(|end| head.get(at..end));
        bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, |bytes| u64::from(u32::from_le_bytes(bytes)))
    }

    /// Shows all bytes up to `end`, part by part, each with its place.
    fn bytes(&self, end: u64, mut show: impl FnMut(&[u8], u64)) -> Result<()> {
        let mut at = 0;
        while at < end {
            let len = PART.min(end.saturating_sub(at));
            let part = self.view.range(self.path, at, usize::try_from(len).unwrap_or(0))?.unwrap_or_default();
            if part.is_empty() {
                break;
            }
            show(&part, at);
            at = at.saturating_add(part.len() as u64);
        }
        Ok(())
    }

    /// The digest of what is signed: all but the checksum, the place of the signatures, and these.
    fn digest<D: Digest>(&self, end: u64) -> Result<Vec<u8>> {
        let mut digest = D::new();
        let parts = [0..self.checksum.start, self.checksum.end..self.entry.start, self.entry.end..end];
        self.bytes(end, |bytes, at| {
            for part in &parts {
                let within = |place: u64| {
                    usize::try_from(place.saturating_sub(at)).unwrap_or(usize::MAX).min(bytes.len())
                };
                digest.update(bytes.get(within(part.start)..within(part.end)).unwrap_or_default());
            }
        })?;
        Ok(digest.finalize().to_vec())
    }

    /// The sum of all words but its own, each carry added again, and the length of the file.
    fn checksum(&self) -> Result<u64> {
        let mut sum = 0_u64;
        self.bytes(self.size, |bytes, at| {
            for (index, pair) in bytes.chunks(2).enumerate() {
                let place = at.saturating_add(2 * index as u64);
                if !self.checksum.contains(&place) {
                    let low = pair.first().copied().unwrap_or(0);
                    let word = u16::from_le_bytes([low, pair.get(1).copied().unwrap_or(0)]);
                    sum = sum.saturating_add(u64::from(word));
                }
            }
        })?;
        while sum > 0xffff {
            sum = (sum & 0xffff).saturating_add(sum >> 16);
        }
        Ok(sum.saturating_add(self.size))
    }
}

/// The digests in a table of signatures, each with its algorithm.
fn digests(mut table: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut out = Vec::new();
    for _ in 0..SIGNATURES {
        let Some((header, _)) = table.split_first_chunk::<8>() else { break };
        let [a, b, c, d, _, _, low, high] = *header;
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let Some(signature) = table.get(8..length) else { break };
        if u16::from_le_bytes([low, high]) == SIGNED_DATA {
            out.extend(digest(signature));
        }
        table = table.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    out
}

/// The digest that a signature is of: SpcIndirectDataContent within SignedData.
fn digest(signature: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = signature.windows(INDIRECT_DATA.len()).position(|bytes| bytes == INDIRECT_DATA)?;
    let (content, _) = element(0xa0, signature.get(at.checked_add(INDIRECT_DATA.len())?..)?)?;
    let (content, _) = element(0x30, content)?;
    // what kind of file it is comes first
    let (_, rest) = element(0x30, content)?;
    let (info, _) = element(0x30, rest)?;
    let (algorithm, rest) = element(0x30, info)?;
    Some((element(0x06, algorithm)?.0, element(0x04, rest)?.0))
}

/// The content of the element with this tag, and what is behind it (DER, ITU-T X.690).
fn element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first & 0x80 {
        0 => (usize::from(*first), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (
                digits.iter().try_fold(0_usize, |number, digit| {
                    number.checked_mul(256)?.checked_add(usize::from(*digit))
                })?,
                rest,
            )
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    (*found == tag).then_some((content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    const PATH: &str = "/boot/efi/x.efi";
    /// Where the optional header starts.
    const OPTIONAL: usize = 0x58;

    /// A file for 64 bits with bytes behind its header.
    fn file() -> Vec<u8> {
        let mut file: Vec<u8> = (0..2048_u32).map(|at| at.to_le_bytes()[0]).collect();
        file[..0x200].fill(0);
        file[..2].copy_from_slice(b"MZ");
        file[0x3c] = 0x40;
        file[0x40..0x46].copy_from_slice(b"PE\0\0\x64\x86");
        file[OPTIONAL..OPTIONAL + 2].copy_from_slice(&[0x0b, 2]);
        file
    }

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        [vec![tag, 0x82], (content.len() as u16).to_be_bytes().to_vec(), content].concat()
    }

    /// Signed, as far as the digest goes.
    fn signed() -> Vec<u8> {
        let mut file = file();
        let mut digest = Sha256::new();
        digest.update(&file[..OPTIONAL + 64]);
        digest.update(&file[OPTIONAL + 68..OPTIONAL + 144]);
        digest.update(&file[OPTIONAL + 152..]);
        let algorithm = der(0x30, &[&der(0x06, &[SHA_256]), &[5, 0]]);
        let info = der(0x30, &[&algorithm, &der(0x04, &[&digest.finalize()])]);
        let content = der(0x30, &[&der(0x30, &[b"kind"]), &info]);
        let mut table = [b"SignedData", INDIRECT_DATA, &der(0xa0, &[&content])].concat();
        table.resize(table.len().next_multiple_of(8), 0);
        let length = (table.len() + 8) as u32;
        let entry = OPTIONAL + 144;
        file[entry..entry + 4].copy_from_slice(&2048_u32.to_le_bytes());
        file[entry + 4..entry + 8].copy_from_slice(&length.to_le_bytes());
        [file, length.to_le_bytes().to_vec(), vec![0, 2, 2, 0], table].concat()
    }

    fn wrong(file: &[u8]) -> Option<bool> {
        let bench = Bench::debian().file(PATH, file);
        bench.guest(|guest| damage(guest.view, PATH).unwrap().map(|fault| fault.is_sure))
    }

    #[test]
    fn a_signed_file_is_as_it_was_signed() {
        let file = signed();
        assert_eq!(wrong(&file), None);
        let mut summed = file.clone();
        summed[OPTIONAL + 64] = 7;
        assert_eq!(wrong(&summed), None, "the checksum is not signed");
        for at in [0x150, 0x400, 2047] {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert_eq!(wrong(&damaged), Some(true), "{at}");
        }
        for len in 0..file.len() {
            assert_eq!(wrong(&file[..len]), None, "{len}");
        }
    }

    #[test]
    fn one_that_is_not_signed_adds_up() {
        let mut file = file();
        assert_eq!(wrong(&file), None, "it has no checksum");
        let view = |file: &[u8]| {
            Bench::debian().file(PATH, file).guest(|guest| {
                let at = OPTIONAL as u64;
                let (checksum, entry) = (at + 64..at + 68, at + 144..at + 152);
                File { view: guest.view, path: PATH, size: 2048, checksum, entry }.checksum().unwrap()
            })
        };
        let sum = view(&file) as u32;
        file[OPTIONAL + 64..OPTIONAL + 68].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(wrong(&file), None);
        file[0x500] ^= 1;
        assert_eq!(wrong(&file), Some(false));
    }
}
