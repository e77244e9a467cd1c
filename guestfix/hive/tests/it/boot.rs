//! Boot configuration data of real machines.

use hive::Hive;
use hive::bcd::{APPLICATION_DEVICE, APPLICATION_PATH, Device, Element, OS_DEVICE, Partition, SYSTEM_ROOT};

use crate::recorded;

#[test]
fn the_default_loader_and_its_devices_are_found() {
    let Some(file) = recorded("regipy-BCD") else { return };
    let hive = Hive::open(file).unwrap();
    let bcd = hive.bcd().unwrap();
    let (_, loader) = bcd.default_object().unwrap().unwrap();
    assert_eq!(loader.kind().unwrap(), Some(0x1020_0003));
    let text = |number| match loader.element(number).unwrap() {
        Some(Element::Text(text)) => text,
        other => panic!("{other:?}"),
    };
    assert_eq!(text(APPLICATION_PATH), r"\Windows\system32\winload.efi");
    assert_eq!(text(SYSTEM_ROOT), r"\Windows");
    // As bdedit of the same bytes: the disk's and the partition's identifiers.
    let system = Partition::Gpt {
        disk: "0b2394a9-095e-487d-8d48-719ecd4d78ca".parse().unwrap(),
        partition: "8e0f2c38-e4ea-47ba-b7fc-9d8c74dccf0b".parse().unwrap(),
    };
    for number in [APPLICATION_DEVICE, OS_DEVICE] {
        assert_eq!(loader.element(number).unwrap(), Some(Element::Device(Device::Partition(system))));
    }
    // The recovery environment is a file on another partition.
    let mut files = 0;
    for (name, object) in bcd.objects().unwrap() {
        for number in object.elements().unwrap() {
            let element = object.element(number).unwrap_or_else(|error| panic!("{name}: {error}"));
            if let Some(Element::Device(Device::File { path, on })) = element {
                assert_eq!(path, r"\Recovery\WindowsRE\Winre.wim");
                assert!(matches!(*on, Device::Partition(Partition::Gpt { .. })), "{on:?}");
                files += 1;
            }
        }
    }
    assert_eq!(files, 2);
}

#[test]
fn a_disk_with_a_master_boot_record_is_named_by_its_signature() {
    let Some(file) = recorded("windeploy-linux-BCD-bios") else { return };
    let hive = Hive::open(file).unwrap();
    let mut found = Vec::new();
    for (_, object) in hive.bcd().unwrap().objects().unwrap() {
        if let Some(Element::Device(device)) = object.element(APPLICATION_DEVICE).unwrap() {
            found.push(device);
        }
    }
    let disk = Device::Partition(Partition::Mbr { disk: 0xddba_6bbb, start: 1 << 20 });
    assert_eq!(found.iter().filter(|device| **device == disk).count(), 2);
    assert_eq!(found.iter().filter(|device| **device == Device::Boot).count(), 2);
}
