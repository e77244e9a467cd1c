//! PE files, as UEFI starts them: boot loaders, kernels with an EFI stub, unified kernel images ("PE Format",
//! Microsoft Learn, 2026).

pub(crate) mod authenticode;
pub(crate) mod imports;

use std::ops::Range;

/// The most sections that a file may have; the format's own limit for images that are loaded.
const SECTIONS: u16 = 96;

/// The header of a PE file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pe {
    /// For which processor it is.
    pub(crate) machine: u16,
    /// Names without the zeros that fill them up, and where in the file the content is.
    pub(crate) sections: Vec<(Vec<u8>, Range<u64>)>,
}

impl Pe {
    /// x86-64.
    pub(crate) const X86_64: u16 = 0x8664;
    /// 64-bit Arm.
    pub(crate) const ARM64: u16 = 0xaa64;

    /// Reads the header, of which `head` must hold all; `None` if there is none.
    pub(crate) fn parse(head: &[u8]) -> Option<Self> {
        let u16_at = |at: usize| Some(u16::from_le_bytes(head.get(at..at.checked_add(2)?)?.try_into().ok()?));
        let u32_at = |at: usize| Some(u32::from_le_bytes(head.get(at..at.checked_add(4)?)?.try_into().ok()?));
        let coff = usize::try_from(u32_at(0x3c)?).ok()?.checked_add(4)?;
        if !head.starts_with(b"MZ") || head.get(coff.checked_sub(4)?..coff)? != b"PE\0\0" {
            return None;
        }
        let count = u16_at(coff.checked_add(2)?).filter(|count| *count <= SECTIONS)?;
        let optional = usize::from(u16_at(coff.checked_add(16)?)?);
        let mut at = coff.checked_add(20)?.checked_add(optional)?;
        let mut sections = Vec::new();
        for _ in 0..count {
            let name = head.get(at..at.checked_add(8)?)?;
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
            let size = u32_at(at.checked_add(8)?)?;
            let (packed, start) = (u32_at(at.checked_add(16)?)?, u32_at(at.checked_add(20)?)?);
            // What a linker rounds up is no content; what is longer in memory is filled up with zeros.
            let len = if size == 0 { packed } else { packed.min(size) };
            let start = u64::from(start);
            sections.push((name, start..start.checked_add(u64::from(len))?));
            at = at.checked_add(40)?;
        }
        Some(Self { machine: u16_at(coff)?, sections })
    }

    /// The bytes of a header that signing changes: the checksum, and where the signatures are ("PE Format",
    /// "Attribute Certificate Table").
    pub(crate) fn signed_fields(head: &[u8]) -> Option<Vec<Range<u64>>> {
        const WIDE: [u8; 2] = [0x0b, 2];
        let offset = u32::from_le_bytes(head.get(0x3c..0x40)?.try_into().ok()?);
        let optional = usize::try_from(offset).ok()?.checked_add(24)?;
        if head.get(optional.checked_sub(24)?..)?.get(..4)? != b"PE\0\0" {
            return None;
        }
        let tables = if head.get(optional..optional.checked_add(2)?)? == WIDE { 112 } else { 96 };
        let fields = [(64, 4), (tables + 4 * 8, 8)];
        let range = |(at, len): (u64, u64)| {
            let start = (optional as u64).checked_add(at)?;
            Some(start..start.checked_add(len)?)
        };
        fields.into_iter().map(range).collect()
    }

    /// Where the content of this section is.
    pub(crate) fn section(&self, name: &str) -> Option<Range<u64>> {
        self.sections.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, range)| range.clone())
    }

    /// The content of this section, in the bytes of the whole file.
    pub(crate) fn content<'a>(&self, file: &'a [u8], name: &str) -> Option<&'a [u8]> {
        let range = self.section(name)?;
        file.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
    }

    /// How many bytes a file with this header has at least.
    pub(crate) fn end(&self) -> u64 {
        self.sections.iter().map(|(_, range)| range.end).max().unwrap_or(0)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    /// A PE file of these sections, 64 bytes of header, one section behind the other.
    pub(crate) fn image(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut file = vec![0_u8; 0x40];
        file[..2].copy_from_slice(b"MZ");
        file[0x3c] = 0x40;
        file.extend(b"PE\0\0\x64\x86");
        file.extend((sections.len() as u16).to_le_bytes());
        file.extend([0; 16]);
        let mut start = file.len() + 40 * sections.len();
        for (name, content) in sections {
            let mut header = [0; 40];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[8..12].copy_from_slice(&(content.len() as u32).to_le_bytes());
            header[16..20].copy_from_slice(&(content.len() as u32).to_le_bytes());
            header[20..24].copy_from_slice(&(start as u32).to_le_bytes());
            file.extend(header);
            start += content.len();
        }
        file.extend(sections.iter().flat_map(|(_, content)| *content));
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_found_and_say_how_long_the_file_is() {
        let file = testing::image(&[(".linux", b"kernel"), (".initrd", b"files")]);
        let pe = Pe::parse(&file).unwrap();
        assert_eq!((pe.machine, pe.end()), (Pe::X86_64, file.len() as u64));
        let range = pe.section(".initrd").unwrap();
        assert_eq!(&file[range.start as usize..range.end as usize], b"files");
        assert_eq!(pe.section(".init"), None);
    }

    #[test]
    fn a_header_that_is_cut_short_is_none() {
        let file = testing::image(&[(".linux", b"kernel")]);
        // what follows the place of the last section is not looked at
        let read = file.len() - 6 - 16;
        for len in 0..read {
            assert_eq!(Pe::parse(&file[..len]), None, "{len}");
        }
        assert!(Pe::parse(&file[..read]).is_some());
        let mut far = file.clone();
        far[0x3c..0x40].copy_from_slice(&[0xff; 4]);
        assert_eq!(Pe::parse(&far), None);
    }
}
