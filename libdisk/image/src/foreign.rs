//! Files that are no image that we open, by their magic numbers: named, so that none is taken for a raw disk.

use std::fmt;

use crate::{Ends, ova};

/// Something that is not opened.
#[derive(Debug)]
pub(crate) struct Foreign {
    /// What addresses of other programs call it, if they do: "qed", as in `qed:disk.img`.
    scheme: Option<&'static str>,
    /// "a VMDK image".
    pub(crate) name: &'static str,
    /// Byte offset and magic number: one of them is enough. [`FOOTER`] stands for the last 512 bytes.
    marks: &'static [(usize, &'static [u8])],
    /// What its name ends with, in small letters, where that says what it is.
    endings: &'static [&'static str],
    /// What to do with it.
    advice: Advice,
}

/// In place of an offset: the mark is at the start of the last 512 bytes.
const FOOTER: usize = usize::MAX;

/// How to come to an image that is opened.
#[derive(Debug)]
enum Advice {
    /// `qemu-img convert` reads it.
    Convert,
    /// This program reads it.
    With(&'static str),
    /// It has been packed with this program.
    Unpack(&'static str),
    /// It never was a disk.
    Other,
}

use Advice::{Convert, Other, Unpack, With};

const fn image(
    scheme: &'static str,
    name: &'static str,
    marks: &'static [(usize, &'static [u8])],
    advice: Advice,
) -> Foreign {
    Foreign { scheme: Some(scheme), name, marks, endings: &[], advice }
}

const fn file(name: &'static str, marks: &'static [(usize, &'static [u8])], advice: Advice) -> Foreign {
    Foreign { scheme: None, name, marks, endings: &[], advice }
}

impl Foreign {
    const fn ending(self, endings: &'static [&'static str]) -> Self {
        Self { endings, ..self }
    }
}

/// Beside the table, as it is known by its sum.
static OLD_TAR: Foreign = file("a tar archive of an old form", &[], Unpack("tar -x"));

/// Everything that is known. References: `block/` of QEMU, and the list of `file`.
static FOREIGN: [Foreign; 45] = [
    // Disks
    file("a VMDK image (COWD)", &[(0, b"COWD")], Convert),
    file("a VMDK image (seSparse)", &[(0, &[0xbe, 0xba, 0xfe, 0xca, 0, 0, 0, 0])], Convert),
    image("parallels", "a Parallels image", &[(0, b"WithoutFreeSpace"), (0, b"WithouFreSpacExt")], Convert),
    image("qed", "a QED image", &[(0, b"QED\0")], Convert),
    image("bochs", "a Bochs image", &[(0, b"Bochs Virtual HD Image")], Convert),
    image("cloop", "a cloop image", &[(0, b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop")], Convert),
    image("dmg", "an Apple disk image (DMG)", &[(FOOTER, b"koly")], Convert),
    file("an encrypted Apple disk image", &[(0, b"encrcdsa"), (FOOTER, b"cdsaencr")], With("hdiutil")),
    file("an Apple sparse image", &[(0, b"sprs"), (0, b"shdw")], With("hdiutil convert")),
    file(
        "an EnCase image (EWF)",
        &[
            (0, b"EVF\x09\x0d\x0a\xff\0"),
            (0, b"LVF\x09\x0d\x0a\xff\0"),
            (0, b"EVF2\x0d\x0a\x81\0"),
            (0, b"LEF2\x0d\x0a\x81\0"),
        ],
        With("ewfexport"),
    ),
    file("an Advanced Forensic Format image (AFF)", &[(0, b"AFF10\r\n\0")], With("affconvert")),
    file("an Android sparse image", &[(0, &[0x3a, 0xff, 0x26, 0xed])], With("simg2img")),
    file("a Proxmox backup (VMA)", &[(0, b"VMA\0")], With("vma extract")),
    file("a Ceph RBD export", &[(0, b"rbd image v2"), (0, b"rbd diff v")], With("rbd import")),
    file("a Partclone image", &[(0, b"partclone-image")], With("partclone.restore")),
    file("a Partimage image", &[(0, b"PaRtImAgE-VoLuMe")], With("partimage restore")),
    file("a Windows image (WIM)", &[(0, b"MSWIM\0\0\0")], With("wimapply")),
    // Compressed
    file("compressed with compress", &[(0, &[0x1f, 0x9d])], Unpack("gunzip")).ending(&["z"]),
    file("compressed with zstd in pieces", &[(0, &[0x50, 0x2a, 0x4d, 0x18])], Unpack("unzstd")),
    file(
        "compressed with lz4",
        &[(0, &[0x04, 0x22, 0x4d, 0x18]), (0, &[0x02, 0x21, 0x4c, 0x18])],
        Unpack("unlz4"),
    )
    .ending(&["lz4"]),
    file("compressed with lzip", &[(0, b"LZIP\x01")], Unpack("lzip -d")).ending(&["lz"]),
    file("compressed with lzop", &[(0, b"\x89LZO\0\r\n\x1a\n")], Unpack("lzop -d")).ending(&["lzo"]),
    file("compressed with lzma", &[(0, &[0x5d, 0, 0])], Unpack("unlzma")).ending(&["lzma"]),
    file("compressed with lrzip", &[(0, b"LRZI")], Unpack("lrunzip")).ending(&["lrz"]),
    file(
        "compressed with zlib",
        &[(0, b"\x78\x01"), (0, b"\x78\x9c"), (0, b"\x78\xda")],
        Unpack("zlib-flate -uncompress"),
    )
    .ending(&["zlib"]),
    file("an Apple archive", &[(0, b"pbz"), (0, b"AA01")], Unpack("aa extract")).ending(&["aar"]),
    file("compressed with snappy", &[(0, b"\xff\x06\0\0sNaPpY")], Unpack("snunzip")).ending(&["sz"]),
    file("compressed with brotli", &[], Unpack("brotli -d")).ending(&["br"]),
    // Archives
    file("a compressed tar archive", &[], Unpack("tar -xz")).ending(&["tgz"]),
    file("a zip archive", &[(0, b"PK\x03\x04"), (0, b"PK\x05\x06"), (0, b"PK\x07\x08")], Unpack("unzip"))
        .ending(&["zip"]),
    file("a 7-Zip archive", &[(0, b"7z\xbc\xaf\x27\x1c")], Unpack("7z x")).ending(&["7z"]),
    file("a RAR archive", &[(0, b"Rar!\x1a\x07")], Unpack("unrar x")).ending(&["rar"]),
    file("a Microsoft cabinet", &[(0, b"MSCF\0\0\0\0")], Unpack("cabextract")),
    file("a cpio archive", &[(0, b"070701"), (0, b"070702"), (0, b"070707")], Unpack("cpio -i")),
    file("an ar archive or a Debian package", &[(0, b"!<arch>\n")], Unpack("ar x")),
    file("an RPM package", &[(0, &[0xed, 0xab, 0xee, 0xdb])], Other),
    // What is taken for a disk by mistake
    file("an undo file of refloat", &[(0, b"refloat undo 1\n")], Other),
    file("an XML document (an OVF descriptor, perhaps)", &[(0, b"<?xml"), (0, b"\xef\xbb\xbf<?xml")], Other),
    file(
        "an HTML page (a failed download, perhaps)",
        &[(0, b"<!DOCTYPE"), (0, b"<!doctype"), (0, b"<html")],
        Other,
    ),
    file("a JSON document (a plan, perhaps)", &[(0, b"{\n"), (0, b"{\"")], Other),
    file("a PDF document", &[(0, b"%PDF-")], Other),
    file("a Linux program (ELF)", &[(0, b"\x7fELF")], Other),
    file("a shell script", &[(0, b"#!/bin/"), (0, b"#!/usr/")], Other),
    file("a virtual machine's saved memory (ELF or QEMU)", &[(0, b"QEVM\0\0\0\x03")], Other),
    file("a Git LFS pointer, not the file itself", &[(0, b"version https://git-lfs")], With("git lfs pull")),
];

/// What a file whose name ends so is likely to be. Some of those have no mark.
pub(crate) fn promised(ending: &str) -> Option<&'static Foreign> {
    FOREIGN.iter().find(|foreign| foreign.endings.contains(&ending))
}

/// What a file with these ends is, if it is known and not opened.
pub(crate) fn find(ends: &Ends) -> Option<&'static Foreign> {
    let has = |(offset, magic): &(usize, &[u8])| match *offset {
        FOOTER => ends.has_footer(magic),
        offset => ends.has(offset, magic),
    };
    let by_mark = FOREIGN.iter().find(|foreign| foreign.marks.iter().any(has));
    by_mark.or_else(|| (is_old_tar(ends.head()) && !ova::is_tar(ends)).then_some(&OLD_TAR))
}

/// Whether an image format that is not opened is called so.
pub fn is_foreign(name: &str) -> bool {
    FOREIGN.iter().any(|foreign| foreign.scheme == Some(name))
}

/// Archives of the time before `ustar` have no magic number, but the sum of their header.
fn is_old_tar(head: &[u8]) -> bool {
    let Some(header) = head.get(..512) else { return false };
    let field = header.get(148..156).unwrap_or_default();
    let digits = field.trim_ascii().split(|byte| *byte == 0).next().unwrap_or_default();
    let told = str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits.trim(), 8).ok());
    let of = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    // Its own field counts as blanks.
    let sum = of(header).saturating_sub(of(field)).saturating_add(8 * 32);
    header.first() != Some(&0) && told == Some(sum)
}

/// Its name, and what to do first.
impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.advice {
            Convert => f.write_str("; convert it first with qemu-img convert -O qcow2"),
            With(program) => write!(f, "; write a raw image of it first with {program}"),
            Unpack(program) => write!(f, "; unpack it first with {program}"),
            Other => f.write_str(", not a disk"),
        }
    }
}

#[cfg(test)]
mod tests {
    use block::{Disk, ErrorKind, Memory};

    use super::*;
    use crate::Format;

    #[test]
    fn everything_is_refused_by_name() {
        for foreign in &FOREIGN {
            for (offset, magic) in foreign.marks {
                let mut bytes = vec![0; 4096];
                let at = if *offset == FOOTER { 4096 - 512 } else { *offset };
                bytes[at..at + magic.len()].copy_from_slice(magic);
                let error = Format::probe(&Disk::new(Memory::new(bytes))).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                assert!(error.to_string().contains(foreign.name), "{error}");
            }
        }
    }

    #[test]
    fn what_is_opened_is_not_refused() {
        for format in crate::FORMATS {
            assert!(!is_foreign(format.name) && !format.qemu_name.is_some_and(is_foreign));
        }
    }
}
