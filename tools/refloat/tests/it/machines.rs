//! Machines of several disks: a volume group on two of them, and a third that fstab mounts by its UUID.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use standin::{Faults, Instance, Snapshot};
use testimages::{judge, lvm, synthetic};

use crate::cloud::{Cloud, ID, same};
use crate::killed::{chosen, killed_at, moments};
use crate::program::{command, failure, json, refloat};

const NAME: &str = "debian-three-disks";
/// The files, as they are typed.
const SET: &str =
    "debian-three-disks.raw --disk debian-three-disks-data1.raw --disk debian-three-disks-data2.raw";

/// The images, to write to.
fn copies(folder: &Path) -> Option<Vec<PathBuf>> {
    if !lvm::need() {
        return None;
    }
    synthetic::machines().iter().find(|machine| machine.name == NAME)?.copy_into(folder)
}

fn contents(images: &[PathBuf]) -> Vec<Vec<u8>> {
    images.iter().map(|image| fs::read(image).unwrap()).collect()
}

#[test]
fn every_verb_takes_all_disks() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(images), folder) = (copies(folder.path()), folder.path()) else { return };
    let before = contents(&images);

    let inspection = json(folder, &format!("inspect {SET}"), 0);
    let volumes = inspection["machine"]["volumes"].as_array().unwrap();
    let at = |name: &str| volumes.iter().find(|volume| volume["name"] == name).unwrap()["mounted_at"].clone();
    assert_eq!((at("debian-vg/root"), at("disk3")), ("/".into(), "/data".into()));
    let text = refloat(folder, &format!("inspect {SET}"), 0);
    assert!(text.contains("disk2") && text.contains("debian-three-disks-data2.raw"), "{text}");

    let check = json(folder, &format!("check {SET} --for azure-gen1"), 1);
    for rule in ["linux.fstab.absent-disks", "linux.fstab.optional", "disk.whole", "linux.mount-units"] {
        let item = check["items"].as_array().unwrap().iter().find(|item| item["rule"] == rule);
        assert!(item.is_none_or(|item| item["verdict"] != "wrong"), "{rule}: {item:?}");
    }
    let further = SET.strip_prefix("debian-three-disks.raw ").unwrap();
    let line = format!("fs cat debian-three-disks.raw#/data/customers.csv {further}");
    assert!(refloat(folder, &line, 0).starts_with("customer,city\n"));

    refloat(folder, &format!("plan {SET} --for azure-gen1 -o plan.json"), 0);
    let plan: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("plan.json")).unwrap()).unwrap();
    assert_eq!(plan["source"].as_array().unwrap().len(), 3);
    // One overlay a disk, in a folder; a second plan is empty.
    let applied = json(folder, "apply plan.json -o fixed", 0);
    let overlays: Vec<_> =
        applied["disks"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(overlays.len(), 3);
    let fixed = format!("{} --disk {} --disk {} --allow-backing .", overlays[0], overlays[1], overlays[2]);
    refloat(folder, &format!("plan {fixed} --for azure-gen1 -o second.json"), 0);
    let second: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("second.json")).unwrap()).unwrap();
    assert_eq!(second["steps"], serde_json::json!([]));
    assert!(contents(&images) == before, "the source changed");

    // The same by way of a migration: all disks, each an upload.
    let moved = json(folder, &format!("migrate {SET} out.vhd --for azure-gen1"), 0);
    assert_eq!(moved["data"].as_array().unwrap().len(), 2);
    for (overlay, vhd) in overlays.iter().zip(["out.vhd", "out-data1.vhd", "out-data2.vhd"]) {
        refloat(folder, &format!("verify {vhd}"), 0);
        judge::qemu_img_compare((&folder.join(overlay), "qcow2"), (&folder.join(vhd), "vpc"));
    }
    refloat(folder, &format!("convert {SET} whole.vhd"), 0);
    let uploads = "whole.vhd --disk whole-data1.vhd --disk whole-data2.vhd";
    refloat(folder, &format!("verify {uploads}"), 0);
    let said = failure(folder, &format!("verify {uploads} debian-three-disks.raw"));
    assert!(said.contains("has 3 disks") && said.contains("--other-disk"), "{said}");
    let others = SET.replace("--disk", "--other-disk");
    refloat(folder, &format!("verify {uploads} {others}"), 0);
    // Disk by disk: the last one of these is another.
    let others = others.replace("data2", "data1").replacen("data1", "data2", 1);
    let verified = json(folder, &format!("verify {uploads} {others}"), 1);
    assert_eq!(
        (&verified["same"], &verified["data"][1]["same"]),
        (&true.into(), &false.into()),
        "{verified}"
    );
}

/// Each disk and each volume has an address, by the name that findings give it.
#[test]
fn volumes_of_every_disk_have_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(images), folder) = (copies(folder.path()), folder.path()) else { return };
    let further = SET.strip_prefix("debian-three-disks.raw").unwrap();
    let at = |place: &str| format!("{NAME}.raw#{place}{further}");
    let listed = refloat(folder, &format!("fs ls {}", at("disk3:/")), 0);
    assert!(listed.contains("/customers.csv"), "{listed}");
    assert!(refloat(folder, &format!("fs cat {}", at("disk3:/customers.csv")), 0).starts_with("customer,"));
    let stat = json(folder, &format!("fs stat {}", at("debian-vg/srv:/orders.csv")), 0);
    assert_eq!(stat["path"], "/orders.csv");
    let grub = refloat(folder, &format!("fs ls {}", at("disk1p1:/grub")), 0);
    assert!(
        grub.contains("/grub/grub.cfg") && grub == refloat(folder, &format!("fs ls {}", at("p1:/grub")), 0)
    );
    // A volume alone, and in another machine.
    let others = further.replace("--disk", "--other-disk");
    let diff = format!("fs diff {} {NAME}-data2.raw", at("disk3:/"));
    refloat(folder, &diff, 0);
    refloat(folder, &format!("fs diff {} {NAME}.raw#/srv {others}", at("debian-vg/srv:/")), 1);
    refloat(folder, &format!("fs diff {} {NAME}.raw {others}", at("/")), 0);
    // A disk is one, too: what is there, and a copy of it.
    let inspection = json(folder, &format!("inspect {}", at("disk3")), 0);
    assert_eq!(inspection["machine"]["size"], images[2].metadata().unwrap().len());
    let path = inspection["source"][0]["path"].as_str().unwrap();
    assert!(path.ends_with(&format!("/{NAME}-data2.raw")), "{path}");
    refloat(folder, &format!("convert {NAME}.raw#disk2 second.raw {further}"), 0);
    assert!(same(&folder.join("second.raw"), &images[1]));

    for (place, why) in [
        ("disk4", "there is no disk 4; the machine has 3 disks"),
        ("disk2p1", "there is no partition 1; there are: none"),
        ("disk0", "disks count from 1"),
    ] {
        let said = failure(folder, &format!("inspect {}", at(place)));
        assert!(said.contains(why) && said.contains("help: "), "{place}: {said}");
    }
    let said = failure(folder, &format!("inspect {NAME}.raw#disk2"));
    assert!(said.contains("there is no disk 2; the machine has 1 disk"), "{said}");
    let said = failure(folder, &format!("check {} --for azure-gen1", at("disk2")));
    assert!(said.contains("takes a whole disk"), "{said}");
}

/// A volume group's super blocks count for the disk that they lie on, though no disk has all of a volume.
#[test]
fn a_plan_refuses_a_machine_of_which_a_volume_was_mounted_since() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(images), folder) = (copies(folder.path()), folder.path()) else { return };
    refloat(folder, &format!("plan {SET} --for azure-gen1 -o plan.json"), 0);
    let physical = [(images[0].as_path(), 17 << 20..64 << 20), (images[1].as_path(), 0..32 << 20)];
    let first = |volume: &str| {
        let (device, range) = lvm::Devices::over(&physical).runs(volume).remove(0);
        let (image, Range { start, .. }) = &physical[device];
        (*image, start + range.start)
    };
    let (root, srv) = (first("debian-vg/root"), first("debian-vg/srv"));
    // The time of the last mount is in each, in the third disk's as well.
    let mount_again = |image: &Path, start: u64| {
        let file = fs::File::options().read(true).write(true).open(image).unwrap();
        let (mut time, at) = ([0], start + 1024 + 0x2c);
        file.read_exact_at(&mut time, at).unwrap();
        file.write_all_at(&[time[0] ^ 1], at).unwrap();
    };
    for (image, start) in [root, srv, (images[2].as_path(), 0)] {
        mount_again(image, start);
        let before = contents(&images);
        for line in ["apply plan.json -o fixed", "apply plan.json --in-place"] {
            let said = failure(folder, line);
            assert!(said.contains("not the one the plan was made for"), "{}: {said}", image.display());
        }
        assert!(contents(&images) == before && !folder.join("fixed").exists());
        mount_again(image, start);
    }
    refloat(folder, "apply plan.json -o fixed", 0);
}

#[test]
fn what_names_no_machine_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(_), folder) = (copies(folder.path()), folder.path()) else { return };
    for (line, why) in [
        (format!("inspect {NAME}.raw --disk {NAME}.raw"), "is named twice"),
        (format!("inspect {NAME}.raw --disk {NAME}-data2.raw#p1"), "takes a whole disk"),
        (format!("undo {NAME}.raw --disk {NAME}-data1.raw"), "--disk cannot be used here"),
        (format!("rules --disk {NAME}-data1.raw"), "--disk cannot be used here"),
    ] {
        let said = failure(folder, &line);
        assert!(said.contains(why) && said.contains("help: "), "refloat {line}: {said}");
    }
    // A plan for the set is not for a part of it, nor the other way round.
    refloat(folder, &format!("plan {SET} --for azure-gen1 -o plan.json"), 0);
    let said = failure(folder, &format!("apply plan.json -o fixed --image {NAME}.raw"));
    assert!(said.contains("it has 1 disk, and the plan's had 3"), "{said}");
    // The group lacks a disk, and no root can be found.
    failure(folder, &format!("check {NAME}.raw --for azure-gen1"));
}

#[test]
fn a_set_is_changed_in_place_and_undone_by_any_of_its_images() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(images), folder) = (copies(folder.path()), folder.path()) else { return };
    let old = contents(&images);
    refloat(folder, &format!("plan {SET} --for azure-gen1 -o plan.json"), 0);
    refloat(folder, "apply plan.json --in-place", 0);
    let new = contents(&images);
    assert!(new != old);
    refloat(folder, "apply plan.json --in-place", 0);
    assert!(contents(&images) == new, "it may be said twice");
    let changed: Vec<_> =
        images.iter().zip(old.iter().zip(&new)).filter(|(_, (old, new))| old != new).collect();
    for (image, _) in changed {
        let name = image.file_name().unwrap().to_str().unwrap();
        refloat(folder, &format!("undo {name}"), 0);
        assert!(contents(&images) == old, "undone to the bit by {name}");
        refloat(folder, "apply plan.json --in-place", 0);
        assert!(contents(&images) == new);
    }
}

#[test]
fn a_set_killed_at_any_write_is_all_old_all_new_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(images), folder) = (copies(folder.path()), folder.path()) else { return };
    if judge::need("strace").is_none() {
        return;
    }
    let old = contents(&images);
    refloat(folder, &format!("plan {SET} --for azure-gen1 -o plan.json"), 0);
    let apply = "apply plan.json --in-place --quiet";
    let moments = moments(folder, apply);
    let new = contents(&images);
    refloat(folder, &format!("undo {NAME}.raw --quiet"), 0);
    for (turn, moment) in chosen(moments, 7).into_iter().enumerate() {
        killed_at(folder, apply, &moment);
        let output = command(folder, &format!("inspect {SET}")).output().unwrap();
        let now = contents(&images);
        let refused = output.status.code() == Some(2);
        if refused {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                said.contains("half changed") && said.contains("help: refloat undo"),
                "{moment:?}: {said}"
            );
        } else {
            assert!(now == old || now == new, "half changed, and not refused: {moment:?}");
        }
        eprintln!("{moment:?}: {}", if refused { "refused" } else { "whole" });
        if turn % 2 == 0 {
            refloat(folder, apply, 0);
            assert!(contents(&images) == new, "{moment:?}");
        }
        // By whichever image has an undo file.
        let has_undo = |image: &&PathBuf| PathBuf::from(format!("{}.undo", image.display())).exists();
        if let Some(image) = images.iter().rev().find(has_undo) {
            refloat(folder, &format!("undo {} --quiet", image.display()), 0);
        }
        assert!(contents(&images) == old, "{moment:?}");
        assert!(images.iter().all(|image| !has_undo(&image)), "{moment:?}");
    }
}

/// The instance of the findings: its root is on two volumes, and a third is mounted by UUID.
#[test]
fn an_instance_of_three_volumes_is_migrated_whole_and_killed_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let Some(images) = copies(folder.path()) else { return };
    let ids = [ID, "snap-0aaaaaaaaaaaaaaaa", "snap-0bbbbbbbbbbbbbbbb"];
    let volumes = [("/dev/xvda", "vol-1"), ("/dev/sdf", "vol-2"), ("/dev/sdg", "vol-3")];
    let snapshots = images.iter().zip(ids).zip(volumes);
    let snapshots =
        snapshots.map(|((image, id), (_, volume))| Snapshot::from_file(id, image).unwrap().of_volume(volume));
    let instance = Instance {
        id: "i-0123456789abcdef0".into(),
        root_device: "/dev/xvda".into(),
        volumes: volumes.map(|(device, volume)| (device.into(), volume.into())).into(),
        ..Instance::default()
    };
    let cloud = Cloud::new(snapshots.collect(), vec![instance]);
    let machine = "ebs:i-0123456789abcdef0@eu-west-1";
    let check = cloud.json(&format!("check {machine} --for azure-gen1 --report html=report.html"), 1);
    assert!(check["transfer"]["blocks"].as_u64().unwrap() <= 150, "{}", check["transfer"]);
    let page = fs::metadata(cloud.path().join("report.html")).unwrap();
    assert!(page.len() < 300_000, "{} bytes", page.len());
    let wrong = |rule: &str| {
        let items = check["items"].as_array().unwrap();
        items.iter().any(|item| item["rule"] == rule && item["verdict"] == "wrong")
    };
    assert!(!wrong("disk.whole") && !wrong("linux.fstab.absent-disks"), "{check}");

    // The same disks as files of whole GiB, which snapshots are.
    for image in &images {
        fs::File::options().write(true).open(image).unwrap().set_len(1 << 30).unwrap();
    }
    refloat(folder.path(), &format!("migrate {SET} out.vhd --for azure-gen1"), 0);
    cloud.server.set_faults(Faults::default().latency(Duration::from_millis(100)));
    let line = format!("migrate {machine} out.vhd --for azure-gen1 --quiet");
    let mut random = fastrand::Rng::with_seed(9);
    for _ in 0..50 {
        let mut child = cloud.command(&line).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(random.u64(50..900)));
        drop(child.kill());
        child.wait().unwrap();
    }
    cloud.server.set_faults(Faults::default());
    cloud.refloat(&line, 0);
    for name in ["out.vhd", "out-data1.vhd", "out-data2.vhd"] {
        assert!(same(&cloud.path().join(name), &folder.path().join(name)), "{name}");
    }
    // The content is that of the instance, disk by disk.
    cloud.refloat(&format!("convert {machine} whole.vhd"), 0);
    let uploads = "whole.vhd --disk whole-data1.vhd --disk whole-data2.vhd";
    cloud.forget();
    cloud.refloat(&format!("verify {uploads} {machine}"), 0);
    // What a snapshot does not have is zero, and is not asked for; what it has is fetched once.
    let counts = cloud.server.counts();
    assert!(ids.iter().all(|id| counts.blocks[*id].values().all(|times| *times == 1)), "{:?}", counts.blocks);
    let sizes = [64, 32, 24].map(|mib| mib * 2);
    assert!(counts.get <= sizes.iter().sum(), "{} blocks", counts.get);
    let others = uploads.replace("--disk", "--other-disk");
    cloud.refloat(&format!("verify {machine} {others}"), 0);
}
