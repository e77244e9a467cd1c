//! Paravirtual AMIs: a file system on the bare disk becomes a disk that starts by BIOS.

use std::path::PathBuf;

use testimages::judge::{self, KernelMount};
use testimages::{lab, loader, phony, real};

use crate::migration::{boot, came_to_login, only_planned_changes, plan, wrong};
use crate::program::{command, failure, json, refloat};

const MIB: u64 = 1 << 20;

/// The phony one, as `pv.img` in a folder of its own, where there is GRUB to put on it.
fn phony_guest() -> Option<(tempfile::TempDir, PathBuf)> {
    loader::grub()?;
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("pv.img");
    std::fs::rename(phony::named("bare-ext4-pv").copy_into(folder.path())?, &image).unwrap();
    Some((folder, image))
}

fn text(mount: &KernelMount, path: &str) -> String {
    std::fs::read_to_string(mount.path().join(path)).unwrap()
}

#[test]
fn it_is_named_and_the_way_is_shown() {
    let Some((folder, image)) = phony_guest() else { return };
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
    let mut without = command(folder, "plan pv.img --for azure-gen1 -o plan.json");
    let output = without.env("PATH", folder).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("grub-pc-bin") && said.contains("--grub DIR"), "{said}");
    assert!(plan(folder)["steps"].as_array().unwrap().iter().all(|step| step["op"] != "wrap"));
    assert_eq!(judge::sha256(&image), before);
}

#[test]
fn a_plan_carries_its_boot_loader() {
    let Some((folder, image)) = phony_guest() else { return };
    let (folder, before) = (folder.path(), judge::sha256(&image));
    let said = refloat(folder, "plan pv.img --for azure-gen1 -o plan.json", 0);
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
    let Some((folder, image)) = phony_guest() else { return };
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

/// GRUB from a folder of the user's.
#[test]
fn grub_is_taken_from_where_the_user_says() {
    let Some((folder, _)) = phony_guest() else { return };
    let (folder, line) = (folder.path(), "plan pv.img --for azure-gen1 -o plan.json");
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
    let Some((folder, image)) = phony_guest() else { return };
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
    assert_eq!((&broken["verdict"], &broken["step"]), (&"stopped".into(), &"firmware".into()), "{broken}");
    let booted = boot(folder, "azure.vhd", "azure-gen1", Some(&qemu), 0);
    eprintln!("it came to its login prompt: {}", booted["milestones"]);
    came_to_login(&booted);
}
