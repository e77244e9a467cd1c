//! Paravirtual AMIs: a file system on the bare disk becomes a disk that starts by BIOS.

use std::path::{Path, PathBuf};

use testimages::judge::{self, KernelMount};
use testimages::{lab, loader, real, synthetic};

use crate::migration::{boot, came_to_login, only_planned_changes, plan, wrong};
use crate::program::{command, failure, json, refloat};

const MIB: u64 = 1 << 20;

/// The synthetic one, as `pv.img` in a folder of its own, where there is GRUB to put on it.
fn synthetic_guest() -> Option<(tempfile::TempDir, PathBuf)> {
    loader::grub()?;
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("pv.img");
    std::fs::rename(synthetic::named("bare-ext4-pv").copy_into(folder.path())?, &image).unwrap();
    Some((folder, image))
}

fn text(mount: &KernelMount, path: &str) -> String {
    std::fs::read_to_string(mount.path().join(path)).unwrap()
}

#[test]
fn it_is_named_and_the_way_is_shown() {
    let Some((folder, image)) = synthetic_guest() else { return };
    let (folder, before) = (folder.path(), judge::sha256(&image));
    let said = refloat(folder, "inspect pv.img", 0);
    assert!(
        said.contains("a paravirtual AMI") && said.contains("refloat plan pv.img --for azure-gen1"),
        "{said}"
    );
    let said = refloat(folder, "check pv.img --for azure-gen1", 1);
    assert!(
        said.contains("target.paravirtual") && said.contains("PV-GRUB") && said.contains("all fixable"),
        "{said}"
    );
    let said = refloat(folder, "check pv.img --for azure-gen2", 1);
    assert!(said.contains("nothing that UEFI starts: with --for azure-gen1"), "{said}");

    // a machine without GRUB says where to get it, and plans the rest
    let mut without = command(folder, "plan pv.img --for azure-gen1 -o plan.json --force");
    let output = without.env("PATH", folder).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("grub-pc-bin") && said.contains("--grub DIR"), "{said}");
    assert!(plan(folder)["steps"].as_array().unwrap().iter().all(|step| step["op"] != "wrap"));
    assert_eq!(judge::sha256(&image), before);
}

#[test]
fn a_plan_carries_its_boot_loader() {
    let Some((folder, image)) = synthetic_guest() else { return };
    let (folder, before) = (folder.path(), judge::sha256(&image));
    let said = refloat(folder, "plan pv.img --for azure-gen1 -o plan.json --force", 0);
    assert!(said.starts_with("# target.paravirtual\nput 1 MiB before the disk"), "{said}");
    let steps = plan(folder)["steps"].as_array().unwrap().clone();
    assert_eq!((&steps[0]["op"], &steps[0]["rules"][0]), (&"wrap".into(), &"target.paravirtual".into()));

    // in place there is no room for it
    let said = failure(folder, "apply plan.json --in-place");
    assert!(said.contains("no change in place") && said.contains("-o FIXED.qcow2"), "{said}");
    assert!(judge::sha256(&image) == before && !folder.join("pv.img.undo").exists());

    // applied by who has no GRUB, and without the image it is the same disk
    let applied = command(folder, "apply plan.json -o fixed.qcow2").env("PATH", folder).output().unwrap();
    assert!(applied.status.success(), "{applied:?}");
    refloat(folder, "migrate pv.img azure.vhd --for azure-gen1", 0);
    assert_eq!(judge::sha256(&image), before, "the source never changes");
    std::fs::remove_file(&image).unwrap();
    let (fixed, vhd) = (folder.join("fixed.qcow2"), folder.join("azure.vhd"));
    judge::qemu_img_check(&fixed, "qcow2");
    judge::qemu_img_compare((&fixed, "qcow2"), (&vhd, "vpc"));
    assert_eq!(judge::qemu_img_info(&vhd, "vpc")["virtual-size"], 49 * MIB);
    let checked = json(folder, "check azure.vhd --for azure-gen1", 0);
    assert_eq!((&checked["ready"], &checked["guest"]["partitions"]), (&true.into(), &1.into()), "{checked}");
}

#[test]
fn the_disk_that_is_made_is_one_for_its_judges() {
    if !judge::need_all(&["sfdisk", "grub-script-check"]) || !judge::need_kernel_mounts() {
        return;
    }
    let Some((folder, image)) = synthetic_guest() else { return };
    let folder = folder.path();
    refloat(folder, "migrate pv.img azure.vhd --for azure-gen1 --plan plan.json", 0);
    let vhd = folder.join("azure.vhd");
    let dump = judge::run(judge::tool("sfdisk").arg("-d").arg(&vhd)).stdout;
    let dump = String::from_utf8(dump).unwrap().replace(' ', "");
    assert!(dump.contains("start=2048,size=98304,type=83,bootable"), "{dump}");
    judge::e2fsck_clean(&vhd, MIB);
    let (old, new) =
        (KernelMount::read_only(&image, 0..48 * MIB), KernelMount::read_only(&vhd, MIB..49 * MIB));
    only_planned_changes(folder, &judge::manifest(old.path()), &judge::manifest(new.path()));
    judge::run(judge::tool("grub-script-check").arg(new.path().join("boot/grub/grub.cfg")));
    let menu = text(&new, "boot/grub/grub.cfg");
    assert!(
        menu.contains("root=UUID=") && menu.contains("console=ttyS0") && !menu.contains("hvc0"),
        "{menu}"
    );
    assert_eq!(text(&new, "boot/grub/menu.lst"), text(&old, "boot/grub/menu.lst"));
    assert!(text(&new, "etc/fstab").contains("UUID=") && !text(&new, "etc/fstab").contains("\n/dev/xvda"));
}

/// GRUB's own reader finds what its `core.img` looks for on partition 1 of this disk.
fn grub_finds_its_menu(disk: &Path) {
    if judge::need("grub-fstest").is_none() {
        return;
    }
    let cat =
        judge::run(judge::tool("grub-fstest").arg(disk).args(["cat", "(loop0,msdos1)/boot/grub/grub.cfg"]));
    let menu = String::from_utf8(cat.stdout).unwrap();
    assert!(menu.contains("menuentry 'Debian") && menu.contains("root=UUID="), "{menu}");
}

/// One that has a partition table: nothing moves, and it can be done in place.
#[test]
fn one_with_partitions_gets_a_loader_before_the_first() {
    if !judge::need_all(&["sfdisk", "grub-script-check"])
        || !judge::need_kernel_mounts()
        || loader::grub().is_none()
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::named("debian-pv-partitioned").copy_into(folder.path()) else { return };
    let (folder, before) = (folder.path(), judge::sha256(&image));
    std::fs::rename(&image, folder.join("pv.img")).unwrap();
    let image = folder.join("pv.img");
    let said = refloat(folder, "inspect pv.img", 0);
    assert!(said.contains("a paravirtual AMI"), "{said}");
    let said = refloat(folder, "check pv.img --for azure-gen1", 1);
    assert!(
        said.contains("p1: ext4 with a menu.lst, which EC2's PV-GRUB starts") && said.contains("all fixable"),
        "{said}"
    );
    refloat(folder, "check pv.img --for azure-gen2", 1);

    refloat(folder, "migrate pv.img azure.vhd --for azure-gen1 --plan plan.json", 0);
    assert_eq!(judge::sha256(&image), before, "the source never changes");
    let vhd = folder.join("azure.vhd");
    let dump = |disk: &Path| {
        let dump = judge::run(judge::tool("sfdisk").arg("-d").arg(disk)).stdout;
        String::from_utf8(dump).unwrap().replace(' ', "").replace(disk.to_str().unwrap(), "")
    };
    let active = |dump: String| dump.replace("type=83\n", "type=83,bootable\n");
    assert_eq!(dump(&vhd), active(dump(&image)));
    judge::e2fsck_clean(&vhd, MIB);
    let [old, new] =
        [&image, &vhd].map(|disk| judge::manifest(KernelMount::read_only(disk, MIB..49 * MIB).path()));
    only_planned_changes(folder, &old, &new);
    grub_finds_its_menu(&vhd);
    assert_eq!(json(folder, "check azure.vhd --for azure-gen1", 0)["ready"], true);

    refloat(folder, "apply plan.json --in-place", 0);
    assert_ne!(judge::sha256(&image), before);
    refloat(folder, "undo pv.img", 0);
    assert_eq!(judge::sha256(&image), before);
}

/// The first partition is where the old tools put it: there is no room for a loader.
#[test]
fn one_without_a_gap_is_refused_by_name() {
    if judge::need("sfdisk").is_none() || loader::grub().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(bare) = synthetic::named("bare-ext4-pv").copy_into(folder.path()) else { return };
    let folder = folder.path();
    let image = folder.join("pv.img");
    put_behind(&bare, &image, 63);
    let said = refloat(folder, "check pv.img --for azure-gen1", 1);
    assert!(said.contains("and 62 are free before the first partition"), "{said}");
}

/// A disk with a partition table whose one partition, from this sector on, is the file system `bare`.
fn put_behind(bare: &Path, disk: &Path, sector: u64) {
    let size = std::fs::metadata(bare).unwrap().len();
    let file = std::fs::File::create(disk).unwrap();
    file.set_len((512 * sector + size).next_multiple_of(MIB)).unwrap();
    let script = tempfile::NamedTempFile::new().unwrap();
    let partition = format!("label: dos\nstart={sector}, size={}, type=83\n", size / 512);
    std::fs::write(script.path(), partition).unwrap();
    let stdin = std::fs::File::open(script.path()).unwrap();
    judge::run(judge::tool("sfdisk").arg("-q").arg(disk).stdin(stdin));
    let mut dd = judge::tool("dd");
    dd.arg(format!("if={}", bare.display())).arg(format!("of={}", disk.display()));
    dd.args(["bs=1M", "conv=notrunc,sparse", "oflag=seek_bytes"]).arg(format!("seek={}", 512 * sector));
    judge::run(&mut dd);
}

/// A root of XFS on the bare disk.
#[test]
fn a_bare_xfs_is_made_to_start() {
    if !judge::need_all(&["mkfs.xfs", "xfs_repair"]) || !judge::need_kernel_mounts() {
        return;
    }
    let Some((folder, bare)) = synthetic_guest() else { return };
    let folder = folder.path();
    let (image, size) = (folder.join("xfs.img"), 304 * MIB);
    std::fs::File::create(&image).unwrap().set_len(size).unwrap();
    judge::run(judge::tool("mkfs.xfs").arg("-q").arg(&image));
    {
        let (from, to) =
            (KernelMount::read_only(&bare, 0..48 * MIB), KernelMount::read_write(&image, 0..size));
        judge::run(judge::tool("cp").arg("-a").arg(from.path().join(".")).arg(to.path()));
    }
    let said = refloat(folder, "check xfs.img --for azure-gen1", 1);
    assert!(said.contains("xfs without a partition table") && said.contains("all fixable"), "{said}");
    refloat(folder, "migrate xfs.img azure.vhd --for azure-gen1 --plan plan.json", 0);
    let vhd = folder.join("azure.vhd");
    let root = judge::cut(&vhd, MIB..MIB + size);
    judge::run(judge::tool("xfs_repair").args(["-n", "-f"]).arg(root.path()));
    let [old, new] = [(&image, 0..size), (&vhd, MIB..MIB + size)]
        .map(|(disk, range)| judge::manifest(KernelMount::with_options(disk, range, "ro").path()));
    only_planned_changes(folder, &old, &new);
    grub_finds_its_menu(&vhd);
    assert_eq!(json(folder, "check azure.vhd --for azure-gen1", 0)["ready"], true);
}

/// GRUB from a folder of the user's.
#[test]
fn grub_is_taken_from_where_the_user_says() {
    let Some((folder, _)) = synthetic_guest() else { return };
    let (folder, line) = (folder.path(), "plan pv.img --for azure-gen1 -o plan.json --force");
    let (boot, core) = loader::grub().unwrap();
    let own = folder.join("own");
    std::fs::create_dir(&own).unwrap();
    let said = failure(folder, &format!("{line} --grub own"));
    assert!(said.contains("there is no boot.img") && said.contains("help: give --grub a folder"), "{said}");
    std::fs::write(own.join("boot.img"), &boot).unwrap();
    std::fs::write(own.join("core.img"), "no loader").unwrap();
    let said = failure(folder, &format!("{line} --grub own"));
    assert!(said.contains("core.img is not GRUB's"), "{said}");

    std::fs::write(own.join("core.img"), &core).unwrap();
    refloat(folder, &format!("{line} --grub own"), 0);
    let own = plan(folder);
    let sectors = format!("{} sectors", core.len().div_ceil(512));
    assert!(own["steps"][0]["rendering"][1].as_str().unwrap().ends_with(&sectors), "{}", own["steps"][0]);
    refloat(folder, line, 0);
    assert_ne!(plan(folder)["steps"][0], own["steps"][0], "the package's has more modules");
    // what somebody made of a plan is no boot record any more
    let mut other = own.clone();
    other["steps"][0]["head"] = "AAAA".into();
    std::fs::write(folder.join("other.json"), other.to_string()).unwrap();
    let said = failure(folder, "apply other.json -o fixed.qcow2");
    assert!(said.contains("no boot record") && !folder.join("fixed.qcow2").exists(), "{said}");
}

/// The snapshot of one that ran: its journal is replayed behind the boot record.
#[test]
fn a_dirty_one_is_replayed_and_moved() {
    if !judge::need_kernel_mounts() {
        return;
    }
    let Some((folder, image)) = synthetic_guest() else { return };
    let folder = folder.path();
    let mount = KernelMount::read_write(&image, 0..48 * MIB);
    std::fs::write(mount.path().join("etc/motd"), "written while it ran").unwrap();
    judge::run(judge::tool("sync").arg("-f").arg(mount.path()));
    judge::run(judge::tool("cp").args([&image, &folder.join("dirty.img")]));
    drop(mount);
    refloat(folder, "migrate dirty.img azure.vhd --for azure-gen1 --plan plan.json", 0);
    let steps = plan(folder)["steps"].as_array().unwrap().clone();
    assert_eq!((&steps[0]["op"], &steps[1]["op"]), (&"wrap".into(), &"replay-journal".into()));
    assert_eq!(steps[1]["volume"], "p1");
    judge::e2fsck_clean(&folder.join("azure.vhd"), MIB);
    assert_eq!(refloat(folder, "fs cat azure.vhd#/etc/motd", 0), "written while it ran");
}

/// A real Debian: no BIOS starts it as it came.
#[test]
fn a_paravirtual_debian_is_migrated_and_booted() {
    let (Some(image), Some(_)) = (real::debian_pv(), loader::grub()) else { return };
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let folder = folder.path();
    std::os::unix::fs::symlink(&image, folder.join("pv.raw")).unwrap();
    let before = judge::sha256(&image);
    let found = wrong(folder, "pv.raw", "azure-gen1");
    for fault in [
        "target.paravirtual",
        "linux.initramfs.hyperv",
        "linux.grub.root-device",
        "linux.grub.serial-console",
        "linux.fstab.device-names",
        "linux.xen.leftovers",
    ] {
        assert!(found.iter().any(|rule| rule == fault), "{fault} is not among {found:?}");
    }
    let start = std::time::Instant::now();
    refloat(folder, "migrate pv.raw azure.vhd --for azure-gen1 --plan plan.json", 0);
    eprintln!("the paravirtual guest was migrated in {:?}", start.elapsed());
    assert_eq!(judge::sha256(&image), before, "the source never changes");
    let vhd = folder.join("azure.vhd");
    judge::e2fsck_clean(&vhd, MIB);
    let moved = MIB..MIB + real::DEBIAN_PV_ROOT.end;
    let [old, new] = [(&image, real::DEBIAN_PV_ROOT), (&vhd, moved)]
        .map(|(image, range)| judge::manifest(KernelMount::read_only(image, range).path()));
    only_planned_changes(folder, &old, &new);
    let Some(qemu) = lab::qemu() else { return };
    let broken = boot(folder, "pv.raw", "azure-gen1", Some(&qemu), 1);
    assert_eq!((&broken["verdict"], &broken["hop"]), (&"stopped".into(), &"firmware".into()), "{broken}");
    let booted = boot(folder, "azure.vhd", "azure-gen1", Some(&qemu), 0);
    eprintln!("it came to its login prompt: {}", booted["milestones"]);
    came_to_login(&booted);
}

/// The same behind a partition table, which PV-GRUB knew as hd00.
#[test]
fn a_paravirtual_debian_with_partitions_is_migrated_and_booted() {
    if !testimages::length::long() {
        return judge::skip("REFLOAT_LONG=1, as the boot takes minutes");
    }
    let (Some(bare), Some(_)) = (real::debian_pv(), loader::grub()) else { return };
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let folder = folder.path();
    put_behind(&bare, &folder.join("pv.raw"), 2048);
    refloat(folder, "migrate pv.raw azure.vhd --for azure-gen1 --plan plan.json", 0);
    judge::e2fsck_clean(&folder.join("azure.vhd"), MIB);
    let Some(qemu) = lab::qemu() else { return };
    let booted = boot(folder, "azure.vhd", "azure-gen1", Some(&qemu), 0);
    eprintln!("it came to its login prompt: {}", booted["milestones"]);
    came_to_login(&booted);
}
