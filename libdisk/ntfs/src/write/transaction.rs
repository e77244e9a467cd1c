//! The verbs.

use block::DiskMut;
use vfs::{Attributes, Editable, FileSystem, FsError, NodeId, Result, Timestamp, Transaction};

use super::Change;
use super::content::DATA;
use super::file::File;
use super::names::{Name, STANDARD, WIN32, space_of};
use super::record::{Label, Value};
use super::security::{DESCRIPTOR, Security};
use crate::attribute::kind;
use crate::index::{DOS, Entry};
use crate::read::Ntfs;
use crate::time::from_timestamp;
use crate::volume::system;

/// Attributes of a file: it is to be archived; it is a directory, in a name alone.
const ARCHIVE: u32 = 0x20;
const DIRECTORY: u32 = 0x1000_0000;

/// Directories are no deeper: no path has more than 32,767 characters.
const DEPTH_MAX: usize = 16 << 10;

impl Editable for Ntfs {
    fn begin_on<'a>(&'a mut self, device: &'a DiskMut) -> Result<Box<dyn Transaction + 'a>> {
        Ok(Box::new(Change::begin(self, device)?))
    }
}

/// A name that Windows can open too.
fn check_name(name: &[u8]) -> Result<Vec<u16>> {
    let invalid = |why: &'static str| Err(FsError::Invalid(why.into()));
    let Some(units) = crate::name::from_bytes(name) else { return invalid("a name on NTFS is UTF-8") };
    if units.is_empty() || units.len() > 255 {
        return invalid("a name on NTFS has 1 to 255 units of UTF-16");
    }
    if name.iter().any(|byte| *byte < b' ' || b"\"*/:<>?\\|".contains(byte)) {
        return invalid("a name of Windows has no control characters and none of \"*/:<>?\\|");
    }
    if name.ends_with(b".") || name.ends_with(b" ") {
        return invalid("a name of Windows does not end with a dot or a space");
    }
    Ok(units)
}

impl Change<'_> {
    /// A file that may be changed: none of the volume's own, those below `$Extend` included.
    fn user_file(&self, number: u64) -> Result<File> {
        let file = self.load(number)?;
        let mut own = number < system::FIRST_USER;
        for (_, name) in self.names(&file)? {
            own = own || self.is_below(name.parent.record, system::EXTEND)?;
        }
        if own { Err(FsError::Invalid("a file of the volume itself".into())) } else { Ok(file) }
    }

    /// A directory whose names may be changed.
    fn directory(&self, dir: NodeId) -> Result<File> {
        let file = if dir.0 == system::ROOT { self.load(dir.0)? } else { self.user_file(dir.0)? };
        if !file.is_directory()? {
            return Err(FsError::NotADirectory);
        }
        if !file.of_kind(kind::REPARSE_POINT)?.is_empty() {
            return Err(FsError::unsupported("names in a directory with a reparse point"));
        }
        let standard = file.resident(STANDARD)?.unwrap_or_default();
        if standard.len() >= 44 && vfs::bytes::le32(&standard, 40)? & 1 != 0 {
            return Err(FsError::unsupported("names in a directory where upper and lower case differ"));
        }
        Ok(file)
    }

    fn find(&self, dir: NodeId, name: &[u16]) -> Result<Option<Entry>> {
        self.fs.in_index(dir, |index| index.find(&self.fs.capitals, name))
    }

    /// What a name leads to.
    fn found(&self, dir: NodeId, name: &[u8]) -> Result<Entry> {
        let units = crate::name::from_bytes(name).ok_or(FsError::NotFound)?;
        self.find(dir, &units)?.ok_or(FsError::NotFound)
    }

    fn replace_checked(&mut self, node: NodeId, content: &[u8], time: Timestamp) -> Result<()> {
        let mut file = self.user_file(node.0)?;
        if file.is_directory()? || file.pieces(DATA)?.is_empty() {
            return Err(FsError::Invalid("not a regular file".into()));
        }
        self.check_plain(&file)?;
        self.put(&mut file, DATA, content)?;
        self.set_modified(&mut file, time)?;
        self.refresh_names(&mut file)?;
        self.store(file)
    }

    /// Makes a file with some content, or a directory, and names it.
    fn make(
        &mut self,
        dir: NodeId,
        name: &[u8],
        attributes: &Attributes,
        content: Option<&[u8]>,
    ) -> Result<NodeId> {
        let units = check_name(name)?;
        let mut parent = self.directory(dir)?;
        if self.find(dir, &units)?.is_some() {
            return Err(FsError::Exists);
        }
        if !attributes.xattrs.is_empty() {
            return Err(no_xattrs());
        }
        let is_directory = content.is_none();
        let security = self.security_for(&parent, is_directory)?;
        let security =
            security.ok_or_else(|| FsError::unsupported("a directory that says not who may use it"))?;
        let mut file = File::new(self.new_record()?);
        let flags = if is_directory { 0 } else { ARCHIVE };
        let mut standard = from_timestamp(attributes.time)?.to_le_bytes().repeat(4);
        standard.extend(flags.to_le_bytes());
        standard.resize(if matches!(security, Security::Number(_)) { 72 } else { 48 }, 0);
        if let Security::Number(number) = security {
            vfs::bytes::put_le32(&mut standard, 52, number)?;
        }
        self.place(&mut file, STANDARD, Value::Resident(&standard))?;
        let own_flags = if is_directory { DIRECTORY } else { 0 };
        let space = space_of(&units);
        let name = Name { parent: parent.reference()?, units, space };
        self.add_name(&mut file, &name.value(own_flags | flags)?)?;
        match content {
            Some(content) => self.put(&mut file, DATA, content)?,
            None => {
                file.base_mut()?.set_directory()?;
                self.start_index(&mut file, &parent)?;
            }
        }
        if let Security::Own(descriptor) = security {
            self.put(&mut file, DESCRIPTOR, &descriptor)?;
        }
        self.finish_name(&mut file, &mut parent, &name)?;
        let node = NodeId(file.number());
        self.store(file)?;
        self.set_modified(&mut parent, attributes.time)?;
        self.refresh_names(&mut parent)?;
        self.store(parent)?;
        Ok(node)
    }

    /// Gives a file one more name.
    fn add_name(&mut self, file: &mut File, value: &[u8]) -> Result<()> {
        let label = Label { kind: kind::FILE_NAME, name: &[] };
        self.make_room(file, value.len().saturating_add(32))?;
        let value = Value::Resident(value);
        if self.add(file, label, value)? || (self.start_list(file)? && self.add(file, label, value)?) {
            return Ok(());
        }
        self.add_record(file)?;
        self.add(file, label, value).map(drop)
    }

    /// Has a new name of a file say what it is, and puts it into its directory.
    fn finish_name(&mut self, file: &mut File, dir: &mut File, name: &Name) -> Result<()> {
        let names = self.names(file)?;
        let (piece, _) = names.into_iter().find(|(_, one)| one == name).ok_or(FsError::NotFound)?;
        self.tell_facts(file, &piece)?;
        let (key, reference) = (file.value(&piece)?.to_vec(), file.reference()?);
        let links = file.base()?.links()?;
        file.base_mut()?.set_links(links.checked_add(1).ok_or(FsError::NoSpace("names of a file"))?)?;
        self.insert_entry(dir, reference, key)
    }

    /// Takes a name of a file away, and with it the name for DOS that belongs to it.
    fn drop_name(&mut self, file: &mut File, dir: &mut File, entry: &Entry) -> Result<()> {
        let here = dir.reference()?;
        let all = self.names(file)?;
        let own = all.iter().find(|(_, name)| name.parent == here && name.units == entry.name);
        let missing = || FsError::corrupt("file record", 0, format!("{} has not its name", file.number()));
        let own = own.map(|(_, name)| name.clone()).ok_or_else(missing)?;
        let is_pair = |name: &Name| {
            let pair = matches!((own.space, name.space), (WIN32, DOS) | (DOS, WIN32));
            name.parent == here && pair
        };
        let gone: Vec<Name> =
            all.into_iter().map(|(_, name)| name).filter(|name| *name == own || is_pair(name)).collect();
        for name in gone {
            self.remove_entry(dir, &name.units, file.reference()?)?;
            let piece = self.names(file)?.into_iter().find(|(_, one)| *one == name).map(|(piece, _)| piece);
            file.remove_piece(&piece.ok_or(FsError::NotFound)?)?;
            let links = file.base()?.links()?;
            file.base_mut()?.set_links(links.saturating_sub(1))?;
        }
        Ok(())
    }

    /// Removes what a name leads to, and the file with its last name.
    fn remove(&mut self, dir: NodeId, entry: &Entry) -> Result<()> {
        let mut parent = self.directory(dir)?;
        let mut file = self.user_file(entry.reference.record)?;
        if file.is_directory()? && !self.slots(&file)?.is_empty() {
            return Err(FsError::NotEmpty);
        }
        self.drop_name(&mut file, &mut parent, entry)?;
        self.store(parent)?;
        if !self.names(&file)?.is_empty() {
            return self.store(file);
        }
        for (kind, what) in
            [(kind::REPARSE_POINT, "a reparse point"), (kind::OBJECT_ID, "an object identifier")]
        {
            if !file.of_kind(kind)?.is_empty() {
                return Err(FsError::unsupported(format!("removing a file with {what}")));
            }
        }
        self.free_content(&file)?;
        file.records.into_iter().try_for_each(|record| self.free_record(record))
    }

    /// Whether a directory is another one, or lies below it.
    fn is_below(&self, dir: u64, ancestor: u64) -> Result<bool> {
        let mut at = dir;
        for _ in 0..DEPTH_MAX {
            if at == ancestor {
                return Ok(true);
            }
            if at == system::ROOT {
                return Ok(false);
            }
            let (_, name) = self.names(&self.load(at)?)?.into_iter().next().ok_or(FsError::NotFound)?;
            at = name.parent.record;
        }
        Err(FsError::corrupt("file record", 0, "a directory is in none that leads to the root"))
    }

    fn rename_checked(&mut self, from_dir: NodeId, from: &[u8], to_dir: NodeId, to: &[u8]) -> Result<()> {
        let entry = self.found(from_dir, from)?;
        let units = check_name(to)?;
        self.directory(to_dir)?;
        let number = entry.reference.record;
        let is_directory = self.user_file(number)?.is_directory()?;
        if is_directory && self.is_below(to_dir.0, number)? {
            return Err(FsError::Invalid("a directory cannot move into itself".into()));
        }
        if let Some(over) = self.find(to_dir, &units)? {
            let same = from_dir == to_dir && over.name == entry.name;
            if over.reference.record == number && (!same || units == over.name) {
                return Ok(());
            }
            // The same name may be spelt anew.
            if over.reference.record != number {
                match (is_directory, self.user_file(over.reference.record)?.is_directory()?) {
                    (true, false) => return Err(FsError::NotADirectory),
                    (false, true) => return Err(FsError::IsADirectory),
                    _ => self.remove(to_dir, &over)?,
                }
            }
        }
        let mut file = self.user_file(number)?;
        let mut source = self.directory(from_dir)?;
        self.drop_name(&mut file, &mut source, &entry)?;
        self.store(source)?;
        let mut target = self.directory(to_dir)?;
        let own_flags = if is_directory { DIRECTORY } else { 0 };
        let space = space_of(&units);
        let name = Name { parent: target.reference()?, units, space };
        self.add_name(&mut file, &name.value(own_flags)?)?;
        self.finish_name(&mut file, &mut target, &name)?;
        self.store(file)?;
        self.store(target)
    }
}

fn no_xattrs() -> FsError {
    FsError::unsupported("extended attributes on NTFS")
}

impl Transaction for Change<'_> {
    fn fs(&self) -> &dyn FileSystem {
        &self.fs
    }

    /// Mode and owner are ignored: the file is for whom its neighbours are.
    fn create(
        &mut self,
        dir: NodeId,
        name: &[u8],
        attributes: &Attributes,
        content: &[u8],
    ) -> Result<NodeId> {
        self.attempt(|change| change.make(dir, name, attributes, Some(content)))
    }

    fn replace(&mut self, file: NodeId, content: &[u8], time: Timestamp) -> Result<()> {
        self.attempt(|change| change.replace_checked(file, content, time))
    }

    /// Mode and owner are ignored: the directory is for whom its neighbours are.
    fn mkdir(&mut self, dir: NodeId, name: &[u8], attributes: &Attributes) -> Result<NodeId> {
        self.attempt(|change| change.make(dir, name, attributes, None))
    }

    fn symlink(&mut self, _: NodeId, _: &[u8], _: &Attributes, _: &[u8]) -> Result<NodeId> {
        Err(FsError::unsupported("making links on NTFS"))
    }

    fn link(&mut self, _: NodeId, _: &[u8], _: NodeId) -> Result<()> {
        Err(FsError::unsupported("making hard links on NTFS"))
    }

    fn rename(&mut self, from_dir: NodeId, from: &[u8], to_dir: NodeId, to: &[u8]) -> Result<()> {
        self.attempt(|change| change.rename_checked(from_dir, from, to_dir, to))
    }

    fn unlink(&mut self, dir: NodeId, name: &[u8]) -> Result<()> {
        self.attempt(|change| {
            let entry = change.found(dir, name)?;
            change.remove(dir, &entry)
        })
    }

    /// There are no owners here: only what every file shows can be set.
    fn set_owner(&mut self, node: NodeId, mode: u16, uid: u32, gid: u32) -> Result<()> {
        let shown = self.fs.metadata(node)?;
        if (shown.mode, shown.uid, shown.gid) == (mode, uid, gid) {
            return Ok(());
        }
        Err(FsError::unsupported("owners and modes on NTFS"))
    }

    fn set_xattr(&mut self, _: NodeId, _: &[u8], _: Option<&[u8]>) -> Result<()> {
        Err(no_xattrs())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        self.finish()
    }
}
