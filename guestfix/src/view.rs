//! How rules see a guest: its disk and its tree of files, read only.

use std::sync::Arc;

use libdisk::vfs::{FileType, Metadata};
use libdisk::volume::grub::Grub;

use crate::facts::{Machine, Volume};
use crate::memo::Memo;
use crate::rule::Evidence;
use crate::text::bytes;
use crate::windows_agent::WindowsAgent;
use crate::{Result, limits};

/// A guest's own tree, all of its file systems in their places, symbolic links resolved inside the guest.
///
/// Paths are absolute, in the guest's own tree, with `/` between names. No path ever reaches the host. What
/// does not exist is `None`, not an error. Names, link targets and text are Strings without loss, whatever
/// bytes they are: see [`bytes`].
///
/// Two things implement it: [`Tree`](crate::tree::Tree), the guest as it is, and [`Stage`](crate::Stage)'s
/// view, the guest as it will be.
pub trait View {
    /// The view that this one stands on and changes in part, if it does: what it does not answer itself and need not,
    /// that one answers.
    fn below(&self) -> Option<&dyn View> {
        None
    }

    /// The disks: partition tables, volumes, boot evidence.
    fn machine(&self) -> &Machine;

    /// What `lstat` tells: the last name is not followed if it is a symbolic link.
    ///
    /// # Errors
    /// As for every call here: what the file systems report.
    fn lstat(&self, path: &str) -> Result<Option<Metadata>>;

    /// What `stat` tells: links are followed, inside the guest.
    ///
    /// # Errors
    /// As above; `Malformed` for a loop of links.
    fn stat(&self, path: &str) -> Result<Option<Metadata>>;

    /// The path with every symbolic link in it resolved, if it exists.
    ///
    /// # Errors
    /// As above.
    fn resolve(&self, path: &str) -> Result<Option<String>>;

    /// How the last name of a resolved path is written where it stands, if it is found without regard to case
    /// and is written in another way.
    ///
    /// # Errors
    /// As above.
    fn spelling(&self, path: &str) -> Result<Option<String>> {
        self.below().map_or(Ok(None), |below| below.spelling(path))
    }

    /// The whole content of a regular file, links followed; `None` if there is none.
    ///
    /// # Errors
    /// As above; `TooLarge` for a file that is not held in memory.
    fn read(&self, path: &str) -> Result<Option<Arc<[u8]>>>;

    /// The target of a symbolic link as it is written; `None` if it is not one.
    ///
    /// # Errors
    /// As above.
    fn read_link(&self, path: &str) -> Result<Option<String>>;

    /// The names in a directory (links followed), sorted; empty if there is no such directory.
    ///
    /// # Errors
    /// As above.
    fn list(&self, path: &str) -> Result<Vec<String>>;

    /// The extended attributes of a node, its last name not followed.
    ///
    /// # Errors
    /// As above.
    fn xattrs(&self, path: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>>;

    /// Bytes of one of the disks below, by its index, at most 64 MiB at once: partition tables, boot code.
    ///
    /// # Errors
    /// As above; `Refused` where there is no such disk below the files.
    fn disk_bytes(&self, disk: usize, offset: u64, len: usize) -> Result<Vec<u8>> {
        match self.below() {
            Some(below) => below.disk_bytes(disk, offset, len),
            None => Err(crate::Error::Refused("this guest has no disk below its files".into())),
        }
    }

    /// Free bytes of a volume, counted as far as `enough` of it; `None` where that is not known.
    ///
    /// # Errors
    /// As above.
    fn free(&self, volume: &Volume, enough: u64) -> Result<Option<u64>> {
        self.below().map_or(Ok(volume.free), |below| below.free(volume, enough))
    }

    /// GRUB for BIOS, which somebody brought for a disk without a boot loader; it is no part of the guest.
    fn grub(&self) -> Option<&Grub> {
        self.below()?.grub()
    }

    /// Azure's agent for a Windows without one, which somebody brought; it is no part of the guest.
    fn windows_agent(&self) -> Option<&WindowsAgent> {
        self.below()?.windows_agent()
    }

    /// Notes what a reader of this view could not read and goes on without: it is told by
    /// [`take_unread`](Self::take_unread), where somebody asks that.
    fn note_unread(&self, what: Evidence) {
        if let Some(below) = self.below() {
            below.note_unread(what);
        }
    }

    /// What could not be read since this was last asked, and was answered as if it were not there: none,
    /// except of a [`Noting`](crate::unread::Noting) view.
    fn take_unread(&self) -> Vec<Evidence> {
        self.below().map_or_else(Vec::new, View::take_unread)
    }

    /// How many notes there are that [`take_unread`](Self::take_unread) would take.
    fn noted(&self) -> usize {
        self.below().map_or(0, View::noted)
    }

    /// Where what is worked out of the files is kept; `None` where it is worked out each time.
    fn memo(&self) -> Option<&Memo> {
        None
    }

    /// A text file, with bytes that are not UTF-8 as [`bytes::decode`] carries them.
    ///
    /// # Errors
    /// As above; `TooLarge` for more than a text at this place ever has.
    fn text(&self, path: &str) -> Result<Option<String>> {
        let Some(metadata) = self.stat(path)? else { return Ok(None) };
        if metadata.file_type == FileType::Regular {
            limits::at_most(path, metadata.size, limits::text(path), "bytes")?;
        }
        Ok(self.read(path)?.map(|content| bytes::decode(&content)))
    }

    /// Bytes of a regular file from `offset` on, at most `len`, fewer at its end; `None` if there is none.
    ///
    /// # Errors
    /// As above.
    fn range(&self, path: &str, offset: u64, len: usize) -> Result<Option<Vec<u8>>> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = |content: Arc<[u8]>| content.iter().skip(from).take(len).copied().collect();
        Ok(self.read(path)?.map(part))
    }

    /// The first bytes of a regular file, at most `len`; `None` if there is none.
    ///
    /// # Errors
    /// As above.
    fn start(&self, path: &str, len: usize) -> Result<Option<Vec<u8>>> {
        self.range(path, 0, len)
    }

    /// Whether anything is there, links followed.
    ///
    /// # Errors
    /// As above.
    fn exists(&self, path: &str) -> Result<bool> {
        Ok(self.stat(path)?.is_some())
    }

    /// The paths of all names in `dir` that end in `suffix`, sorted; without a suffix, of all that is no
    /// directory.
    ///
    /// # Errors
    /// As above.
    fn glob(&self, dir: &str, suffix: &str) -> Result<Vec<String>> {
        let names = self.list(dir)?;
        let mut paths = Vec::new();
        for name in names.into_iter().filter(|name| name.ends_with(suffix)) {
            let path = format!("{dir}/{name}");
            let is_directory = |metadata: Metadata| metadata.file_type == FileType::Directory;
            if !suffix.is_empty() || !self.stat(&path)?.is_some_and(is_directory) {
                paths.push(path);
            }
        }
        Ok(paths)
    }
}
