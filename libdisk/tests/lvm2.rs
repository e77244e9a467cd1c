//! Logical volumes by address: their bytes are those that lvm2 has there.

use std::fs::File;
use std::path::Path;

use block::ErrorKind;
use libdisk::{Address, MachineDisk, OpenOptions, identity, open};
use testimages::lvm::{self, Devices};
use testimages::{judge, synthetic};

fn opened(path: &Path, place: &str) -> block::Result<MachineDisk> {
    let address: Address = format!("{}#{place}", path.display()).parse().unwrap();
    open(&address, &OpenOptions::default())
}

#[test]
fn a_volume_on_partitions() {
    if !lvm::need() {
        return;
    }
    let guest = synthetic::named("debian-lvm");
    let (Some(path), Some(qcow2)) = (guest.path(), guest.wrapped(&synthetic::WRAPPINGS[0])) else { return };
    let table = volume::read(&open(&Address::file(&path), &OpenOptions::default()).unwrap().disk).unwrap();
    let physical = [2, 3].map(|number| table.partition(number).unwrap().range.clone());
    for name in ["debian-vg/root", "debian-vg/srv"] {
        let theirs = lvm::cut(&path, &physical, name);
        for image in [&path, &qcow2] {
            let ours = opened(image, name).unwrap();
            let bytes = ours.disk.read_vec(0, ours.disk.size() as usize).unwrap();
            assert!(bytes == std::fs::read(theirs.path()).unwrap(), "{name}");
            assert!(libdisk::open_filesystem(&ours.disk).unwrap().is_some());
            let layers: Vec<_> = ours.layers.iter().map(|layer| layer.name).collect();
            assert!(
                layers.ends_with(&["physical volume", "physical volume", "logical volume"]),
                "{layers:?}"
            );
        }
    }
    let error = opened(&path, "debian-vg/home").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfRange);
    assert!(
        error.to_string().contains("there are: debian-vg/root, debian-vg/swap_1, debian-vg/srv"),
        "{error}"
    );
}

#[test]
fn a_volume_on_a_disk_without_partitions_counts_for_its_identity() {
    if !lvm::need() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img");
    File::create(&path).unwrap().set_len(24 << 20).unwrap();
    let devices = Devices::over(&[(&path, 0..24 << 20)]);
    devices.lvm("vgcreate", &["-s", "1m", "data", devices.path(0)]);
    devices.lvm("lvcreate", &["-an", "-Zn", "-Wn", "-L", "4m", "-n", "first", "data"]);
    devices.lvm("lvcreate", &["-an", "-Zn", "-Wn", "-L", "8m", "-n", "db", "data"]);
    let runs = devices.runs("data/db");
    let range = runs[0].1.clone();
    judge::run(
        judge::tool("mke2fs")
            .args(["-q", "-t", "ext4", "-E"])
            .arg(format!("offset={}", range.start))
            .arg(&path)
            .arg("8m"),
    );
    let fs = libdisk::open_filesystem(&opened(&path, "data/db").unwrap().disk).unwrap().unwrap();
    assert_eq!(fs.info().unwrap().kind, "ext4");

    let of_disk = || identity(&open(&Address::file(&path), &OpenOptions::default()).unwrap().disk).unwrap();
    let before = of_disk();
    // The super block of the volume, which is in no partition's head.
    std::os::unix::fs::FileExt::write_all_at(
        &File::options().write(true).open(&path).unwrap(),
        b"label",
        range.start + 1024 + 120,
    )
    .unwrap();
    assert_ne!(of_disk(), before);
}
