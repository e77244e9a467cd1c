//! The folders of the root that init and what it starts cannot do without, and whether others than root get
//! into them.

use libdisk::vfs::FileType;

use crate::{Result, View};

/// Where the kernel and systemd mount what is theirs; they are there before anything could make them.
const MOUNT_POINTS: &[&str] = &["/dev", "/proc", "/run", "/sys"];
/// Where the programs and the configuration are of services that run as users of their own.
const OPEN: &[&str] = &[
    "/",
    "/bin",
    "/etc",
    "/lib",
    "/lib64",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib/systemd",
    "/usr/lib64",
    "/var",
    "/var/lib",
];
/// By it others than the owner and the group get into a folder.
const SEARCH: u16 = 0o001;

/// The folder that stops the boot, and why.
pub(super) fn fault(view: &dyn View) -> Result<Option<(&'static str, String)>> {
    for folder in MOUNT_POINTS {
        if !view.stat(folder)?.is_some_and(|node| node.file_type == FileType::Directory) {
            let why = "there is no such folder, and nothing makes it before it is needed";
            return Ok(Some((folder, why.to_owned())));
        }
    }
    if view.stat("/tmp")?.is_some_and(|node| node.file_type != FileType::Directory) {
        return Ok(Some(("/tmp", "it is no folder, and services do not start without it".to_owned())));
    }
    for folder in OPEN {
        let Some(node) = view.stat(folder)? else { continue };
        if node.mode & SEARCH == 0 {
            let why =
                format!("its mode {:04o} keeps services out that do not run as root", node.mode & 0o7777);
            return Ok(Some((folder, why)));
        }
    }
    Ok(None)
}
