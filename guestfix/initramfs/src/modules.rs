//! Which modules a guest needs on Hyper-V, and how to reach the ones it has.

use crate::error::Result;

/// Without these a guest on Azure finds no root disk, whatever else it has.
///
/// `hv_vmbus` is the bus, `hv_storvsc` the SCSI controller on it ("Information for non-endorsed distributions", Microsoft
/// Learn, "The Hyper-V ... drivers"), `sd_mod` the disk itself: an image built on EC2 for NVMe alone lacks all of SCSI.
pub const REQUIRED: &[&str] = &["hv_vmbus", "hv_storvsc", "sd_mod"];

/// Modules worth having early, each skipped where the kernel does not have it.
///
/// Network, time and shutdown, keyboard and pointer, PCI pass-through ("Linux Integration Services", Microsoft Learn);
/// `sr_mod` for the provisioning disc; `nvme` for the sizes whose remote disks are NVMe ("Enable NVMe", Microsoft Learn).
pub const DESIRED: &[&str] =
    &["hv_netvsc", "hv_utils", "hyperv_keyboard", "hid_hyperv", "pci_hyperv", "sr_mod", "nvme", "nvme_core"];

/// The modules also named in the generator's own list of modules to load, so that nothing depends on udev alone.
pub const FORCE_LOAD: &[&str] = &["hv_vmbus", "hv_storvsc", "hv_netvsc"];

/// The guest's `/lib/modules/<kver>` directory, of one kernel. Paths are relative to it, with no leading slash:
/// `modules.dep`, `kernel/drivers/hv/hv_vmbus.ko.xz`.
pub trait ModuleTree {
    /// The whole content of a file, `None` if there is none at `path`. Errors: see [`Error::tree`](crate::Error::tree).
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>>;

    /// The paths of all files below the directory, in any order. Called only for a module that `modules.dep` does not
    /// name, as that index may be missing (no package ships it: `depmod` writes it on installation) or stale.
    fn list(&self) -> Result<Vec<String>>;
}

/// A module's name as the kernel knows it, from its own name or file name: `-` is `_`, and no directory or suffix.
pub(crate) fn normalise(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    let stem = file.split('.').next().unwrap_or(file);
    stem.replace('-', "_")
}
