//! The modules of one kernel of the guest, as the initramfs crate reads them.

use initramfs::ModuleTree;
use initramfs::kmod::dep::Dep;
use libdisk::vfs::FileType;

use crate::{Result, View, limits};

/// The lines of depmod's list of loadable modules, empty if there are none: of `modules.dep.bin`, which is what
/// kmod reads, else of `modules.dep`. Of a snapshot, whose bytes are paid for, the text comes first.
pub(crate) fn listed(view: &dyn View, dir: &str, release: &str) -> Result<String> {
    let text = || Ok::<_, crate::Error>(view.text(&format!("{dir}/modules.dep"))?.unwrap_or_default());
    if view.machine().remote {
        let text = text()?;
        if text.contains(':') {
            return Ok(text);
        }
    }
    let index = view.read(&format!("{dir}/modules.dep.bin"))?.unwrap_or_default();
    match Dep::from_index(&index, release) {
        Ok(dep) => Ok(String::from_utf8_lossy(&dep.text()).into_owned()),
        Err(_) => text(),
    }
}

/// `/lib/modules/<release>` in the guest.
pub(crate) struct Modules<'a> {
    view: &'a dyn View,
    dir: &'a str,
}

impl<'a> Modules<'a> {
    /// The modules in this directory.
    pub(crate) fn new(view: &'a dyn View, dir: &'a str) -> Self {
        Self { view, dir }
    }
}

impl ModuleTree for Modules<'_> {
    fn read(&self, path: &str) -> initramfs::Result<Option<Vec<u8>>> {
        let full = format!("{}/{path}", self.dir);
        // the lists that depmod makes, or a module
        let limit = if path.contains('/') { limits::MODULE } else { limits::text(&full) };
        let read = || {
            let size = self.view.stat(&full)?.map_or(0, |metadata| metadata.size);
            limits::at_most(&full, size, limit, "bytes")?;
            self.view.read(&full)
        };
        let bytes = read().map_err(|error| initramfs::Error::tree(path, error))?;
        Ok(bytes.map(|bytes| bytes.to_vec()))
    }

    fn list(&self) -> initramfs::Result<Vec<String>> {
        let mut out = Vec::new();
        let mut todo = vec![String::new()];
        while let Some(dir) = todo.pop() {
            let failed = |error| initramfs::Error::tree(&dir, error);
            for name in self.view.list(&format!("{}/{dir}", self.dir)).map_err(failed)? {
                let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
                // links are not followed: "build" and "source" lead out of the tree
                match self
                    .view
                    .lstat(&format!("{}/{path}", self.dir))
                    .map_err(failed)?
                    .map(|node| node.file_type)
                {
                    Some(FileType::Directory) => todo.push(path),
                    Some(FileType::Regular) => out.push(path),
                    _ => {}
                }
            }
            let found = (out.len() + todo.len()) as u64;
            limits::at_most(self.dir, found, limits::NAMES, "files").map_err(failed)?;
        }
        Ok(out)
    }
}
