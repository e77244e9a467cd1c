//! Disks that are too large to start, or of which a part is on another disk.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use testimages::{lvm, phony};

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
        let Some(image) = phony::named(guest).copy_into(folder.path()) else { return };
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
fn a_volume_group_that_lacks_a_disk_is_told() {
    if !lvm::need() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = phony::named("debian-lvm").copy_into(folder.path()) else { return };
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
