//! Guests that were made to cost time and memory: each is judged within both, and what is refused is named.

use std::time::Duration;

use guestfix::facts::{Lvm, Machine, TableKind};
use guestfix::plan::{Verdict, check};
use guestfix::tree::Tree;
use guestfix::{Goal, platform::azure};
use libdisk::vfs::{FileType, MemoryFs};
use testimages::hostile::{Memory, processor_time};

#[global_allocator]
static MEMORY: Memory = Memory;

/// For one check, of the processor's time.
const PATIENCE: Duration = Duration::from_secs(5);
/// For one check, beside the guest itself, which is in memory here.
const CEILING: usize = 200 << 20;

fn guest() -> MemoryFs {
    MemoryFs::from_entries([
        ("/etc/os-release", "ID=debian\nVERSION_ID=12\nPRETTY_NAME=Debian\n"),
        ("/boot/vmlinuz-6.1.0", "kernel"),
        ("/lib/modules/6.1.0/modules.dep", "kernel/drivers/hv/hv_vmbus.ko:\n"),
        ("/etc/fstab", "UUID=1 / ext4 defaults 0 1\n"),
        ("/boot/grub/grub.cfg", GRUB_CFG),
    ])
}

const GRUB_CFG: &str =
    "menuentry 'x' {\n linux /boot/vmlinuz-6.1.0 root=UUID=1\n initrd /boot/initrd.img-6.1.0\n}\n";

/// Checks the guest; answers the paths and reasons of what was not read.
#[track_caller]
fn checked(what: &str, fs: MemoryFs) -> Vec<String> {
    let machine = Machine { size: 8 << 30, bios: vec!["boot code".into()], ..machine() };
    let goal = Goal::new(&azure::GEN1);
    let tree = Tree::from_filesystems(vec![("/".into(), Box::new(fs))], machine);
    MEMORY.reset_peak_usage();
    let (before, began) = (MEMORY.current_usage(), processor_time());
    let check = check(&tree, &goal).unwrap();
    let (took, held) = (processor_time() - began, MEMORY.peak_usage().saturating_sub(before));
    assert!(took < PATIENCE, "{what}: {took:?}");
    assert!(held < CEILING, "{what}: {} MiB", held >> 20);
    assert!(!check.ready(), "{what}: ready");
    let unread = check.items.iter().filter(|item| {
        assert!(item.verdict != Verdict::Ok || item.unread.is_empty());
        !item.unread.is_empty()
    });
    unread.flat_map(|item| &item.unread).map(ToString::to_string).collect()
}

fn machine() -> Machine {
    Machine {
        size: 0,
        table: TableKind::Mbr,
        remote: false,
        table_faults: Vec::new(),
        bios: Vec::new(),
        uefi: Vec::new(),
        data_disks: Vec::new(),
        volumes: Vec::new(),
        lvm: Lvm::default(),
    }
}

#[track_caller]
fn refused(what: &str, fs: MemoryFs, path: &str, why: &str) {
    let unread = checked(what, fs);
    let is_named = unread.iter().any(|unread| unread.contains(path) && unread.contains(why));
    assert!(is_named, "{what}: {path} is not named with {why:?}, only {unread:?}");
}

#[test]
fn texts_without_end() {
    let lines = |line: &str, size: usize| line.repeat(size / line.len());
    let fstab = lines("/dev/xvdb /mnt ext4 defaults 0 0\n", 64 << 20);
    refused("fstab of 64 MiB", guest().file("/etc/fstab", fstab), "/etc/fstab", "bytes are more than");
    let fstab = lines("/dev/xvdb /mnt ext4 defaults 0 0\n", 1 << 20);
    refused("fstab of 1 MiB", guest().file("/etc/fstab", fstab), "/etc/fstab", "lines are more than");
    let menu = GRUB_CFG.repeat(100_000);
    let path = "/boot/grub/grub.cfg";
    refused("a menu of 9 MB", guest().file(path, menu), path, "bytes are more than");
    let menu = "menuentry x {\nlinux /k\n}\n".repeat(60_000);
    refused("60,000 entries", guest().file(path, menu), path, "boot entries are more than");
    let deep = "submenu x {\n".repeat(100_000) + &"linux /k\n".repeat(900);
    checked("menus in menus", guest().file(path, deep));
    let initrds = format!("menuentry x {{\nlinux /k\ninitrd {}\n}}\n", "/i ".repeat(600_000));
    refused("600,000 images", guest().file(path, initrds), path, "initramfs images");
    let dep = lines("kernel/a.ko:\n", 16 << 20);
    let path = "/lib/modules/6.1.0/modules.dep";
    refused("modules.dep of 16 MiB", guest().file(path, dep), path, "bytes are more than");
    checked("modules.dep of 4 MiB", guest().file(path, lines("kernel/a.ko: b c d e\n", 4 << 20)));
}

#[test]
fn a_menu_as_large_as_is_taken_is_changed_in_one_pass() {
    let entries: String = (0..900)
        .map(|index| {
            format!("menuentry 'x{index}' {{\n linux /boot/vmlinuz-6.1.0 root=/dev/xvda1 console=hvc0\n}}\n")
        })
        .collect();
    checked("900 entries", guest().file("/boot/grub/grub.cfg", entries));
}

#[test]
fn folders_without_end() {
    let many = |fs: MemoryFs, dir: &str, count: usize| {
        (0..count).fold(fs, |fs, index| fs.dir(&format!("{dir}/6.1.{index}")))
    };
    refused("300 kernels", many(guest(), "/lib/modules", 300), "/lib/modules", "kernels are more than");
    let entries = (0..1_100).fold(guest(), |fs, index| {
        let entry = "title x\nlinux /boot/vmlinuz-6.1.0\noptions root=/dev/xvda1\n";
        fs.file(&format!("/boot/loader/entries/{index}.conf"), entry)
    });
    let menu = entries.file("/boot/grub/grub.cfg", "blscfg\n");
    refused("1,100 entries in files", menu, "/boot/loader/entries", "boot entries are more than");
}

/// A folder, a pipe or a loop of links in the place of a file is told, and the rest is judged.
#[test]
fn odd_files_cost_nothing_but_themselves() {
    for path in ["/etc/fstab", "/etc/default/grub", "/boot/grub/grub.cfg", "/etc/os-release"] {
        let without = || guest().symlink("/etc/default/unused", "x");
        let plain = checked("nothing odd", without());
        let gone = |fs: MemoryFs| if fs.resolve(path).is_some() { remove(fs, path) } else { fs };
        for (what, fs) in [
            ("a folder", gone(without()).dir(path)),
            ("a pipe", gone(without()).special(path, FileType::Fifo, None)),
            ("a loop", gone(without()).symlink(path, path)),
        ] {
            let unread = checked(&format!("{what} at {path}"), fs);
            let told = unread.iter().any(|unread| unread.contains(path));
            assert!(told, "{what} at {path}: {unread:?}, without it {plain:?}");
        }
    }
}

fn remove(mut fs: MemoryFs, path: &str) -> MemoryFs {
    use libdisk::vfs::FileSystemMut;
    let (dir, name) = path.rsplit_once('/').unwrap();
    let dir = fs.resolve(dir).unwrap();
    let mut change = fs.begin().unwrap();
    change.unlink(dir, name.as_bytes()).unwrap();
    change.commit().unwrap();
    fs
}
