//! A program for UEFI, as the firmware takes it or leaves it.

use crate::pe::Pe;
use crate::{Result, View};

/// The header and the section table of every loader are in this many bytes.
const HEAD: usize = 8192;
/// Where in the optional header the kind of it is, and its value for 64 bits.
const MAGIC: usize = 24;
const PE32_PLUS: u16 = 0x20B;
/// Where behind that the certificate table is named.
const CERTIFICATES: usize = MAGIC + 112 + 4 * 8;

/// A program for UEFI, by its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    pe: Pe,
}

impl Program {
    /// Reads the header of a file; the inner error says why it is no program that firmware could start.
    ///
    /// # Errors
    /// If the guest cannot be read.
    pub(super) fn read(view: &dyn View, path: &str) -> Result<Result<Self, String>> {
        let size = view.stat(path)?.map_or(0, |metadata| metadata.size);
        let Some(head) = view.start(path, HEAD)? else { return Ok(Err("it is no file".into())) };
        if size == 0 {
            return Ok(Err("it is empty".into()));
        }
        Ok(Self::parse(&head, size))
    }

    /// From the first bytes of a file of `size` bytes.
    pub(super) fn parse(head: &[u8], size: u64) -> Result<Self, String> {
        let pe = Pe::parse(head).ok_or("it is no PE file, or ends within its header")?;
        let header = u32_at(head, 0x3C).and_then(|at| usize::try_from(at).ok()).unwrap_or(0);
        let field = |offset: usize| header.checked_add(offset);
        let magic = field(MAGIC).and_then(|at| head.get(at..at.checked_add(2)?));
        if magic != Some(&PE32_PLUS.to_le_bytes()) {
            return Err("it is no PE file for 64 bits".into());
        }
        if pe.sections.iter().all(|(_, range)| range.is_empty()) {
            return Err("it has no content".into());
        }
        let signature = field(CERTIFICATES).and_then(|at| {
            let (start, len) = (u32_at(head, at)?, u32_at(head, at.checked_add(4)?)?);
            Some(u64::from(start).saturating_add(u64::from(len)))
        });
        let end = signature.unwrap_or(0).max(pe.end());
        if end > size {
            return Err(format!("it has {size} bytes, and its header speaks of {end}"));
        }
        Ok(Self { pe })
    }

    /// "x86_64", "aarch64"; `None` for other machines.
    pub(super) fn arch(&self) -> Option<&'static str> {
        match self.pe.machine {
            Pe::X86_64 => Some("x86_64"),
            Pe::ARM64 => Some("aarch64"),
            _ => None,
        }
    }

    /// Whether it has a section of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.pe.section(name).is_some()
    }

    /// The content of a section, in the bytes of the whole file.
    pub(super) fn section<'a>(&self, file: &'a [u8], name: &str) -> Option<&'a [u8]> {
        self.pe.content(file, name)
    }
}

fn u32_at(bytes: &[u8], start: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(start..start.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PE file for x86-64 with one section of 512 bytes behind a header of as many.
    fn file() -> Vec<u8> {
        let mut file = vec![0; 1024];
        file[..2].copy_from_slice(b"MZ");
        file[0x3C] = 0x40;
        file[0x40..0x46].copy_from_slice(b"PE\0\0\x64\x86");
        file[0x46] = 1;
        file[0x54] = 0xF0;
        file[0x58..0x5A].copy_from_slice(&PE32_PLUS.to_le_bytes());
        let section = 0x58 + 0xF0;
        file[section..section + 5].copy_from_slice(b".text");
        for (at, value) in [(8, 512_u32), (16, 512), (20, 512)] {
            file[section + at..section + at + 4].copy_from_slice(&value.to_le_bytes());
        }
        file
    }

    #[test]
    fn a_program_is_whole_if_its_sections_are_in_the_file() {
        let whole = file();
        let program = Program::parse(&whole, 1024).unwrap();
        assert_eq!(program.arch(), Some("x86_64"));
        assert!(program.has(".text") && !program.has(".data"));
        assert_eq!(program.section(&whole, ".text").map(<[u8]>::len), Some(512));
        for len in 0..1024 {
            assert!(Program::parse(&whole[..len], len as u64).is_err(), "{len}");
        }
    }

    #[test]
    fn what_is_no_program_is_refused_with_the_reason() {
        let mut signed = file();
        signed[0x40 + CERTIFICATES..][..4].copy_from_slice(&1024_u32.to_le_bytes());
        signed[0x40 + CERTIFICATES + 4] = 8;
        let why = Program::parse(&signed, 1024).unwrap_err();
        assert_eq!(why, "it has 1024 bytes, and its header speaks of 1032");
        let mut other = file();
        other[0x58] = 0x0A;
        assert_eq!(Program::parse(&other, 1024).unwrap_err(), "it is no PE file for 64 bits");
        let mut empty = file();
        empty[0x46] = 0;
        assert_eq!(Program::parse(&empty, 1024).unwrap_err(), "it has no content");
    }
}
