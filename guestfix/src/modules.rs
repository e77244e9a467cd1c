//! The modules of one kernel of the guest, as the initramfs crate reads them.

use std::sync::Arc;

use initramfs::ModuleTree;
use initramfs::kmod::dep::Dep;
use initramfs::kmod::index;
use libdisk::vfs::FileType;

use crate::inspect::kernels::is_module;
use crate::{Result, View, limits};

/// depmod's list of loadable modules: of `modules.dep.bin`, which is what kmod reads, else of `modules.dep`.
pub(crate) struct List<'a> {
    release: &'a str,
    /// The index, if it is whole and lists something.
    index: Option<Arc<[u8]>>,
    /// The text, where there is no such index.
    text: String,
}

impl<'a> List<'a> {
    /// The list of the kernel with this directory; empty if there is none. Of a snapshot, whose bytes are paid
    /// for, the text comes first.
    ///
    /// # Errors
    /// If the guest cannot be read.
    pub(crate) fn open(view: &dyn View, dir: &str, release: &'a str) -> Result<Self> {
        let text = || Ok::<_, crate::Error>(view.text(&format!("{dir}/modules.dep"))?.unwrap_or_default());
        if view.machine().remote {
            let text = text()?;
            if text.contains(':') {
                return Ok(Self { release, index: None, text });
            }
        }
        let index = view.read(&format!("{dir}/modules.dep.bin"))?.unwrap_or_default();
        Ok(match index::check(&index, "modules.dep.bin") {
            Ok(1..) => Self { release, index: Some(index), text: String::new() },
            _ => Self { release, index: None, text: text()? },
        })
    }

    /// The file of a module, as the list has it: below the directory, or by its whole path, as depmod of old
    /// writes it.
    pub(crate) fn path(&self, module: &str) -> Option<String> {
        if let Some(index) = &self.index {
            return Dep::lookup(index, module, self.release).ok().flatten().map(|line| line.path);
        }
        let mut paths = self.text.lines().filter_map(|line| line.split_once(':')).map(|(path, _)| path);
        paths.find(|path| is_module(path, module)).map(str::to_owned)
    }

    /// Whether it lists nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.index.is_none() && !self.text.contains(':')
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
