//! What a PE file is linked with: the names in its import directory ("PE Format", "The .idata Section").

/// Where in a program for 64 bits the number of its directories is, behind the start of the optional header.
const DIRECTORIES: usize = 108;
/// Where behind that the place of the import directory is.
const IMPORTS: usize = 120;
/// Bytes of an entry, and where in it the name's place is.
const ENTRY: usize = 20;
const NAME: usize = 12;
/// The most files that one is linked with; real ones have a few dozen.
const MOST: usize = 512;
/// The longest name of a file.
const LONGEST: usize = 255;

/// The names of the files that a program for 64 bits is linked with; `None` if its directory is damaged.
pub(crate) fn of(file: &[u8]) -> Option<Vec<String>> {
    let header = index(word(file, 0x3c)?);
    let optional = header.checked_add(24)?;
    if word(file, optional.checked_add(DIRECTORIES)?)? < 2 {
        return Some(Vec::new());
    }
    let directory = word(file, optional.checked_add(IMPORTS)?)?;
    if directory == 0 {
        return Some(Vec::new());
    }
    let mut at = in_file(file, header, directory)?;
    let mut names = Vec::new();
    for _ in 0..MOST {
        let entry = file.get(at..at.checked_add(ENTRY)?)?;
        let name = word(entry, NAME)?;
        if name == 0 {
            return Some(names);
        }
        let name = file.get(in_file(file, header, name)?..)?;
        let name = name.get(..LONGEST.min(name.len()))?.split(|byte| *byte == 0).next()?;
        names.push(String::from_utf8(name.to_vec()).ok().filter(|name| !name.contains(['/', '\\']))?);
        at = at.checked_add(ENTRY)?;
    }
    None
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
        let mut file = vec![0_u8; 0x400];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"MZ");
        put(0x3c, &[0x80]);
        put(0x80, b"PE\0\0\x64\x86\x01");
        put(0x94, &[0xf0]);
        put(0x98, &[0x0b, 2]);
        put(0x98 + super::DIRECTORIES, &[16]);
        put(0x98 + super::IMPORTS, &0x1000_u32.to_le_bytes());
        let section = 0x98 + 0xf0;
        let words = [(8, 0x800_u32), (12, 0x1000), (16, 0x800), (20, 0x400)];
        words.into_iter().for_each(|(at, word)| put(section + at, &word.to_le_bytes()));
        let (mut entries, mut texts) = (Vec::new(), Vec::new());
        let behind = super::ENTRY * (names.len() + 1);
        for name in names {
            let place = (0x1000 + behind + texts.len()) as u32;
            entries.extend([&[0; super::NAME][..], &place.to_le_bytes(), &[0; 4]].concat());
            texts.extend([name.as_bytes(), b"\0"].concat());
        }
        entries.extend([0; super::ENTRY]);
        file.extend(entries.into_iter().chain(texts));
        file.resize(0xc00, 0);
        file
    }
}

#[cfg(test)]
mod tests {
    use super::testing::linked;
    use super::*;

    #[test]
    fn the_names_of_a_directory_are_read_and_damage_is_told() {
        let file = linked(&["ntoskrnl.exe", "storport.sys"]);
        assert_eq!(of(&file).unwrap(), ["ntoskrnl.exe", "storport.sys"]);
        assert_eq!(of(&linked(&[])).unwrap(), [""; 0]);
        for len in 0..0x440 {
            assert_eq!(of(&file[..len]), None, "{len}");
        }
        let mut outside = file.clone();
        outside[0x98 + IMPORTS] = 0xff;
        outside[0x98 + IMPORTS + 1] = 0xff;
        assert_eq!(of(&outside), None);
        let mut none = file;
        none[0x98 + IMPORTS + 1] = 0;
        assert_eq!(of(&none).unwrap(), [""; 0]);
    }
}
