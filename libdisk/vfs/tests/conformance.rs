//! The suite passes an honest file system, and catches each of these planted bugs.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use vfs::conformance::{Capabilities, ModelRun, Subject, fixed_cases, model};
use vfs::{
    Attributes, DirEntry, FileSystem, FileSystemMut, FsError, Info, MemoryFs, Metadata, NodeId, Result,
    Timestamp, Transaction,
};

/// A thing that a driver may forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    CommitForgets,
    DropCommits,
    ReplaceKeepsTheTail,
    ReplaceForgetsTheTime,
    CreateForgetsXattrs,
    CreateForgetsTheOwner,
    MkdirForgetsTheMode,
    XattrIsNotRemoved,
    RenameLeavesTheOldName,
    RenameOverwritesFullDirectories,
    UnlinkTakesFullDirectories,
    LinkMakesACopy,
    LongSymlinksAreCut,
    SetOwnerForgetsTheGroup,
    LongNamesAreCut,
    ExistsIsInvalid,
    TheLastByteIsLost,
    ReadPastTheEndFails,
    OneNameIsNotListed,
    SpaceLeaks,
}

const BUGS: &[Bug] = &[
    Bug::CommitForgets,
    Bug::DropCommits,
    Bug::ReplaceKeepsTheTail,
    Bug::ReplaceForgetsTheTime,
    Bug::CreateForgetsXattrs,
    Bug::CreateForgetsTheOwner,
    Bug::MkdirForgetsTheMode,
    Bug::XattrIsNotRemoved,
    Bug::RenameLeavesTheOldName,
    Bug::RenameOverwritesFullDirectories,
    Bug::UnlinkTakesFullDirectories,
    Bug::LinkMakesACopy,
    Bug::LongSymlinksAreCut,
    Bug::SetOwnerForgetsTheGroup,
    Bug::LongNamesAreCut,
    Bug::ExistsIsInvalid,
    Bug::TheLastByteIsLost,
    Bug::ReadPastTheEndFails,
    Bug::OneNameIsNotListed,
    Bug::SpaceLeaks,
];

/// Bugs that only a fixed case can see: random changes do not read past the end, or count free space.
const UNSEEN_BY_THE_MODEL: &[Bug] = &[Bug::ReadPastTheEndFails, Bug::SpaceLeaks];

struct Planted {
    fs: MemoryFs,
    bug: Bug,
    times_opened: u64,
}

impl Planted {
    fn new(bug: Bug) -> Self {
        Self { fs: MemoryFs::new().dir("/lost+found").capacity(24 << 20), bug, times_opened: 0 }
    }
}

impl Subject for Planted {
    fn capabilities(&self) -> Capabilities {
        Capabilities::UNIX
    }

    fn open(&mut self) -> Box<dyn FileSystemMut + '_> {
        self.times_opened += 1;
        Box::new(Opened { fs: &mut self.fs, bug: self.bug, times_opened: self.times_opened })
    }

    fn judge(&mut self) {}
}

struct Opened<'a> {
    fs: &'a mut MemoryFs,
    bug: Bug,
    times_opened: u64,
}

impl FileSystem for Opened<'_> {
    fn info(&self) -> Result<Info> {
        self.fs.info()
    }

    fn free(&self, enough: u64) -> Result<u64> {
        let lost = if self.bug == Bug::SpaceLeaks { 4096 * self.times_opened } else { 0 };
        Ok(self.fs.free(enough)? - lost)
    }

    fn root(&self) -> NodeId {
        self.fs.root()
    }

    fn lookup(&self, dir: NodeId, name: &[u8]) -> Result<NodeId> {
        self.fs.lookup(dir, name)
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        self.fs.metadata(node)
    }

    fn read_dir(&self, dir: NodeId) -> Result<Vec<DirEntry>> {
        let mut entries = self.fs.read_dir(dir)?;
        if self.bug == Bug::OneNameIsNotListed && entries.len() > 10 {
            entries.pop();
        }
        Ok(entries)
    }

    fn read_at(&self, node: NodeId, buf: &mut [u8], offset: u64) -> Result<usize> {
        let read = self.fs.read_at(node, buf, offset)?;
        match self.bug {
            Bug::TheLastByteIsLost if read > 4096 && read < buf.len() => Ok(read - 1),
            Bug::ReadPastTheEndFails if read == 0 && offset > i64::MAX as u64 => {
                Err(FsError::Invalid("offset".into()))
            }
            _ => Ok(read),
        }
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        self.fs.read_link(node)
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.fs.xattrs(node)
    }

    fn free_ranges(&self) -> Result<Vec<Range<u64>>> {
        self.fs.free_ranges()
    }
}

impl FileSystemMut for Opened<'_> {
    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>> {
        let bug = self.bug;
        Ok(Box::new(Change { work: Some(self.fs.begin()?), bug }))
    }
}

struct Change<'a> {
    work: Option<Box<dyn Transaction + 'a>>,
    bug: Bug,
}

impl<'a> Change<'a> {
    fn work(&mut self) -> &mut (dyn Transaction + 'a) {
        &mut **self.work.as_mut().expect("it is there until the end")
    }

    fn name<'n>(&self, name: &'n [u8]) -> &'n [u8] {
        if self.bug == Bug::LongNamesAreCut { &name[..name.len().min(200)] } else { name }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take()
            && self.bug == Bug::DropCommits
        {
            let _ = work.commit();
        }
    }
}

impl Transaction for Change<'_> {
    fn fs(&self) -> &dyn FileSystem {
        self.work.as_ref().expect("it is there until the end").fs()
    }

    fn create(
        &mut self,
        dir: NodeId,
        name: &[u8],
        attributes: &Attributes,
        content: &[u8],
    ) -> Result<NodeId> {
        let mut attributes = attributes.clone();
        match self.bug {
            Bug::CreateForgetsXattrs => attributes.xattrs.clear(),
            Bug::CreateForgetsTheOwner => attributes.uid = 0,
            _ => {}
        }
        let (name, bug) = (self.name(name), self.bug);
        self.work().create(dir, name, &attributes, content).map_err(|error| match error {
            FsError::Exists if bug == Bug::ExistsIsInvalid => FsError::Invalid("it exists".into()),
            error => error,
        })
    }

    fn replace(&mut self, file: NodeId, content: &[u8], time: Timestamp) -> Result<()> {
        let old = self.fs().metadata(file)?;
        let (mut content, mut time) = (content.to_vec(), time);
        match self.bug {
            Bug::ReplaceKeepsTheTail => content.resize(content.len().max(old.size as usize), 0),
            Bug::ReplaceForgetsTheTime => time = old.mtime,
            _ => {}
        }
        self.work().replace(file, &content, time)
    }

    fn mkdir(&mut self, dir: NodeId, name: &[u8], attributes: &Attributes) -> Result<NodeId> {
        let mut attributes = attributes.clone();
        if self.bug == Bug::MkdirForgetsTheMode {
            attributes.mode = 0o755;
        }
        let name = self.name(name);
        self.work().mkdir(dir, name, &attributes)
    }

    fn symlink(
        &mut self,
        dir: NodeId,
        name: &[u8],
        attributes: &Attributes,
        target: &[u8],
    ) -> Result<NodeId> {
        let cut = if self.bug == Bug::LongSymlinksAreCut { target.len().min(59) } else { target.len() };
        self.work().symlink(dir, name, attributes, &target[..cut])
    }

    fn link(&mut self, dir: NodeId, name: &[u8], node: NodeId) -> Result<()> {
        let metadata = self.fs().metadata(node)?;
        if self.bug == Bug::LinkMakesACopy && metadata.file_type == vfs::FileType::Regular {
            let mut content = vec![0; metadata.size as usize];
            self.fs().read_at(node, &mut content, 0)?;
            let Metadata { mode, uid, gid, mtime: time, .. } = metadata;
            let xattrs = self.fs().xattrs(node)?;
            let attributes = Attributes { mode, uid, gid, time, xattrs };
            return self.work().create(dir, name, &attributes, &content).map(drop);
        }
        self.work().link(dir, name, node)
    }

    fn rename(&mut self, from_dir: NodeId, from: &[u8], to_dir: NodeId, to: &[u8]) -> Result<()> {
        let node = self.fs().lookup(from_dir, from)?;
        if self.bug == Bug::RenameOverwritesFullDirectories
            && let Ok(there) = self.fs().lookup(to_dir, to)
            && there != node
        {
            empty(self.work(), there)?;
        }
        self.work().rename(from_dir, from, to_dir, to)?;
        let is_file = self.fs().metadata(node)?.file_type != vfs::FileType::Directory;
        if self.bug == Bug::RenameLeavesTheOldName && is_file && (from_dir, from) != (to_dir, to) {
            self.work().link(from_dir, from, node)?;
        }
        Ok(())
    }

    fn unlink(&mut self, dir: NodeId, name: &[u8]) -> Result<()> {
        let node = self.fs().lookup(dir, name)?;
        if self.bug == Bug::UnlinkTakesFullDirectories {
            empty(self.work(), node)?;
        }
        self.work().unlink(dir, name)
    }

    fn set_owner(&mut self, node: NodeId, mode: u16, uid: u32, gid: u32) -> Result<()> {
        let gid = if self.bug == Bug::SetOwnerForgetsTheGroup { self.fs().metadata(node)?.gid } else { gid };
        self.work().set_owner(node, mode, uid, gid)
    }

    fn set_xattr(&mut self, node: NodeId, name: &[u8], value: Option<&[u8]>) -> Result<()> {
        if self.bug == Bug::XattrIsNotRemoved && value.is_none() {
            return Ok(());
        }
        self.work().set_xattr(node, name, value)
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        let work = self.work.take().expect("it is there until the end");
        if self.bug == Bug::CommitForgets { Ok(()) } else { work.commit() }
    }
}

/// Empties a directory; others are left alone.
fn empty(change: &mut dyn Transaction, dir: NodeId) -> Result<()> {
    let Ok(entries) = change.fs().read_dir(dir) else { return Ok(()) };
    entries.iter().try_for_each(|entry| {
        empty(change, entry.node)?;
        change.unlink(dir, &entry.name)
    })
}

fn run(seed: u64) -> ModelRun {
    ModelRun { seed, operations: 1000, batch: 25, largest_file: 20_000 }
}

fn fixed_cases_pass(bug: Bug) -> bool {
    catch_unwind(|| fixed_cases(&mut || Box::new(Planted::new(bug)))).is_ok()
}

fn model_passes(bug: Bug) -> bool {
    (1..=2).all(|seed| {
        let mut subject = Planted::new(bug);
        catch_unwind(AssertUnwindSafe(|| model(&mut subject, &run(seed)))).is_ok()
    })
}

#[test]
fn an_honest_file_system_passes_the_fixed_cases() {
    fixed_cases(&mut || Box::new(Planted::new(Bug::None)));
}

#[test]
fn an_honest_file_system_passes_random_changes() {
    for seed in 1..=10 {
        model(&mut Planted::new(Bug::None), &run(seed));
    }
}

#[test]
fn the_fixed_cases_catch_every_planted_bug() {
    let passed: Vec<_> = BUGS.iter().filter(|bug| fixed_cases_pass(**bug)).collect();
    assert!(passed.is_empty(), "the fixed cases are blind to {passed:?}");
}

#[test]
fn random_changes_catch_planted_bugs() {
    let passed: Vec<_> = BUGS.iter().copied().filter(|bug| model_passes(*bug)).collect();
    assert_eq!(passed, UNSEEN_BY_THE_MODEL, "random changes are blind to these");
}
