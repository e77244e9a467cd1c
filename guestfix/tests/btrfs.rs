//! A guest on subvolumes: found and read; what would have to be written is told, not tried.

use std::fs;
use std::path::Path;

use guestfix::facts::SignatureKind;
use guestfix::plan::{Identity, Verdict, check, plan};
use guestfix::platform::azure;
use guestfix::tree::Tree;
use guestfix::{Goal, View};
use libdisk::block::{Disk, FileDisk};
use testimages::{judge, synthetic};

/// A file system of 256 MiB that is the whole disk, with the files of a Debian in `@` and a subvolume for
/// `/home`.
fn disk(path: &Path) -> Option<Disk> {
    if !judge::need_all(&["mkfs.btrfs", "btrfs"]) || !judge::need_kernel_mounts() {
        return None;
    }
    let debian = synthetic::named("debian-mbr-ext4").path()?;
    let tree = Tree::open(FileDisk::open(&debian).unwrap().disk()).unwrap();
    let root =
        tree.machine().volumes.iter().find(|volume| volume.mounted_at.as_deref() == Some("/")).unwrap();
    let Some(range) = root.device.range() else { panic!("a partition") };

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
    assert_eq!((volume.kind, volume.mounted_at.as_deref()), (Some(SignatureKind::Btrfs), Some("/")));
    assert_eq!(tree.text("/home/inside").unwrap().as_deref(), Some("a subvolume"));
    assert!(tree.exists("/etc/os-release").unwrap());
    let why = volume.read_only.as_deref().unwrap();
    assert!(why.contains("writing to btrfs"), "{why}");

    let goal = Goal::new(&azure::GEN1);
    let plan = plan(&tree, &[Identity::of("disk.img", &disk).unwrap()], &goal).unwrap();
    assert!(plan.steps.is_empty() && !plan.by_hand.is_empty(), "{plan:?}");
    let told = format!("{:?}", plan.by_hand);
    assert!(told.contains("writing to btrfs"), "{told}");
}

/// What is wrong is found as on any other file system: names of EC2, and the subvolume that the root is on is
/// none of it.
#[test]
fn a_guest_on_subvolumes_is_judged_as_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    let Some(disk) = disk(&path) else { return };
    let found = |disk: &Disk| {
        let goal = Goal::new(&azure::GEN1);
        let check = check(&Tree::open(disk.clone()).unwrap(), &goal).unwrap();
        let mut out = Vec::new();
        for item in check.items {
            if let Verdict::Wrong { evidence, .. } = item.verdict {
                let lines =
                    evidence.iter().map(|line| format!("{}  {}  {}", item.rule, line.place, line.what));
                out.extend(lines);
            }
        }
        out
    };
    let golden = include_str!("golden/debian-mbr-ext4.txt");
    let expected = |rule: &str| {
        let lines = golden.lines().filter(|line| line.split("  ").next() == Some(rule));
        lines
            .map(|line| line.replacen("  fix  ", "  ", 1).replacen("  by hand  ", "  ", 1))
            .collect::<Vec<_>>()
    };
    let lines = found(&disk);
    let of = |rule: &str| {
        lines.iter().filter(|line| line.split("  ").next() == Some(rule)).cloned().collect::<Vec<_>>()
    };
    for rule in [
        "linux.initramfs.hyperv",
        "linux.network.mac-pinned",
        "linux.aws.agents",
        "linux.grub.serial-console",
    ] {
        assert!(!of(rule).is_empty());
        assert_eq!(of(rule), expected(rule), "{rule}");
    }
    // the disk is the file system: nothing has a number
    assert_eq!(of("linux.fstab.device-names"), [""; 0]);
    let root = of("linux.grub.root-device");
    assert!(root.iter().all(|line| line.contains("root=/dev/xvda1")), "{root:?}");

    let uuid = libdisk::open_filesystem(&disk).unwrap().unwrap().info().unwrap().uuid.unwrap();
    {
        let mount = judge::KernelMount::with_options(&path, 0..256 << 20, "rw");
        let cfg = mount.path().join("@/boot/grub/grub.cfg");
        let text = fs::read_to_string(&cfg).unwrap();
        let root = format!("root=UUID={uuid} rootflags=subvol=@");
        fs::write(&cfg, text.replace("root=/dev/xvda1", &root)).unwrap();
    }
    let mended = FileDisk::open(&path).unwrap().disk();
    let lines = found(&mended);
    assert!(!lines.iter().any(|line| line.starts_with("linux.grub.root-device")), "{lines:?}");
}
