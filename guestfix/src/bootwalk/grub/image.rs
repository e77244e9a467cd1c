//! What is built into GRUB's own image: modules, the prefix, a first script, a memory disk.
//!
//! For UEFI they are the section `mods` of a PE file. For a BIOS they are behind the kernel of `core.img`,
//! which is packed with LZMA behind its first sectors. Where the fields are is told by the images that
//! `grub-mkimage` makes, and by the GRUB manual, 2.12, "Images", 2023.

use std::io::Read;

use libdisk::block::{Disk, Memory};
use libdisk::vfs::FileSystem;
use lzma_rust2::LzmaReader;
use object::{Object, ObjectSection};

const SECTOR: usize = 512;
/// What begins the list of modules.
const MAGIC: &[u8] = b"mimg";
/// The largest kernel with modules that is unpacked: GRUB's own limit is memory below 1 MiB for the packed
/// image, and 8 MiB for what comes of it.
const UNPACKED: usize = 8 << 20;
/// Where in the second sector of `core.img` the sizes are.
const PACKED_SIZE: usize = SECTOR + 0x08;
const UNPACKED_SIZE: usize = SECTOR + 0x0C;
const REDUNDANCY: usize = SECTOR + 0x10;
/// The dictionary that GRUB packs with.
const DICTIONARY: u32 = 1 << 16;
/// The largest memory disk that is looked into.
const MEMORY_DISK: usize = 16 << 20;
/// The script on a memory disk.
const SCRIPT: &str = "grub.cfg";

/// What is built into an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Embedded {
    /// "/EFI/debian", "(,msdos1)/boot/grub"; empty for none.
    pub(crate) prefix: String,
    /// The script that runs first.
    pub(crate) script: Option<String>,
    /// The names of the modules.
    pub(crate) modules: Vec<String>,
    /// The memory disk, if there is one.
    pub(crate) memdisk: Option<MemDisk>,
}

/// A memory disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MemDisk {
    /// The text of its grub.cfg, if it has one.
    Read(Option<String>),
    /// It is of a file system that is not read.
    Unread,
}

/// What is in the section `mods` of GRUB for UEFI; `None` if that is no list of modules.
pub(in crate::bootwalk) fn of_section(section: &[u8]) -> Option<Embedded> {
    let header = section.strip_prefix(MAGIC)?;
    // magic, padding, offset and size in 64 bits
    let (offset, size) = (u64_at(header, 4)?, u64_at(header, 12)?);
    listed(section.get(offset..size.min(section.len()))?)
}

/// What is in `core.img`; the error says why that cannot be told.
pub(crate) fn of_core(core: &[u8]) -> Result<Embedded, &'static str> {
    let kernel = unpacked(core).ok_or("its packed part cannot be unpacked")?;
    // the kernel compares with the magic, too
    let found = kernel.windows(MAGIC.len()).enumerate().filter(|(_, bytes)| *bytes == MAGIC);
    let mut lists = found.filter_map(|(at, _)| {
        let list = kernel.get(at..)?;
        // magic, offset and size in 32 bits
        let (offset, size) = (u32_at(list, 4)?, u32_at(list, 8)?);
        if offset == 12 { listed(list.get(offset..size)?) } else { None }
    });
    lists.next_back().ok_or("it holds no list of modules")
}

/// The kernel and its modules, unpacked.
fn unpacked(core: &[u8]) -> Option<Vec<u8>> {
    let (packed, size) = (u32_at(core, PACKED_SIZE)?, u32_at(core, UNPACKED_SIZE)?);
    let redundancy = u32_at(core, REDUNDANCY)?;
    if size == 0 || size > UNPACKED {
        return None;
    }
    // The packed part is the last, but for what repairs damaged sectors and fills up the last one.
    let end = core.len().checked_sub(redundancy)?;
    let slack = if redundancy > 0 { 0 } else { SECTOR };
    (0..=slack).find_map(|slack| {
        let start = end.checked_sub(slack)?.checked_sub(packed)?;
        let stream = core.get(start..)?;
        // a stream begins with a zero
        if stream.first() != Some(&0) { None } else { decoded(stream, size) }
    })
}

/// The content of an LZMA stream without a header, if it is one of this size that holds a list of modules.
fn decoded(stream: &[u8], size: usize) -> Option<Vec<u8>> {
    let reader = LzmaReader::new(stream, size as u64, 3, 0, 2, DICTIONARY, None).ok()?;
    let mut out = Vec::new();
    reader.take(size as u64).read_to_end(&mut out).ok()?;
    (out.len() == size && out.windows(MAGIC.len()).any(|bytes| bytes == MAGIC)).then_some(out)
}

/// The objects of a list: each a kind, its size with this header, and content.
fn listed(mut list: &[u8]) -> Option<Embedded> {
    let mut out = Embedded::default();
    while list.len() >= 8 {
        let (kind, size) = (u32_at(list, 0)?, u32_at(list, 4)?);
        let content = list.get(8..size)?;
        match kind {
            0 => out.modules.extend(module_name(content)),
            1 => out.memdisk = Some(memory_disk(content)),
            2 => out.script = Some(text(content)),
            3 => out.prefix = text(content),
            _ => {}
        }
        list = list.get(size..)?;
    }
    (out != Embedded::default()).then_some(out)
}

/// The name in a module, which is an object file of ELF.
fn module_name(module: &[u8]) -> Option<String> {
    let file = object::File::parse(module).ok()?;
    let section = file.section_by_name(".modname")?;
    Some(text(section.data().ok()?))
}

fn memory_disk(content: &[u8]) -> MemDisk {
    let script = || -> Option<Option<String>> {
        let content = content.get(..content.len().min(MEMORY_DISK))?;
        let disk = Disk::new(Memory::new(content.to_vec()));
        let fs = libdisk::open_filesystem(&disk).ok()??;
        let Ok(node) = fs.lookup(fs.root(), SCRIPT.as_bytes()) else { return Some(None) };
        Some(read(&*fs, node))
    };
    script().map_or(MemDisk::Unread, MemDisk::Read)
}

/// The text of a small file.
fn read(fs: &dyn FileSystem, node: libdisk::vfs::NodeId) -> Option<String> {
    let mut bytes = vec![0; 1 << 16];
    let len = fs.read_at(node, &mut bytes, 0).ok()?;
    Some(text(bytes.get(..len)?))
}

/// Bytes up to a zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes(field.try_into().ok()?)).ok()
}

fn u64_at(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..at.checked_add(8)?)?;
    usize::try_from(u64::from_le_bytes(field.try_into().ok()?)).ok()
}
