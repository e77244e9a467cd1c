//! What a PE file is linked with: the names in its import directory ("PE Format", "The .idata Section"), and in
//! that of what it loads later ("Delay-Load Import Tables").

/// Where in a program for 64 bits the number of its directories is, behind the start of the optional header.
const DIRECTORIES: usize = 108;
/// The most files that one is linked with; real ones have a few dozen.
const MOST: usize = 512;
/// The longest name of a file.
const LONGEST: usize = 255;

/// A directory of files that a program is linked with.
#[derive(Debug, Clone, Copy)]
struct Directory {
    /// Which of all directories it is.
    number: u32,
    /// Bytes of an entry.
    entry: usize,
    /// Where in it the place of the name is.
    name: usize,
}

impl Directory {
    const IMPORTS: Self = Self { number: 1, entry: 20, name: 12 };
    /// "The Delay-Load Directory Table".
    const DELAYED: Self = Self { number: 13, entry: 32, name: 4 };

    /// Where its own place is, behind the start of the optional header: eight bytes for each directory.
    fn place(self) -> usize {
        index(self.number).saturating_mul(8).saturating_add(DIRECTORIES + 4)
    }

    /// The names of the files in it; `None` if it is damaged.
    fn names(self, file: &[u8]) -> Option<Vec<String>> {
        let header = index(word(file, 0x3c)?);
        let optional = header.checked_add(24)?;
        if word(file, optional.checked_add(DIRECTORIES)?)? <= self.number {
            return Some(Vec::new());
        }
        let directory = word(file, optional.checked_add(self.place())?)?;
        if directory == 0 {
            return Some(Vec::new());
        }
        let mut at = in_file(file, header, directory)?;
        let mut names = Vec::new();
        for _ in 0..MOST {
            let entry = file.get(at..at.checked_add(self.entry)?)?;
            let name = word(entry, self.name)?;
            if name == 0 {
                return Some(names);
            }
            let name = file.get(in_file(file, header, name)?..)?;
            let name = name.get(..LONGEST.min(name.len()))?.split(|byte| *byte == 0).next()?;
            names.push(String::from_utf8(name.to_vec()).ok().filter(|name| !name.contains(['/', '\\']))?);
            at = at.checked_add(self.entry)?;
        }
        None
    }
}

/// The names of the files that a program for 64 bits is linked with; `None` if its directory is damaged.
pub(crate) fn of(file: &[u8]) -> Option<Vec<String>> {
    Directory::IMPORTS.names(file)
}

/// The same of those that it loads when it first calls them.
pub(crate) fn delayed(file: &[u8]) -> Option<Vec<String>> {
    Directory::DELAYED.names(file)
}

/// Where in the file a place in memory is, by the section that it is in.
fn in_file(file: &[u8], header: usize, place: u32) -> Option<usize> {
    let count = u16::from_le_bytes(*file.get(header.checked_add(6)?..)?.first_chunk()?);
    let optional = u16::from_le_bytes(*file.get(header.checked_add(20)?..)?.first_chunk()?);
    let mut section = header.checked_add(24)?.checked_add(usize::from(optional))?;
    for _ in 0..count {
        let (start, size) = (word(file, section.checked_add(12)?)?, word(file, section.checked_add(16)?)?);
        if let Some(offset) = place.checked_sub(start).filter(|offset| *offset < size) {
            return index(word(file, section.checked_add(20)?)?).checked_add(index(offset));
        }
        section = section.checked_add(40)?;
    }
    None
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
pub(crate) mod testing {
    /// A program for x86-64 that is linked with these files, without a checksum.
    pub(crate) fn linked(names: &[&str]) -> Vec<u8> {
        in_directory(super::Directory::IMPORTS, names)
    }

    /// One that loads them later.
    pub(crate) fn linked_later(names: &[&str]) -> Vec<u8> {
        in_directory(super::Directory::DELAYED, names)
    }

    fn in_directory(directory: super::Directory, names: &[&str]) -> Vec<u8> {
        let mut file = vec![0_u8; 0x400];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"MZ");
        put(0x3c, &[0x80]);
        put(0x80, b"PE\0\0\x64\x86\x01");
        put(0x94, &[0xf0]);
        put(0x98, &[0x0b, 2]);
        put(0x98 + super::DIRECTORIES, &[16]);
        put(0x98 + directory.place(), &0x1000_u32.to_le_bytes());
        let section = 0x98 + 0xf0;
        let words = [(8, 0x800_u32), (12, 0x1000), (16, 0x800), (20, 0x400)];
        words.into_iter().for_each(|(at, word)| put(section + at, &word.to_le_bytes()));
        let (mut entries, mut texts) = (Vec::new(), Vec::new());
        let behind = directory.entry * (names.len() + 1);
        for name in names {
            let place = (0x1000 + behind + texts.len()) as u32;
            let mut entry = vec![0; directory.entry];
            entry[directory.name..directory.name + 4].copy_from_slice(&place.to_le_bytes());
            entries.extend(entry);
            texts.extend([name.as_bytes(), b"\0"].concat());
        }
        entries.resize(behind, 0);
        file.extend(entries.into_iter().chain(texts));
        file.resize(0xc00, 0);
        file
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{linked, linked_later};
    use super::*;

    #[test]
    fn the_names_of_a_directory_are_read_and_damage_is_told() {
        let file = linked(&["ntoskrnl.exe", "storport.sys"]);
        assert_eq!(of(&file).unwrap(), ["ntoskrnl.exe", "storport.sys"]);
        assert_eq!(of(&linked(&[])).unwrap(), [""; 0]);
        assert_eq!(delayed(&file).unwrap(), [""; 0]);
        let later = linked_later(&["a.dll", "b.dll"]);
        assert_eq!(delayed(&later).unwrap(), ["a.dll", "b.dll"]);
        assert_eq!(of(&later).unwrap(), [""; 0]);
        for len in 0..0x440 {
            assert_eq!(of(&file[..len]), None, "{len}");
        }
        let mut outside = file.clone();
        outside[0x98 + Directory::IMPORTS.place()] = 0xff;
        outside[0x98 + Directory::IMPORTS.place() + 1] = 0xff;
        assert_eq!(of(&outside), None);
        let mut none = file;
        none[0x98 + Directory::IMPORTS.place() + 1] = 0;
        assert_eq!(of(&none).unwrap(), [""; 0]);
    }
}
