//! Disks that are too large to start, or of which a part is on another disk.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use testimages::{judge, lvm, synthetic};

use crate::program::{json, refloat};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// What a rule says of an image, by its JSON.
fn verdict(folder: &Path, image: &str, target: &str, rule: &str, exit: i32) -> serde_json::Value {
    let checked = json(folder, &format!("check {image} --for {target}"), exit);
    let items = checked["items"].as_array().unwrap();
    items.iter().find(|item| item["rule"] == rule).unwrap().clone()
}

#[test]
fn a_disk_above_the_limit_is_told_before_anything_is_planned() {
    for (guest, target, limit, why) in [
        ("debian-already-fine", "azure-gen1", 2048 * GIB, "2 TiB, all that a BIOS sees"),
        ("rhel-10-already-fine", "azure-gen2", 4095 * GIB, "4095 GiB of an OS disk"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let Some(image) = synthetic::named(guest).copy_into(folder.path()) else { return };
        let (folder, name) = (folder.path(), image.file_name().unwrap().to_str().unwrap());
        File::options().write(true).open(&image).unwrap().set_len(limit).unwrap();
        assert_eq!(verdict(folder, name, target, "disk.size-limit", 0)["verdict"], "ok");
        File::options().write(true).open(&image).unwrap().set_len(limit + MIB).unwrap();
        let found = verdict(folder, name, target, "disk.size-limit", 1);
        assert_eq!((&found["verdict"], &found["remedy"]), (&"wrong".into(), &"by-hand".into()), "{found}");
        let said = refloat(folder, &format!("check {name} --for {target}"), 1);
        assert!(said.contains(why) && said.contains("move data to a disk of its own"), "{said}");
    }
}

#[test]
fn a_gpt_that_lost_a_copy_is_told_and_made_whole_in_the_vhd() {
    if !judge::need_all(&["sgdisk"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::named("debian-gpt-efi").copy_into(folder.path()) else { return };
    let (folder, name) = (folder.path(), image.file_name().unwrap().to_str().unwrap());
    let size = image.metadata().unwrap().len();
    let file = File::options().write(true).open(&image).unwrap();
    let told = |exit| verdict(folder, name, "azure-gen2", "disk.partition-table", exit);
    assert_eq!(told(1)["verdict"], "ok");
    for (damage, why) in
        [("grown", "which has grown since"), ("backup", "is missing"), ("first", "the first copy")]
    {
        match damage {
            "grown" => file.set_len(size + 5 * MIB).unwrap(),
            "backup" => file.set_len(size - 512).and_then(|()| file.set_len(size)).unwrap(),
            _ => {
                refloat(folder, &format!("convert {name} whole.vhd --force"), 0);
                std::fs::copy(folder.join("whole.vhd"), &image).unwrap();
                file.set_len(size).unwrap();
                file.write_all_at(&[0; 512], 512).unwrap();
            }
        }
        let found = told(1);
        assert_eq!((&found["verdict"], &found["remedy"]), (&"wrong".into(), &"by-hand".into()), "{found}");
        assert!(found["evidence"][0]["what"].as_str().unwrap().contains(why), "{found}");
        refloat(folder, &format!("convert {name} {damage}.vhd"), 0);
        let vhd = folder.join(format!("{damage}.vhd"));
        let disk = vhd.metadata().unwrap().len() - 512;
        File::options().write(true).open(&vhd).unwrap().set_len(disk).unwrap();
        judge::sgdisk_verify(&vhd);
    }
}

#[test]
fn a_volume_group_that_lacks_a_disk_is_told() {
    if !lvm::need() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::named("debian-lvm").copy_into(folder.path()) else { return };
    let (folder, name) = (folder.path(), image.file_name().unwrap().to_str().unwrap());
    assert_eq!(verdict(folder, name, "azure-gen1", "disk.whole", 1)["verdict"], "ok");
    // the second physical volume is an empty partition: what was on it is on a disk that is not here
    let mut file = File::options().write(true).open(&image).unwrap();
    file.seek(SeekFrom::Start(81 * MIB)).unwrap();
    file.write_all(&vec![0; MIB as usize]).unwrap();
    drop(file);
    let found = verdict(folder, name, "azure-gen1", "disk.whole", 1);
    assert_eq!((&found["verdict"], &found["remedy"]), (&"wrong".into(), &"by-hand".into()), "{found}");
    assert!(found["evidence"][0]["what"].as_str().unwrap().contains("debian-vg"), "{found}");
    let said = refloat(folder, &format!("check {name} --for azure-gen1"), 1);
    assert!(said.contains("migrate all disks of the volume group"), "{said}");
}
