//! The file of a Linux kernel: what its own header says of it (Linux, `Documentation/arch/x86/boot.rst`,
//! `Documentation/arch/arm64/booting.rst`, `drivers/firmware/efi/libstub/zboot-header.S`).

use std::ops::Range;

use crate::pe::Pe;

/// How much of the start of a file is read: the version of a bzImage stands in the first 64 KiB and a bit, for
/// its place is a number of 16 bits.
pub(crate) const HEAD: usize = 0x10000 + 0x400;

/// The protocol from which on the size of the kernel is a number of 32 bits.
const LONG_SIZE: u16 = 0x204;
/// The protocol from which on the compressed kernel has a place.
const PAYLOAD: u16 = 0x208;
/// The protocol from which on a kernel says whether it is one of 64 bits.
const XLOADFLAGS: u16 = 0x20c;

/// What the compressed kernel in a bzImage begins with, by format.
const PACKED: &[&[u8]] = &[
    b"\x1f\x8b",
    b"BZh",
    b"\x5d\0\0",
    b"\xfd7zXZ\0",
    b"\x89LZO\0",
    b"\x02\x21\x4c\x18",
    b"\x28\xb5\x2f\xfd",
    b"\x7fELF",
];

/// What the header of a kernel says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KernelImage {
    /// Its format, for people.
    pub(crate) format: &'static str,
    /// The machine that it is for, where it says so, as [`Os::arch`](crate::facts::Os) does.
    pub(crate) arch: Option<&'static str>,
    /// "6.1.0-50-amd64", where it says so.
    pub(crate) release: Option<String>,
    /// How many bytes the file has at least.
    pub(crate) needs: u64,
    /// UEFI itself can start it.
    pub(crate) efi: bool,
    /// What can be said of the body of a bzImage.
    pub(crate) body: Option<Body>,
}

/// Where things are in a bzImage, in bytes of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    /// Where the part ends that the build's checksum is over; the checksum is its last four bytes.
    pub(crate) end: u64,
    /// The fields of the header that signing changes.
    pub(crate) signed: Vec<Range<u64>>,
    /// The compressed kernel.
    pub(crate) payload: Range<u64>,
}

impl KernelImage {
    /// Reads the header at the start of a kernel, of which [`HEAD`] bytes are enough.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn parse(head: &[u8]) -> Result<Self, String> {
        let pe = Pe::parse(head);
        if head.get(0x202..0x206) == Some(b"HdrS") {
            return bz_image(head, pe.as_ref()).ok_or("its header is cut short")?;
        }
        if head.starts_with(b"MZ") && head.get(4..8) == Some(b"zimg") {
            let pe = pe.ok_or("an EFI image whose header is cut short")?;
            let payload = u64_of(head, 8).zip(u64_of(head, 12)).ok_or("its header is cut short")?;
            let needs = payload.0.saturating_add(payload.1).max(pe.end());
            let arch = arch_of(&pe);
            return Ok(Self {
                format: "a kernel in an EFI image",
                arch,
                release: None,
                needs,
                efi: true,
                body: None,
            });
        }
        if head.get(56..60) == Some(b"ARM\x64") {
            let (needs, efi) = (pe.as_ref().map_or(64, Pe::end), pe.is_some());
            let format = "a kernel of 64-bit Arm";
            return Ok(Self { format, arch: Some("aarch64"), release: None, needs, efi, body: None });
        }
        if let Some(pe) = pe {
            return match pe.section(".linux") {
                Some(_) => Ok(Self {
                    format: "a unified kernel image",
                    arch: arch_of(&pe),
                    release: None,
                    needs: pe.end(),
                    efi: true,
                    body: None,
                }),
                None => Err("an EFI program that is no kernel".into()),
            };
        }
        if head.iter().all(|byte| *byte == 0) {
            return Err("nothing but zeros".into());
        }
        Err("no kernel that a boot loader starts".into())
    }
}

/// The header of the x86 boot protocol; `None` where it is cut short.
fn bz_image(head: &[u8], pe: Option<&Pe>) -> Option<Result<KernelImage, String>> {
    let protocol = u16_at(head, 0x206)?;
    let setup = match *head.get(0x1f1)? {
        0 => 4,
        sectors => u64::from(sectors),
    };
    let start = setup.checked_add(1)?.checked_mul(512)?;
    let paragraphs =
        if protocol >= LONG_SIZE { u64_of(head, 0x1f4)? } else { u64::from(u16_at(head, 0x1f4)?) };
    if u16_at(head, 0x1fe)? != 0xaa55 {
        return Some(Err("a bzImage without its boot signature".into()));
    }
    if paragraphs == 0 {
        return Some(Err("a bzImage whose header says that no kernel follows".into()));
    }
    let end = start.checked_add(paragraphs.checked_mul(16)?)?;
    let mut needs = end.max(pe.map_or(0, Pe::end));
    let mut body = None;
    if protocol >= PAYLOAD {
        let (offset, len) = (u64_of(head, 0x248)?, u64_of(head, 0x24c)?);
        let payload = start.checked_add(offset)?;
        let packed = payload..payload.checked_add(len)?;
        needs = needs.max(packed.end);
        let signed = Pe::signed_fields(head).unwrap_or_default();
        body = (len > 0).then_some(Body { end, signed, payload: packed });
        let begins = usize::try_from(payload).ok().and_then(|at| head.get(at..at.checked_add(8)?));
        if len > 0 && begins.is_some_and(|begins| !PACKED.iter().any(|magic| begins.starts_with(magic))) {
            return Some(Err("a bzImage whose compressed kernel is damaged".into()));
        }
    }
    let arch = (protocol >= XLOADFLAGS)
        .then(|| u16_at(head, 0x236))
        .flatten()
        .map(|flags| if flags & 1 == 1 { "x86_64" } else { "i386" });
    let (release, efi) = (release(head), pe.is_some());
    Some(Ok(KernelImage { format: "a bzImage", arch, release, needs, efi, body }))
}

/// The first word of the version that the header of an image for x86 leads to (`kernel_version`).
fn release(image: &[u8]) -> Option<String> {
    let offset = u16_at(image, 0x20e).filter(|offset| *offset != 0)?;
    let text = image.get(usize::from(offset).checked_add(0x200)?..)?;
    let end = text.iter().take(256).position(|byte| matches!(byte, 0 | b' '))?;
    let release = str::from_utf8(text.get(..end)?).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+~".contains(c);
    (!release.is_empty() && release.chars().all(plain)).then(|| release.to_owned())
}

fn arch_of(pe: &Pe) -> Option<&'static str> {
    match pe.machine {
        Pe::X86_64 => Some("x86_64"),
        Pe::ARM64 => Some("aarch64"),
        _ => None,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// A number of 32 bits.
fn u64_of(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?)))
}

#[cfg(test)]
pub(crate) mod testing {
    /// A bzImage of this release, with a compressed kernel of a few KiB.
    pub(crate) fn bz_image(release: &str) -> Vec<u8> {
        let mut image = vec![0_u8; 5 * 512 + 4096];
        let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x1f1, &[4]);
        put(0x1f4, &256_u32.to_le_bytes());
        put(0x1fe, &[0x55, 0xaa]);
        put(0x202, b"HdrS");
        put(0x206, &0x20f_u16.to_le_bytes());
        put(0x20e, &0x80_u16.to_le_bytes());
        put(0x236, &1_u16.to_le_bytes());
        put(0x248, &0x10_u32.to_le_bytes());
        put(0x24c, &0xf00_u32.to_le_bytes());
        put(0x280, format!("{release} (builder) #1\0").as_bytes());
        put(5 * 512 + 0x10, b"\x1f\x8b\x08");
        // The build's checksum is without the last inversion.
        let end = image.len() - 4;
        let sum = !crc32fast::hash(&image[..end]);
        image[end..].copy_from_slice(&sum.to_le_bytes());
        image
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bz_image_says_its_release_its_machine_and_how_long_it_is() {
        let image = testing::bz_image("5.14.0-427.el9.x86_64");
        let found = KernelImage::parse(&image).unwrap();
        assert_eq!(found.release.as_deref(), Some("5.14.0-427.el9.x86_64"));
        assert_eq!((found.arch, found.needs, found.efi), (Some("x86_64"), image.len() as u64, false));
        let changed = |at: usize, byte: u8| {
            let mut image = image.clone();
            image[at] = byte;
            KernelImage::parse(&image)
        };
        assert_eq!(changed(0x236, 0).unwrap().arch, Some("i386"));
        assert_eq!(changed(0x280, b'/').unwrap().release, None);
        assert_eq!(changed(0x20f, 0xff).unwrap().release, None);
        assert_eq!(changed(0x24e, 1).unwrap().needs, 0xa10 + 0x10f00);
        for (at, byte) in [(0x1ff, 0), (0x1f5, 0), (0xa11, 0)] {
            assert!(changed(at, byte).is_err(), "{at:#x}");
        }
        for len in [0, 0x202, 0x206, 0x240] {
            assert!(KernelImage::parse(&image[..len]).is_err(), "{len:#x}");
        }
    }

    #[test]
    fn other_kernels_are_known_and_what_is_none_is_not() {
        let mut arm = vec![0_u8; 64];
        arm[56..60].copy_from_slice(b"ARM\x64");
        assert_eq!(KernelImage::parse(&arm).unwrap().arch, Some("aarch64"));
        let unified = crate::pe::testing::image(&[(".linux", b"kernel")]);
        assert_eq!(KernelImage::parse(&unified).unwrap().needs, unified.len() as u64);
        let program = crate::pe::testing::image(&[(".text", b"code")]);
        for none in [&program[..], b"kernel", b"#!/bin/sh\n", &[0; 4096], b""] {
            assert!(KernelImage::parse(none).is_err());
        }
    }
}
