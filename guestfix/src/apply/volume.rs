//! The edits of one volume, in one transaction.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use libdisk::vfs::{Attributes, FileSystemMut, FileType, FsError, NodeId, Timestamp, Transaction};

use crate::edit::pieces::assemble;
use crate::edit::{Content, Ownership};
use crate::label::Labels;
use crate::path::below;
use crate::text::bytes::encode;
use crate::{Edit, Error, Result, View};

/// Carries out `edits`, whose paths all lie on the volume mounted at `point`, and commits them together.
///
/// `original` is the guest as it was, for content that is copied. Everything made or changed gets `time`.
///
/// # Errors
/// What the file system reports; nothing was changed then.
pub fn write(
    fs: &mut dyn FileSystemMut,
    volume: &str,
    point: &str,
    edits: &[&Edit],
    original: &dyn View,
    time: i64,
) -> Result<()> {
    let failed = |source: FsError| Error::Volume { volume: volume.to_owned(), source: source.into() };
    let change = fs.begin().map_err(failed)?;
    let time = Timestamp { seconds: time, nanos: 0 };
    let mut writer = Writer { change, point, original, labels: Labels::new(original), time };
    for edit in edits {
        writer.edit(edit)?;
    }
    writer.change.commit().map_err(failed)
}

struct Writer<'a> {
    change: Box<dyn Transaction + 'a>,
    point: &'a str,
    original: &'a dyn View,
    labels: Labels<'a>,
    time: Timestamp,
}

/// Where a name goes.
struct Slot<'p> {
    dir: NodeId,
    name: Cow<'p, [u8]>,
    /// What has the name now.
    node: Option<NodeId>,
}

impl Writer<'_> {
    fn edit(&mut self, edit: &Edit) -> Result<()> {
        match edit {
            Edit::PutFile { path, content, ownership, .. } => {
                let content = self.content(path, content)?;
                self.put_file(path, &content, ownership)
            }
            Edit::PutLink { path, target, .. } => {
                let slot = self.slot(path)?;
                self.clear(path, &slot)?;
                let xattrs = self.labels.for_new(path, FileType::Symlink)?.into_iter().collect();
                let attributes = Attributes { mode: 0o777, time: self.time, xattrs, ..Attributes::default() };
                let made = self.change.symlink(slot.dir, &slot.name, &attributes, &encode(target));
                made.map(drop).map_err(|source| failed(path, source))
            }
            Edit::Remove { path, .. } => {
                let slot = self.slot(path)?;
                self.clear(path, &slot)
            }
            // These are no business of a file system.
            Edit::Wrap { .. } | Edit::ReplayJournal { .. } | Edit::PutBytes { .. } => Ok(()),
        }
    }

    fn content(&self, path: &str, content: &Content) -> Result<Vec<u8>> {
        match content {
            Content::Edited { sha256, pieces, .. } => {
                let old = self.original.read(path)?.unwrap_or_default();
                assemble(path, &old, pieces, sha256)
            }
            Content::Text(text) => Ok(text.clone().into_bytes()),
            Content::Bytes(bytes) => Ok(bytes.clone()),
            Content::CopyOf(path) => {
                let content = self.original.read(path)?;
                let content = content.ok_or_else(|| failed(path, FsError::NotFound))?;
                Ok(content.to_vec())
            }
        }
    }

    /// New content goes into the file that is there, so that its inode, owner and attributes stay. A file
    /// with other names is replaced by one of its own: what those names lead to must not change.
    fn put_file(&mut self, path: &str, content: &[u8], ownership: &Ownership) -> Result<()> {
        let slot = self.slot(path)?;
        if let Some(node) = slot.node {
            let metadata = self.change.fs().metadata(node).map_err(|source| failed(path, source))?;
            if metadata.file_type == FileType::Regular && metadata.links <= 1 {
                return self.change.replace(node, content, self.time).map_err(|source| failed(path, source));
            }
        }
        self.clear(path, &slot)?;
        let attributes = attributes(path, ownership, self.time)?;
        let made = self.change.create(slot.dir, &slot.name, &attributes, content);
        made.map(drop).map_err(|source| failed(path, source))
    }

    /// Takes away what has the name.
    fn clear(&mut self, path: &str, slot: &Slot<'_>) -> Result<()> {
        match slot.node {
            Some(_) => self.change.unlink(slot.dir, &slot.name).map_err(|source| failed(path, source)),
            None => Ok(()),
        }
    }

    /// Finds the directory of a path, and makes it if need be, with the owner of the one it stands in.
    fn slot<'p>(&mut self, path: &'p str) -> Result<Slot<'p>> {
        let inside = below(path.as_bytes(), self.point.as_bytes()).filter(|rest| !rest.is_empty());
        let inside = inside.ok_or_else(|| failed(path, FsError::NotFound))?;
        let mut dir = self.change.fs().root();
        let mut at = path.len() - inside.len();
        loop {
            let (done, left) = path.split_at(at);
            let (name, rest) = left.split_once('/').map_or((left, None), |(name, rest)| (name, Some(rest)));
            let node = match self.change.fs().lookup(dir, &encode(name)) {
                Ok(node) => Some(node),
                Err(FsError::NotFound) => None,
                Err(source) => return Err(failed(path, source)),
            };
            let Some(rest) = rest else { return Ok(Slot { dir, name: encode(name), node }) };
            dir = match node {
                Some(node) => node,
                None => self.mkdir(dir, name, &format!("{done}{name}"))?,
            };
            at = path.len() - rest.len();
        }
    }

    fn mkdir(&mut self, dir: NodeId, name: &str, path: &str) -> Result<NodeId> {
        let above = self.change.fs().metadata(dir).map_err(|source| failed(path, source))?;
        let xattrs = self.labels.for_new(path, FileType::Directory)?.into_iter().collect();
        let attributes = Attributes { mode: 0o755, uid: above.uid, gid: above.gid, time: self.time, xattrs };
        let made = self.change.mkdir(dir, &encode(name), &attributes);
        made.map_err(|source| failed(path, source))
    }
}

fn attributes(path: &str, ownership: &Ownership, time: Timestamp) -> Result<Attributes> {
    let decode = |(name, value): &(String, String)| {
        let value = BASE64.decode(value);
        let value =
            value.map_err(|_| Error::Refused(format!("the plan has a bad attribute {name} for {path}")))?;
        Ok((encode(name).into_owned(), value))
    };
    Ok(Attributes {
        mode: ownership.mode,
        uid: ownership.uid,
        gid: ownership.gid,
        time,
        xattrs: ownership.xattrs.iter().map(decode).collect::<Result<_>>()?,
    })
}

fn failed(path: &str, source: FsError) -> Error {
    Error::Guest { path: path.to_owned(), source: source.into() }
}
