//! A guest on subvolumes: found and read; what would have to be written is told, not tried.

use std::fs;
use std::path::Path;

use guestfix::plan::{Identity, plan};
use guestfix::rule::CloudInit;
use guestfix::tree::Tree;
use guestfix::{Device, Goal, Target, View};
use libdisk::block::{Disk, FileDisk};
use testimages::{judge, phony};

/// A file system of 256 MiB that is the whole disk, with the files of a Debian in `@` and a subvolume for `/home`.
fn disk(path: &Path) -> Option<Disk> {
    if !judge::need_all(&["mkfs.btrfs", "btrfs"]) || !judge::need_kernel_mounts() {
        return None;
    }
    let debian = phony::named("debian-mbr-ext4").path()?;
    let tree = Tree::open(FileDisk::open(&debian).unwrap().disk()).unwrap();
    let root =
        tree.machine().volumes.iter().find(|volume| volume.mounted_at.as_deref() == Some("/")).unwrap();
    let Device::Range(range) = root.device.clone() else { panic!("a partition") };

    fs::File::create(path).unwrap().set_len(256 << 20).unwrap();
    judge::run(judge::tool("mkfs.btrfs").arg("-q").arg(path));
    let mount = judge::KernelMount::with_options(path, 0..256 << 20, "rw");
    for name in ["@", "@home"] {
        judge::run(judge::tool("btrfs").args(["subvolume", "create"]).arg(mount.path().join(name)));
    }
    let source = judge::KernelMount::read_only(&debian, range);
    judge::run(judge::tool("cp").arg("-a").arg(source.path().join(".")).arg(mount.path().join("@")));
    let disk = FileDisk::open(path).unwrap().disk();
    let uuid = libdisk::open_filesystem(&disk).unwrap().unwrap().info().unwrap().uuid.unwrap();
    let fstab =
        format!("UUID={uuid} / btrfs subvol=@ 0 0\nUUID={uuid} /home btrfs rw,subvol=/@home,noatime 0 0\n");
    fs::write(mount.path().join("@/etc/fstab"), fstab).unwrap();
    fs::create_dir_all(mount.path().join("@/home")).unwrap();
    fs::write(mount.path().join("@home/inside"), "a subvolume").unwrap();
    Some(disk)
}

#[test]
fn a_guest_on_subvolumes_is_read_and_not_edited() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = disk(&dir.path().join("disk.img")) else { return };
    let tree = Tree::open(disk.clone()).unwrap();
    let [volume] = &tree.machine().volumes[..] else { panic!("one volume") };
    assert_eq!((volume.kind.as_deref(), volume.mounted_at.as_deref()), (Some("btrfs"), Some("/")));
    assert_eq!(tree.text("/home/inside").unwrap().as_deref(), Some("a subvolume"));
    assert!(tree.exists("/etc/os-release").unwrap());
    let why = volume.read_only.as_deref().unwrap();
    assert!(why.contains("writing to btrfs"), "{why}");

    let goal = Goal { target: Target::AzureGen1, cloud_init: CloudInit::Disable };
    let plan = plan(&tree, &Identity::of("disk.img", &disk).unwrap(), &goal).unwrap();
    assert!(plan.steps.is_empty() && !plan.by_hand.is_empty(), "{plan:?}");
    let told = format!("{:?}", plan.by_hand);
    assert!(told.contains("writing to btrfs"), "{told}");
}
