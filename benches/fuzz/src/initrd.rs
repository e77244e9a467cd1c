//! Initramfs images and the indexes of kernel modules.

use initramfs::kmod::alias::{Aliases, Softdeps, Table};
use initramfs::kmod::dep::Dep;
use initramfs::kmod::index::{self, Index};
use initramfs::kmod::modinfo::Modinfo;
use initramfs::{Archive, Limits, ModuleTree, Request, Result};

/// A kernel without modules.
struct NoModules;

impl ModuleTree for NoModules {
    fn read(&self, _: &str) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

fn archive(input: &[u8]) {
    let mut limits = Limits::default();
    limits.unpacked = 8 << 20;
    let Ok(archive) = Archive::parse(input, &limits) else { return };
    let _ = (archive.generator(), archive.kernels());
    let _ = initramfs::missing(&archive, "1.0", &["a", "c", "hv_vmbus"], &NoModules);
    let _ = initramfs::inject(&archive, &Request::new("1.0", &["a", "b"], &NoModules));
}

/// cpio records, not compressed.
pub fn cpio(input: &[u8]) {
    archive(input);
}

/// The compressions of an initramfs; which one is in the first bytes.
pub fn codecs(input: &[u8]) {
    archive(input);
}

/// The indexes of kmod, its text files, and the section of a module that describes it.
pub fn modules(input: &[u8]) {
    let _ = Index::read(input, "fuzz");
    let _ = index::lookup(input, "fuzz", "abc");
    let _ = Dep::from_index(input, "1.0");
    let dep = Dep::parse(input, "1.0");
    let _ = (dep.text(), dep.priorities(), dep.index().write("fuzz"));
    let _ = Softdeps::parse(input).text();
    let aliases = Aliases::parse(input);
    for table in [Table::Alias, Table::Symbols] {
        let _ = aliases.text(table);
        let _ = Aliases::from_index(input, table);
    }
    let _ = Modinfo::parse(input, "fuzz.ko");
}
