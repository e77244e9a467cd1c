//! How to reach the modules that a guest has.

use crate::error::Result;

/// The guest's `/lib/modules/<kver>` directory, of one kernel. Paths are relative to it, with no leading
/// slash: `modules.dep`, `kernel/drivers/hv/hv_vmbus.ko.xz`.
pub trait ModuleTree {
    /// The whole content of a file, `None` if there is none at `path`. Errors: see
    /// [`Error::tree`](crate::Error::tree).
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>>;

    /// The paths of all files below the directory, in any order. Called only for a module that `modules.dep`
    /// does not name, as that index may be missing (no package ships it: `depmod` writes it on
    /// installation) or stale.
    fn list(&self) -> Result<Vec<String>>;
}

/// A module's name as the kernel knows it, from its own name or file name: `-` is `_`, and no directory or
/// suffix.
pub(crate) fn normalise(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    let stem = file.split('.').next().unwrap_or(file);
    stem.replace('-', "_")
}
