//! Opening disks as trees: what the kernel shows of a synthetic guest, we show; what is no guest is no panic.

use std::path::Path;

use guestfix::edit::Edit;
use guestfix::facts::{Machine, Volume};
use guestfix::tree::Tree;
use guestfix::{Error, View};
use libdisk::block::{Disk, FileDisk, Memory, Zeros};
use libdisk::vfs::{FileType, Metadata};
use sha2::{Digest, Sha256};
use testimages::judge;
use testimages::synthetic;

mod support;

use support::Place;

/// A node as [`judge::manifest`] tells it, extended attributes left out.
fn line(tree: &Tree, path: &[u8], metadata: &Metadata) -> guestfix::Result<String> {
    let (kind, content) = match metadata.file_type {
        FileType::Directory => (0o040000, "dir".to_owned()),
        FileType::Symlink => {
            let target = tree.link_target(path)?.unwrap_or_default();
            (0o120000, format!("link {}", String::from_utf8_lossy(&target)))
        }
        FileType::Regular => {
            let mut content = Vec::new();
            tree.copy_to(path, &mut content)?;
            let digest: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
            (0o100000, format!("file {} {digest}", metadata.size))
        }
        // Synthetic guests have none.
        other => panic!("{other:?}"),
    };
    let mode = kind | u32::from(metadata.mode);
    Ok(format!("{mode:06o} {}:{} {content}", metadata.uid, metadata.gid))
}

/// The same volume through the kernel.
fn kernel_lines(image: &Path, machine: &Machine, volume: &Volume) -> Vec<(String, String)> {
    let mount = Place::of(image, machine, volume).mount(volume);
    let point = volume.mounted_at.as_deref().unwrap_or("/").trim_end_matches('/').to_owned();
    let manifest = judge::manifest(mount.path()).into_iter();
    let full = |path: String| {
        if path == "/" && !point.is_empty() { point.clone() } else { format!("{point}{path}") }
    };
    manifest.map(|(path, line)| (full(path), line)).collect()
}

#[test]
fn the_tree_is_what_the_kernel_mounts() {
    if !judge::need_kernel_mounts() {
        return;
    }
    let mut compared = 0;
    for guest in synthetic::all() {
        let Some(image) = guest.path() else { return };
        let tree = Tree::open(FileDisk::open(&image).unwrap().disk()).unwrap();
        assert!(tree.has_root(), "{}", guest.name);
        let volumes = &tree.machine().volumes;
        let ext =
            volumes.iter().filter(|volume| volume.kind_name().is_some_and(|kind| kind.starts_with("ext")));
        for volume in ext.filter(|volume| volume.mounted_at.is_some()) {
            for (path, theirs) in kernel_lines(&image, tree.machine(), volume) {
                let covered = |other: &Volume| {
                    let point = other.mounted_at.as_deref().unwrap_or("/");
                    other != volume && point != "/" && format!("{path}/").starts_with(&format!("{point}/"))
                };
                if volumes.iter().any(covered) {
                    continue;
                }
                let metadata = tree.metadata(path.as_bytes(), false).unwrap();
                let metadata = metadata.unwrap_or_else(|| panic!("{}: {path} is missing", guest.name));
                let ours = line(&tree, path.as_bytes(), &metadata).unwrap();
                let rest = theirs.strip_prefix(&ours);
                // Extended attributes follow.
                assert!(
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')),
                    "{path}: {ours}, {theirs}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn what_holds_no_guest_opens_empty() {
    for disk in [Disk::new(Zeros::new(1 << 20)), Disk::new(Memory::new(vec![0x5A; 1 << 20]))] {
        let tree = Tree::open(disk).unwrap();
        assert!(!tree.has_root());
        assert!(!tree.exists("/etc/fstab").unwrap());
        assert_eq!(tree.list("/").unwrap(), Vec::<String>::new());
        assert_eq!(tree.machine().volumes.len(), 1);
        tree.walk(&mut |_, _| panic!("nothing is there")).unwrap();
    }
}

#[test]
fn bytes_of_the_disk_are_read_and_their_changes_conditional() {
    let tree = Tree::open(Disk::new(Memory::new(vec![7; 4096]))).unwrap();
    assert_eq!(tree.disk_bytes(0, 4000, 3).unwrap(), [7; 3]);
    assert!(matches!(tree.disk_bytes(0, 4095, 2), Err(Error::Device(_))));
    // The plan format names them as well.
    let edit =
        Edit::PutBytes { disk: 0, offset: 440, sha256: "00".into(), content: vec![1], rendering: vec![] };
    let json = serde_json::to_string(&edit).unwrap();
    assert_eq!(serde_json::from_str::<Edit>(&json).unwrap(), edit);
}
