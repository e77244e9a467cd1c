//! ELF programs and libraries, as far as it takes to know what else they need to start (System V ABI; the
//! tables that `ld.so` reads).

use libdisk::vfs::FileType;

use crate::{Result, View};

/// More program headers than any real program has.
const HEADERS: usize = 128;
/// The largest dynamic table, in bytes.
const DYNAMIC: usize = 64 << 10;
/// The most libraries that one file needs by itself.
const LIBRARIES: usize = 512;
/// The most directories in which it wants them looked for.
const RUN_PATHS: usize = 64;
/// The longest name of a library, or list of directories.
const NAME: usize = 4096;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;

const SHT_PROGBITS: u64 = 1;
/// It is code.
const SHF_EXECINSTR: u64 = 4;
const PAGE: u64 = 4096;
/// As much code is read at once.
const CODE: usize = 1 << 20;
/// More sections than any real program has.
const SECTIONS: usize = 1024;

const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

/// A program or a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elf {
    /// The machine it is for, as [`Os::arch`](crate::facts::Os) says it; `None` for one of no interest.
    pub(crate) arch: Option<&'static str>,
    /// The program that loads it and its libraries: `/lib64/ld-linux-x86-64.so.2`.
    pub(crate) interpreter: Option<String>,
    /// What it calls itself as a library.
    pub(crate) name: Option<String>,
    /// The names of the libraries that it needs.
    pub(crate) needed: Vec<String>,
    /// Directories in which it wants them looked for, `$ORIGIN` not filled in.
    pub(crate) run_paths: Vec<String>,
}

/// A part of the file that is loaded.
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

impl Elf {
    /// Reads the headers of a file, links followed; or says why it cannot be started. Its content is not
    /// read.
    ///
    /// # Errors
    /// If the guest cannot be read.
    pub(crate) fn read(view: &dyn View, path: &str) -> Result<std::result::Result<Self, String>> {
        Self::open(view, path, true)
    }

    /// The same without what it needs: of a file in its place, of the right length, the start is enough.
    ///
    /// # Errors
    /// If the guest cannot be read.
    pub(crate) fn head(view: &dyn View, path: &str) -> Result<std::result::Result<Self, String>> {
        Self::open(view, path, false)
    }

    fn open(view: &dyn View, path: &str, needs: bool) -> Result<std::result::Result<Self, String>> {
        let Some(metadata) = view.stat(path)?.filter(|metadata| metadata.file_type == FileType::Regular)
        else {
            return Ok(Err("is no regular file".into()));
        };
        let file = File { view, path, size: metadata.size };
        file.elf(needs)
    }
}

/// Where the first page of zeros is in the code of a program: no compiler leaves one. The sections say what is
/// code; a snapshot's bytes are paid for, so of one nothing is looked at.
///
/// # Errors
/// If the guest cannot be read.
pub(crate) fn blank_code(view: &dyn View, path: &str) -> Result<Option<u64>> {
    if view.machine().remote {
        return Ok(None);
    }
    let size = view.stat(path)?.map_or(0, |metadata| metadata.size);
    let file = File { view, path, size };
    let Some(header) = Header::parse(&file.range(0, 64)?) else { return Ok(None) };
    let table = file.range(header.sections, header.section_entry.saturating_mul(header.section_count))?;
    for entry in table.chunks_exact(header.section_entry.max(1)) {
        let long = header.word == 8;
        let field = |short: usize, wide: usize, len| word_of(entry, if long { wide } else { short }, len);
        if field(4, 4, 4) != SHT_PROGBITS || field(8, 8, header.word) & SHF_EXECINSTR == 0 {
            continue;
        }
        let (start, len) = (field(16, 24, header.word), field(20, 32, header.word));
        let end = start.saturating_add(len).min(size);
        let mut at = start.next_multiple_of(PAGE);
        while at.saturating_add(PAGE) <= end {
            let part = file.range(at, CODE.min(usize::try_from(end.saturating_sub(at)).unwrap_or(CODE)))?;
            let pages = part.chunks_exact(PAGE as usize);
            let count = pages.len() as u64;
            if let Some(page) = pages.into_iter().position(|page| page.iter().all(|byte| *byte == 0)) {
                return Ok(Some(at.saturating_add(PAGE.saturating_mul(page as u64))));
            }
            if count == 0 {
                break;
            }
            at = at.saturating_add(PAGE.saturating_mul(count));
        }
    }
    Ok(None)
}

struct File<'a> {
    view: &'a dyn View,
    path: &'a str,
    size: u64,
}

impl File<'_> {
    fn elf(&self, with_needs: bool) -> Result<std::result::Result<Elf, String>> {
        let head = self.range(0, 4096)?;
        let Some(header) = Header::parse(&head) else {
            let what = if head.is_empty() { "is empty" } else { "is no program: it has no ELF header" };
            return Ok(Err(what.into()));
        };
        let table = match head.get(header.table()) {
            Some(table) => table.to_vec(),
            None => self.range(header.offset, header.table().len())?,
        };
        let segments: Vec<Segment> = (0..header.count)
            .filter_map(|index| header.segment(table.get(index * header.entry..)?))
            .collect();
        let loaded = segments.iter().filter(|segment| segment.kind == PT_LOAD);
        let ends = loaded.clone().map(|segment| segment.offset.saturating_add(segment.size));
        let needs = ends.chain([header.sections_end]).max().unwrap_or(0);
        if segments.len() < header.count || needs > self.size {
            return Ok(Err(format!(
                "is cut short: it has {} bytes of the {} that its header speaks of",
                self.size,
                needs.max(header.offset)
            )));
        }
        if loaded.count() == 0 {
            return Ok(Err("has nothing to load".into()));
        }
        let mut elf = Elf {
            arch: header.arch(),
            interpreter: None,
            name: None,
            needed: Vec::new(),
            run_paths: Vec::new(),
        };
        for segment in &segments {
            match segment.kind {
                PT_INTERP => elf.interpreter = Some(self.text(segment.offset)?),
                PT_DYNAMIC if with_needs => self.dynamic(&header, &segments, segment, &mut elf)?,
                _ => {}
            }
        }
        Ok(Ok(elf))
    }

    /// What the dynamic table says.
    fn dynamic(&self, header: &Header, segments: &[Segment], table: &Segment, elf: &mut Elf) -> Result<()> {
        let len = usize::try_from(table.size).unwrap_or(DYNAMIC).min(DYNAMIC);
        let bytes = self.range(table.offset, len)?;
        let entries: Vec<(u64, u64)> = bytes
            .chunks_exact(header.word * 2)
            .map(|entry| (word_of(entry, 0, header.word), word_of(entry, header.word, header.word)))
            .take_while(|(tag, _)| *tag != 0)
            .collect();
        let Some((_, strings)) = entries.iter().find(|(tag, _)| *tag == DT_STRTAB) else { return Ok(()) };
        let holds = |segment: &&Segment| {
            let into = strings.checked_sub(segment.address);
            segment.kind == PT_LOAD && into.is_some_and(|into| into < segment.size)
        };
        let Some(holder) = segments.iter().find(holds) else { return Ok(()) };
        let start = strings.saturating_sub(holder.address).saturating_add(holder.offset);
        for (tag, value) in entries {
            let text = || self.text(start.saturating_add(value));
            match tag {
                DT_NEEDED if elf.needed.len() < LIBRARIES => elf.needed.push(text()?),
                DT_SONAME => elf.name = Some(text()?),
                DT_RPATH | DT_RUNPATH => {
                    elf.run_paths.extend(text()?.split(':').take(RUN_PATHS).map(str::to_owned));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn range(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        Ok(self.view.range(self.path, offset, len)?.unwrap_or_default())
    }

    /// The text up to a zero.
    fn text(&self, offset: u64) -> Result<String> {
        let bytes = self.range(offset, NAME)?;
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(crate::text::bytes::decode(text))
    }
}

/// The fixed part at the start of a file.
struct Header {
    machine: u16,
    /// The size of an address in bytes.
    word: usize,
    /// Of the program headers.
    offset: u64,
    entry: usize,
    count: usize,
    /// Of the section headers; 0 where there are none.
    sections: u64,
    section_entry: usize,
    section_count: usize,
    sections_end: u64,
}

impl Header {
    /// One of 32 or 64 bits, little-endian; `None` for anything else.
    fn parse(head: &[u8]) -> Option<Self> {
        let word = match head.get(..6)? {
            [0x7f, b'E', b'L', b'F', 1, 1] => 4,
            [0x7f, b'E', b'L', b'F', 2, 1] => 8,
            _ => return None,
        };
        let long = word == 8;
        let at = |short: usize, wide: usize| if long { wide } else { short };
        head.get(..at(52, 64))?;
        let half = |short, wide| word_of(head, at(short, wide), 2);
        let sections = word_of(head, at(32, 40), word);
        let (section_entry, section_count) = (half(46, 58), half(48, 60));
        let size = section_entry.checked_mul(section_count)?;
        Some(Self {
            machine: u16::try_from(word_of(head, 18, 2)).ok()?,
            word,
            offset: word_of(head, at(28, 32), word),
            entry: usize::try_from(half(42, 54)).ok()?,
            count: usize::try_from(half(44, 56)).ok()?.min(HEADERS),
            sections,
            section_entry: usize::try_from(section_entry).ok()?,
            section_count: usize::try_from(section_count).ok()?.min(SECTIONS),
            sections_end: if sections == 0 { 0 } else { sections.checked_add(size)? },
        })
    }

    /// Where the program headers are.
    fn table(&self) -> std::ops::Range<usize> {
        let start = usize::try_from(self.offset).unwrap_or(usize::MAX);
        start..start.saturating_add(self.entry * self.count)
    }

    fn segment(&self, bytes: &[u8]) -> Option<Segment> {
        let long = self.word == 8;
        let at = |short: usize, wide: usize| if long { wide } else { short };
        bytes.get(..at(32, 56))?;
        let field = |short, wide| word_of(bytes, at(short, wide), self.word);
        Some(Segment {
            kind: u32::try_from(word_of(bytes, 0, 4)).ok()?,
            offset: field(4, 8),
            address: field(8, 16),
            size: field(16, 32),
        })
    }

    fn arch(&self) -> Option<&'static str> {
        match self.machine {
            0x3e => Some("x86_64"),
            0xb7 => Some("aarch64"),
            0x03 => Some("i386"),
            _ => None,
        }
    }
}

/// A number of `len` bytes; 0 where there are not as many.
fn word_of(bytes: &[u8], at: usize, len: usize) -> u64 {
    let end = at.checked_add(len);
    let digits = end.and_then(|end| bytes.get(at..end)).unwrap_or_default();
    digits.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
pub(crate) mod testing {
    /// A program of x86-64 with an interpreter and these libraries.
    pub(crate) fn program(interpreter: &str, needed: &[&str], run_path: &str) -> Vec<u8> {
        file(Some(interpreter), None, needed, run_path)
    }

    /// A library of x86-64.
    pub(crate) fn library(needed: &[&str]) -> Vec<u8> {
        file(None, None, needed, "")
    }

    /// One that calls itself something.
    pub(crate) fn library_named(name: &str, needed: &[&str]) -> Vec<u8> {
        file(None, Some(name), needed, "")
    }

    /// Headers, then strings, then the dynamic table; all of it is loaded at an address of its own.
    fn file(interpreter: Option<&str>, name: Option<&str>, needed: &[&str], run_path: &str) -> Vec<u8> {
        const ADDRESS: u64 = 0x40_0000;
        const STRINGS: u64 = 64 + 3 * 56;
        let mut strings = vec![0_u8];
        let mut put = |text: &str| {
            let at = strings.len() as u64;
            strings.extend(text.bytes().chain([0]));
            at
        };
        let interpreter = interpreter.map(&mut put);
        let mut dynamic: Vec<(u64, u64)> = needed.iter().map(|name| (super::DT_NEEDED, put(name))).collect();
        dynamic.extend(name.map(|name| (super::DT_SONAME, put(name))));
        dynamic.extend((!run_path.is_empty()).then(|| (super::DT_RUNPATH, put(run_path))));
        dynamic.extend([(super::DT_STRTAB, ADDRESS + STRINGS), (0, 0)]);
        let table = STRINGS + strings.len() as u64;
        let size = table + 16 * dynamic.len() as u64;
        let mut out = vec![0_u8; 64];
        out[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
        out[0x10..0x14].copy_from_slice(&[3, 0, 0x3e, 0]);
        out[0x20] = 64;
        out[0x36] = 56;
        out[0x38] = 3;
        let mut segment = |kind: u32, offset: u64, size: u64| {
            out.extend(kind.to_le_bytes());
            out.extend([0; 4]);
            for number in [offset, ADDRESS + offset, ADDRESS + offset, size, size, 1] {
                out.extend(number.to_le_bytes());
            }
        };
        segment(super::PT_LOAD, 0, size);
        segment(super::PT_DYNAMIC, table, 16 * dynamic.len() as u64);
        match interpreter {
            Some(at) => segment(super::PT_INTERP, STRINGS + at, 8),
            None => segment(0, 0, 0),
        }
        out.extend(strings);
        out.extend(
            dynamic.iter().flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()]).flatten(),
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    fn read(file: &[u8]) -> std::result::Result<Elf, String> {
        Bench::debian().file("/x", file).guest(|guest| Elf::read(guest.view, "/x").unwrap())
    }

    #[test]
    fn a_program_says_what_it_needs() {
        let file =
            testing::program("/lib/ld.so", &["libc.so.6", "libsystemd.so"], "/usr/lib/systemd:$ORIGIN");
        let elf = read(&file).unwrap();
        assert_eq!(elf.arch, Some("x86_64"));
        assert_eq!(elf.interpreter.as_deref(), Some("/lib/ld.so"));
        assert_eq!(elf.needed, ["libc.so.6", "libsystemd.so"]);
        assert_eq!(elf.run_paths, ["/usr/lib/systemd", "$ORIGIN"]);
        assert_eq!(read(&testing::library(&[])).unwrap().interpreter, None);
    }

    #[test]
    fn a_file_that_is_cut_short_or_none_says_so() {
        let file = testing::program("/lib/ld.so", &["libc.so.6"], "");
        for len in 0..file.len() {
            assert!(read(&file[..len]).is_err(), "{len}");
        }
        assert_eq!(read(b""), Err("is empty".into()));
        assert_eq!(read(&[0; 4096]), Err("is no program: it has no ELF header".into()));
        let mut empty = file.clone();
        empty[0x38] = 0;
        assert_eq!(read(&empty), Err("has nothing to load".into()));
    }

    #[test]
    fn a_page_of_zeros_in_the_code_is_seen() {
        let Ok(mut bytes) = std::fs::read("/bin/sh") else { return };
        let blank = |bytes: &[u8]| {
            Bench::debian().program("/x", bytes).guest(|guest| blank_code(guest.view, "/x").unwrap())
        };
        assert_eq!(blank(&bytes), None);
        // the entry is in the code, and so is the page behind it
        let entry = word_of(&bytes, 24, 8);
        let page = usize::try_from(entry.next_multiple_of(PAGE)).unwrap();
        bytes[page..page + 4096].fill(0);
        assert_eq!(blank(&bytes), Some(page as u64));
        assert_eq!(blank(b""), None);
        assert_eq!(blank(&bytes[..page]), None);
    }

    /// The real programs of this machine.
    #[test]
    fn real_programs_are_read() {
        let Ok(bytes) = std::fs::read("/bin/sh") else { return };
        let elf = read(&bytes).unwrap();
        assert!(elf.needed.iter().any(|name| name.starts_with("libc.")), "{elf:?}");
        assert!(read(&bytes[..bytes.len() - 100]).is_err());
    }
}
