//! Where a fix is staged: the guest as it will be, and the edits that make it so.

mod overlay;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use libdisk::vfs::FileType;

use self::overlay::{Bytes, Overlay, Staged, StagedFile, new_metadata};
use crate::edit::{Before, Content, Ownership, Step, sha256};
use crate::facts::Facts;
use crate::instance::Hardware;
use crate::label::Labels;
use crate::path::{Last, Place, shown, split_str};
use crate::registry::{self, HiveFile};
use crate::rule::Goal;
use crate::secrets::{holds_secret, is_secret as is_secret_path, is_secret_text, masked};
use crate::text::bytes::{decode, encode};
use crate::tree::{volume_at, wrapped};
use crate::{Archives, Edit, Error, Guest, Result, View, inspect};

/// The guest with all edits staged so far. Rules see it through [`guest`](Self::guest) and change it with the
/// verbs below; each verb records one edit with what it replaces.
///
/// Paths are resolved inside the guest first: a put to `/etc/resolv.conf` that is a link changes the file it
/// leads to, a put to `/lib/x` on a merged-usr system goes to `/usr/lib/x`.
///
/// A file that must not change (`chattr +i`) is refused by name, and so is one on a volume whose journal is
/// not replayed, or that cannot be written.
///
/// SELinux: a file keeps its label; a new one gets that which the guest's own policy has for its path. So do
/// new links and directories, when the plan is applied.
pub struct Stage<'a> {
    base: &'a dyn View,
    goal: &'a Goal,
    archives: Archives,
    /// The guest as it will be.
    overlay: Overlay<'a>,
    /// In the order of their first touch.
    changes: Vec<Change>,
    /// Of the guest as it will be; `None` after a change.
    facts: Option<Facts>,
    labels: Labels<'a>,
    /// The id of the rule whose fix is running.
    rule: &'static str,
}

/// One thing that changes, however many rules had a part in it.
#[derive(Debug, Clone)]
struct Change {
    rules: Vec<&'static str>,
    what: What,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    /// The file or link at this path; the overlay knows what will be there.
    Path {
        path: String,
        /// The content is what this path holds now.
        copy_of: Option<String>,
        rendering: Rendering,
    },
    Bytes {
        disk: usize,
        offset: u64,
        content: Vec<u8>,
        rendering: Vec<String>,
    },
    Replay {
        volume: String,
    },
    Wrap {
        head: Vec<u8>,
        rendering: Vec<String>,
    },
}

/// How the new content of a file is told.
#[derive(Debug, Clone, PartialEq)]
enum Rendering {
    /// In these lines; in none where it is text.
    Lines(Vec<String>),
    /// As what changes in this hive.
    Hive(HiveFile),
}

/// What was staged at some moment, to go back to.
pub(crate) struct Checkpoint<'a> {
    overlay: Overlay<'a>,
    changes: Vec<Change>,
}

impl<'a> Stage<'a> {
    /// Nothing staged yet.
    pub fn new(base: &'a dyn View, goal: &'a Goal) -> Self {
        Self {
            base,
            goal,
            archives: Archives::default(),
            overlay: Overlay::new(base),
            changes: Vec::new(),
            facts: None,
            labels: Labels::new(base),
            rule: "",
        }
    }

    /// The guest as it will be with everything staged so far; facts are gathered again if anything changed.
    ///
    /// # Errors
    /// If the guest cannot be read.
    pub fn guest(&mut self) -> Result<Guest<'_>> {
        let facts = match self.facts.take() {
            Some(facts) => facts,
            None => inspect::gather(&self.overlay)?,
        };
        let facts = &*self.facts.insert(facts);
        Ok(Guest {
            view: &self.overlay,
            facts,
            goal: self.goal,
            archives: &self.archives,
            hardware: Hardware::default(),
        })
    }

    /// Puts a text file, mode 0644 and owner root where there was none; an existing one keeps its owner, mode
    /// and attributes. Bytes that [`bytes`](crate::text::bytes) carries become themselves again.
    ///
    /// # Errors
    /// If the guest cannot be read.
    pub fn put(&mut self, path: &str, text: impl AsRef<str>) -> Result<()> {
        self.put_mode(path, text, 0o644)
    }

    /// As [`put`](Self::put), with this mode for a new file.
    ///
    /// # Errors
    /// As above.
    pub fn put_mode(&mut self, path: &str, text: impl AsRef<str>, mode: u16) -> Result<()> {
        self.put_file(path, encode(text.as_ref()).into(), mode, Rendering::Lines(Vec::new()), None)
    }

    /// As [`put`](Self::put), for binary content: `rendering` says in lines what changes.
    ///
    /// # Errors
    /// As above.
    pub fn put_binary(
        &mut self,
        path: &str,
        content: impl Into<Arc<[u8]>>,
        rendering: Vec<String>,
    ) -> Result<()> {
        self.put_file(path, content.into(), 0o644, Rendering::Lines(rendering), None)
    }

    /// Keeps what `path` holds now under `keep`, unless that exists.
    ///
    /// "Now" is before the plan: what an earlier rule staged is not what a user wants to go back to.
    ///
    /// # Errors
    /// As above.
    pub fn keep(&mut self, path: &str, keep: &str) -> Result<()> {
        if self.overlay.lstat(keep)?.is_some() {
            return Ok(());
        }
        let Some(original) = self.base.resolve(path)? else { return Ok(()) };
        let (Some(content), Some(metadata)) = (self.base.read(&original)?, self.base.lstat(&original)?)
        else {
            return Ok(());
        };
        self.put_file(keep, content, metadata.mode, Rendering::Lines(Vec::new()), Some(original))
    }

    /// Changes a text file with `change`, which gets its text and answers the new one; nothing is staged
    /// where they are equal or there is no such file. Says whether anything was staged.
    ///
    /// # Errors
    /// As above.
    pub fn edit(&mut self, path: &str, change: impl FnOnce(&str) -> String) -> Result<bool> {
        let Some(old) = self.overlay.text(path)? else { return Ok(false) };
        let new = change(&old);
        let changed = new != old;
        if changed {
            self.put(path, new)?;
        }
        Ok(changed)
    }

    /// Changes a hive of the registry; nothing is staged where `change` changes nothing, or there is no such
    /// hive. Says whether anything was staged. What is changed has the time at which the hive was written
    /// last, so that the same plan is made of the same guest.
    ///
    /// # Errors
    /// As above; `Registry` if the hive cannot be read, or `change` fails.
    pub fn edit_hive(
        &mut self,
        file: HiveFile,
        change: impl FnOnce(&mut hive::Edit) -> hive::Result<()>,
    ) -> Result<bool> {
        let Some(opened) = registry::open(&self.overlay, file)? else { return Ok(false) };
        let failed = |error| registry::failed(file, error);
        let old = opened.hive();
        let time = old.last_written().max(old.root().map_err(failed)?.last_written());
        let mut edit = old.clone().edit(time).map_err(failed)?;
        change(&mut edit).map_err(failed)?;
        if !edit.is_changed() {
            return Ok(false);
        }
        let new = edit.finish().map_err(failed)?;
        let content: Arc<[u8]> = new.clone().into_bytes().into();
        self.put_file(file.path, content, 0o644, Rendering::Hive(file), None)?;
        self.overlay.keep_hive(file.path, new);
        Ok(true)
    }

    /// Puts a symbolic link; what stood there, file or link, is replaced.
    ///
    /// # Errors
    /// As above.
    pub fn put_link(&mut self, path: &str, target: &str) -> Result<()> {
        let path = self.target(path, Last::Keep)?;
        if let Some(old) = self.overlay.lstat(&path)?
            && old.file_type == FileType::Directory
        {
            return Err(refused(&path, "is a directory: no link is put in its place"));
        }
        self.make_parents(&path)?;
        self.overlay.set(path.clone(), Staged::Link(target.to_owned()));
        self.touch(What::Path { path, copy_of: None, rendering: Rendering::Lines(Vec::new()) });
        Ok(())
    }

    /// Takes a file or link away (the link itself, not what it leads to); nothing is staged where there is
    /// none.
    ///
    /// # Errors
    /// As above.
    pub fn remove(&mut self, path: &str) -> Result<()> {
        let Some(old) = self.overlay.lstat(path)? else { return Ok(()) };
        let path = self.target(path, Last::Keep)?;
        if !matches!(old.file_type, FileType::Regular | FileType::Symlink) {
            return Err(refused(&path, "is neither a file nor a link: it is not removed"));
        }
        self.overlay.set(path.clone(), Staged::Removed);
        self.touch(What::Path { path, copy_of: None, rendering: Rendering::Lines(Vec::new()) });
        Ok(())
    }

    /// Changes bytes of a disk, by its index, outside any file system.
    ///
    /// # Errors
    /// As above.
    pub fn put_bytes(
        &mut self,
        disk: usize,
        offset: u64,
        content: Vec<u8>,
        rendering: Vec<String>,
    ) -> Result<()> {
        if self.overlay.disk_bytes(disk, offset, content.len())? != content {
            self.overlay.bytes.push(Bytes { disk, offset, content: content.clone() });
            self.touch(What::Bytes { disk, offset, content, rendering });
        }
        Ok(())
    }

    /// Puts a boot record with a loader, and what it loads, at the beginning of the first disk: it starts by
    /// BIOS from now on.
    ///
    /// # Errors
    /// As above.
    pub fn put_loader(&mut self, head: Vec<u8>, rendering: Vec<String>) -> Result<()> {
        self.put_bytes(0, 0, head, rendering)?;
        self.overlay.machine.bios = vec!["boot code in the MBR".into()];
        Ok(())
    }

    /// Puts `head` before a first disk that is one file system: see [`libdisk::volume::wrap`]. That is the
    /// first thing that will be done; the volume of the whole disk is that of partition 1 from now on.
    ///
    /// # Errors
    /// `Refused` for a disk that is not, or of which bytes are to change.
    pub fn wrap(&mut self, head: Vec<u8>, rendering: Vec<String>) -> Result<()> {
        if !self.overlay.bytes.is_empty() {
            return Err(Error::Refused("bytes of the disk are to change where they are now".into()));
        }
        let whole = self.overlay.machine.volumes.first().map(|whole| whole.name.clone());
        self.overlay.machine = wrapped(&self.overlay.machine, &head)?;
        for change in &mut self.changes {
            if let (What::Replay { volume }, [first, ..]) = (&mut change.what, &*self.overlay.machine.volumes)
                && Some(&*volume) == whole.as_ref()
            {
                volume.clone_from(&first.name);
            }
        }
        self.overlay.head = Some(head.clone());
        self.touch(What::Wrap { head, rendering });
        self.changes.rotate_right(1);
        Ok(())
    }

    /// Asks for the journal of a volume to be replayed first.
    ///
    /// # Errors
    /// As above.
    pub fn replay(&mut self, volume: &str) -> Result<()> {
        let known = self.overlay.machine.volumes.iter_mut().find(|known| known.name == volume);
        let known = known.ok_or_else(|| Error::Refused(format!("there is no volume {volume}")))?;
        known.needs_recovery = false;
        self.touch(What::Replay { volume: volume.to_owned() });
        Ok(())
    }

    /// Says whose fix runs from now on.
    pub(crate) fn set_rule(&mut self, id: &'static str) {
        self.rule = id;
    }

    /// What is staged now, to go back to if a fix gives up half way.
    pub(crate) fn checkpoint(&self) -> Checkpoint<'a> {
        Checkpoint { overlay: self.overlay.clone(), changes: self.changes.clone() }
    }

    /// Goes back to an earlier moment.
    pub(crate) fn roll_back(&mut self, to: Checkpoint<'a>) {
        self.overlay = to.overlay;
        self.changes = to.changes;
        self.facts = None;
    }

    /// Every change as one step, in the order of its first touch, with what it replaces in the guest as it
    /// is. A path that ends as it was makes no step.
    pub(crate) fn steps(&self) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        for change in &self.changes {
            if let Some(edit) = self.step(&change.what)? {
                steps.push(Step { rules: change.rules.iter().map(|&rule| rule.to_owned()).collect(), edit });
            }
        }
        Ok(steps)
    }

    fn step(&self, what: &What) -> Result<Option<Edit>> {
        let (path, copy_of, rendering) = match what {
            What::Path { path, copy_of, rendering } => (path, copy_of, rendering),
            What::Bytes { disk, offset, content, rendering } => {
                let (disk, offset) = (*disk, *offset);
                let old = self.overlay.old_bytes(disk, offset, content.len())?;
                let (content, rendering) = (content.clone(), rendering.clone());
                return Ok(Some(Edit::PutBytes { disk, offset, sha256: sha256(&old), content, rendering }));
            }
            What::Replay { volume } => return Ok(Some(Edit::ReplayJournal { volume: volume.clone() })),
            What::Wrap { head, rendering } => {
                return Ok(Some(Edit::Wrap { head: head.clone(), rendering: rendering.clone() }));
            }
        };
        let before = self.before(path)?;
        let path = path.clone();
        Ok(match self.overlay.staged(&path) {
            Some(Staged::File(file)) => {
                let after = Before::File { sha256: sha256(&file.content), size: file.content.len() as u64 };
                if before == after {
                    return Ok(None);
                }
                let (content, rendering) = match rendering {
                    Rendering::Lines(lines) => {
                        (self.content_of(&path, &before, file, copy_of.as_deref())?, lines.clone())
                    }
                    Rendering::Hive(hive) => {
                        let old = self.base.read(&path)?.unwrap_or_default();
                        let content = Content::edited_in_place(&old, &file.content);
                        (content, registry::rendering(self.base, &self.overlay, *hive)?)
                    }
                };
                Some(Edit::PutFile {
                    content,
                    path,
                    before,
                    ownership: ownership_of(file),
                    rendering: rendering.iter().map(|line| masked(line).into_owned()).collect(),
                })
            }
            Some(Staged::Link(target)) => {
                let target = target.clone();
                let same = matches!(&before, Before::Link { target: old } if *old == target);
                (!same).then_some(Edit::PutLink { path, before, target })
            }
            Some(Staged::Removed) => (before != Before::Absent).then_some(Edit::Remove { path, before }),
            Some(Staged::Directory(_)) | None => None,
        })
    }

    /// The content that a file gets, as the plan has it; `before` is what is there now.
    fn content_of(
        &self,
        path: &str,
        before: &Before,
        file: &StagedFile,
        copy_of: Option<&str>,
    ) -> Result<Content> {
        if let Some(original) = copy_of {
            return Ok(Content::CopyOf(original.to_owned()));
        }
        let text = str::from_utf8(&file.content).ok().filter(|text| !text.contains('\0'));
        let Before::File { .. } = before else { return Ok(plain(text, file)) };
        let old = self.base.read(path)?.unwrap_or_default();
        let is_secret = |content: &[u8]| {
            // What is no text is not looked at as one: an initramfs is large.
            let text = (!content.contains(&0)).then(|| decode(content));
            text.is_some_and(|text| is_secret_text(&text) || holds_secret(&text))
        };
        if is_secret_path(path) || is_secret(&old) || is_secret(&file.content) {
            return Content::edited(path, &old, &file.content);
        }
        Ok(plain(text, file))
    }

    /// What the guest as it is has at a resolved path.
    fn before(&self, path: &str) -> Result<Before> {
        if !self.overlay.in_base(path) {
            return Ok(Before::Absent);
        }
        before(self.base, path)
    }

    /// The resolved path that a change to `path` goes to; refused if it may not change.
    fn target(&self, path: &str, last: Last) -> Result<String> {
        let target = match self.overlay.place(path, last)? {
            Place::Found(target) | Place::Absent(target) => target,
            Place::Blocked(by) => return Err(refused(path, &format!("{} is not a directory", shown(&by)))),
        };
        let target = decode(&target);
        if self.overlay.lstat(&target)?.is_some_and(|metadata| metadata.immutable) {
            return Err(refused(&target, "is immutable (chattr +i): somebody wants it to stay as it is"));
        }
        let Some(volume) = volume_at(&self.overlay.machine, &target) else { return Ok(target) };
        if volume.needs_recovery {
            let why = format!("is on {}, whose journal must be replayed first, and cannot be", volume.name);
            return Err(refused(&target, &why));
        }
        if let Some(why) = &volume.read_only {
            return Err(refused(&target, &format!("is on {}: {why}", volume.name)));
        }
        Ok(target)
    }

    fn put_file(
        &mut self,
        path: &str,
        content: Arc<[u8]>,
        mode: u16,
        rendering: Rendering,
        copy_of: Option<String>,
    ) -> Result<()> {
        let path = self.target(path, Last::Follow)?;
        let file = match self.overlay.lstat(&path)? {
            Some(old) if old.file_type == FileType::Regular => {
                let mut metadata = old;
                metadata.size = content.len() as u64;
                StagedFile { content, metadata, xattrs: self.overlay.xattrs(&path)? }
            }
            Some(_) => return Err(refused(&path, "is not a regular file: nothing is put in its place")),
            None => {
                self.make_parents(&path)?;
                let metadata = new_metadata(FileType::Regular, mode, content.len());
                let label = self.labels.for_new(&path, FileType::Regular)?;
                StagedFile { content, metadata, xattrs: label.into_iter().collect() }
            }
        };
        self.overlay.set(path.clone(), Staged::File(file));
        self.touch(What::Path { path, copy_of, rendering });
        Ok(())
    }

    /// Stages the directories above a new path, each with the owner of the one it stands in.
    fn make_parents(&mut self, path: &str) -> Result<()> {
        let mut missing = Vec::new();
        let mut dir = path;
        let above = loop {
            let Some((parent, _)) = split_str(dir) else { return Ok(()) };
            match self.overlay.lstat(parent)? {
                Some(metadata) => break metadata,
                None => missing.push(parent),
            }
            dir = parent;
        };
        if above.immutable {
            return Err(refused(dir, "stands in an immutable directory (chattr +i)"));
        }
        for dir in missing.into_iter().rev() {
            let mut metadata = new_metadata(FileType::Directory, 0o755, 0);
            (metadata.uid, metadata.gid) = (above.uid, above.gid);
            self.overlay.set(dir.to_owned(), Staged::Directory(metadata));
        }
        Ok(())
    }

    /// Notes that the running rule changed something.
    fn touch(&mut self, what: What) {
        self.facts = None;
        let same = |change: &&mut Change| match (&change.what, &what) {
            (What::Path { path: a, .. }, What::Path { path: b, .. }) => a == b,
            (a, b) => a == b,
        };
        match self.changes.iter_mut().find(same) {
            Some(change) => {
                change.what = what;
                if !change.rules.contains(&self.rule) {
                    change.rules.push(self.rule);
                }
            }
            None => self.changes.push(Change { rules: vec![self.rule], what }),
        }
    }
}

/// What a view has at a resolved path, as an edit's condition.
pub(crate) fn before(view: &dyn View, path: &str) -> Result<Before> {
    Ok(match view.lstat(path)?.map(|metadata| metadata.file_type) {
        None => Before::Absent,
        Some(FileType::Symlink) => Before::Link { target: view.read_link(path)?.unwrap_or_default() },
        Some(FileType::Regular) => {
            let content = view.read(path)?.unwrap_or_default();
            Before::File { sha256: sha256(&content), size: content.len() as u64 }
        }
        Some(_) => return Err(refused(path, "is neither a file nor a link")),
    })
}

fn plain(text: Option<&str>, file: &StagedFile) -> Content {
    text.map_or_else(|| Content::Bytes(file.content.to_vec()), |text| Content::Text(text.to_owned()))
}

fn ownership_of(file: &StagedFile) -> Ownership {
    let xattr = |(name, value): &(Vec<u8>, Vec<u8>)| (decode(name), BASE64.encode(value));
    let StagedFile { metadata, xattrs, .. } = file;
    Ownership {
        mode: metadata.mode,
        uid: metadata.uid,
        gid: metadata.gid,
        xattrs: xattrs.iter().map(xattr).collect(),
    }
}

fn refused(path: &str, why: &str) -> Error {
    Error::Refused(format!("{path} in the guest {why}"))
}
