//! Archives that tar has made, with disks that qemu-img has made.

use std::path::{Path, PathBuf};
use std::process::Command;

use block::testing::conformance;
use block::{Disk, ErrorKind, Silent};
use image::ova::{self, Found, check_manifest};
use image::{Backing, Format};
use testimages::hostile::{Memory, cases, mangle};
use testimages::judge;

#[global_allocator]
static MEMORY: Memory = Memory;

const GRAIN: usize = 64 << 10;

fn content(seed: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0..20 * GRAIN as u32).map(|n| ((n ^ seed).wrapping_mul(2_654_435_761) >> 15) as u8).collect();
    bytes[3 * GRAIN..9 * GRAIN].fill(0);
    bytes
}

const OVF: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
 <References>
  <File ovf:href="vm-data.vmdk" ovf:id="file2"/>
  <File ovf:href="vm-os.vmdk" ovf:id="file1"/>
 </References>
 <DiskSection><Info>Disks</Info>
  <Disk ovf:capacity="2" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="empty"/>
  <Disk ovf:capacity="1310720" ovf:diskId="data" ovf:fileRef="file2" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  <Disk ovf:capacity="1310720" ovf:diskId="os" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
 </DiskSection>
 <VirtualSystem ovf:id="vm"><VirtualHardwareSection>
  <Item><rasd:AddressOnParent>1</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/data</rasd:HostResource><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
  <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/os</rasd:HostResource><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
 </VirtualHardwareSection></VirtualSystem>
</Envelope>
"#;

/// A folder with the parts of a machine, a manifest of them; `None` without the programs.
fn parts() -> Option<tempfile::TempDir> {
    if !judge::need_all(&["qemu-img", "tar", "gzip", "split", "sha256sum", "sha1sum"]) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, seed) in [("vm-os.vmdk", 1), ("vm-data.vmdk", 2)] {
        let [raw, path] = ["raw", name].map(|name| folder.path().join(name));
        std::fs::write(&raw, content(seed)).unwrap();
        judge::qemu_img_convert((&raw, "raw"), (&path, "vmdk"), "subformat=streamOptimized");
    }
    std::fs::write(folder.path().join("vm.ovf"), OVF).unwrap();
    let sums =
        "for f in vm.ovf vm-os.vmdk; do echo \"SHA256($f)= $(sha256sum < $f | cut -d' ' -f1)\"; done > vm.mf
        echo \"SHA1(vm-data.vmdk)= $(sha1sum < vm-data.vmdk | cut -d' ' -f1)\" >> vm.mf";
    shell(folder.path(), sums);
    Some(folder)
}

fn shell(folder: &Path, script: &str) {
    judge::run(Command::new("sh").args(["-ec", script]).current_dir(folder));
}

fn tar(folder: &Path, options: &str, members: &str) -> PathBuf {
    shell(folder, &format!("tar {options} -cf vm.ova {members}"));
    folder.join("vm.ova")
}

#[test]
fn all_disks_in_the_order_of_their_drives() {
    let Some(folder) = parts() else { return };
    for options in ["--format=ustar", "--format=gnu", "--format=pax", "--format=ustar --transform=s,^,./,"] {
        let path = tar(folder.path(), options, "vm.ovf vm.mf vm-os.vmdk vm-data.vmdk");
        assert_eq!(Format::probe(&block::open_file(&path).unwrap()).unwrap(), &ova::FORMAT);
        let disks = ova::open(&path, &Silent).unwrap();
        assert_eq!(disks.len(), 3);
        conformance::read(&disks[0].disk, &content(1));
        conformance::read(&disks[1].disk, &content(2));
        conformance::read(&disks[2].disk, &[0; 2 << 20]);
        let names: Vec<_> = disks[0].layers.iter().map(|layer| layer.name).collect();
        assert_eq!(names, ["ova", "vmdk"]);
        let found = check_manifest(&path).unwrap().unwrap();
        assert!(found.len() == 3 && found.iter().all(|listed| listed.found == Found::Same), "{found:?}");
        // As a backing file, or wherever one disk is wanted, three are too many.
        assert!(ova::FORMAT.open(&path, &Backing::Deny, &Silent).is_err());
    }
}

#[test]
fn a_size_that_the_descriptor_has_otherwise_is_told() {
    let Some(folder) = parts() else { return };
    let ovf = OVF.replace(r#"1310720" ovf:diskId="os""#, r#"2097152" ovf:diskId="os""#);
    std::fs::write(folder.path().join("vm.ovf"), ovf).unwrap();
    let path = tar(folder.path(), "--format=ustar", "vm.ovf vm-os.vmdk vm-data.vmdk");
    let disks = ova::open(&path, &Silent).unwrap();
    let told = |disk: usize| disks[disk].layers.iter().map(|layer| layer.text.as_str()).collect::<String>();
    assert!(told(0).contains("the descriptor says 2097152 bytes, the disk has 1310720"), "{}", told(0));
    assert!(!told(1).contains("the descriptor says"), "{}", told(1));
}

#[test]
fn packed_disks_disks_in_pieces_and_long_names() {
    let Some(folder) = parts() else { return };
    let long = "a".repeat(180);
    let packed = OVF
        .replace("\"vm-data.vmdk\"", &format!("\"{long}.vmdk\""))
        .replace("\"vm-os.vmdk\"", "\"vm-os.vmdk.gz\" ovf:compression=\"gzip\" ovf:chunkSize=\"100000\"");
    std::fs::write(folder.path().join("vm.ovf"), packed).unwrap();
    shell(
        folder.path(),
        &format!(
            "gzip -1c vm-os.vmdk | split -b 100000 -d -a 9 - vm-os.vmdk.gz.; mv vm-data.vmdk {long}.vmdk"
        ),
    );
    for options in ["--format=gnu", "--format=pax"] {
        let path = tar(folder.path(), options, "vm.ovf vm-os.vmdk.gz.* a*.vmdk");
        let disks = ova::open(&path, &Silent).unwrap();
        conformance::read(&disks[0].disk, &content(1));
        conformance::read(&disks[1].disk, &content(2));
        assert_eq!(check_manifest(&path).unwrap(), None);
    }
}

/// A descriptor names files by URIs.
#[test]
fn names_that_are_spelt_as_uris() {
    let Some(folder) = parts() else { return };
    let ovf =
        OVF.replace("\"vm-os.vmdk\"", "\"d%201%20%C3%BC.vmdk\"").replace("\"vm-data.vmdk\"", "\"100%.vmdk\"");
    std::fs::write(folder.path().join("vm.ovf"), ovf).unwrap();
    shell(folder.path(), "mv vm-os.vmdk 'd 1 ü.vmdk'; mv vm-data.vmdk 100%.vmdk");
    let disks = ova::open(&tar(folder.path(), "--format=pax", "vm.ovf *.vmdk"), &Silent).unwrap();
    conformance::read(&disks[0].disk, &content(1));
    conformance::read(&disks[1].disk, &content(2));
}

#[test]
fn what_is_wrong_is_told() {
    let Some(folder) = parts() else { return };
    let said = |members: &str| {
        let path = tar(folder.path(), "--format=ustar", members);
        ova::open(&path, &Silent).unwrap_err()
    };
    let error = said("vm-os.vmdk vm-data.vmdk");
    assert!(error.to_string().contains("no .ovf in it"), "{error}");
    let error = said("vm.ovf vm-os.vmdk");
    assert!(error.to_string().contains("\"vm-data.vmdk\" is not in the archive"), "{error}");
    shell(folder.path(), "cp vm.ovf other.ovf");
    let error = said("vm.ovf vm-os.vmdk vm-data.vmdk other.ovf");
    assert!(error.to_string().contains("several machines"), "{error}");

    let path = tar(folder.path(), "--format=ustar", "vm.ovf vm.mf vm-os.vmdk vm-data.vmdk");
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    let error = ova::open(&path, &Silent).unwrap_err();
    assert!(error.to_string().contains("cut short"), "{error}");
    let mut damaged = good.clone();
    damaged[100] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    assert_eq!(ova::open(&path, &Silent).unwrap_err().kind(), ErrorKind::Corrupt);
    // A byte of a disk: the manifest knows.
    let mut damaged = good.clone();
    let at = damaged.len() - 20_000;
    damaged[at] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let found = check_manifest(&path).unwrap().unwrap();
    let found: Vec<_> = found.iter().map(|listed| listed.found).collect();
    assert_eq!(found, [Found::Same, Found::Same, Found::Other]);
    std::fs::write(folder.path().join("vm.mf"), "MD5(vm.ovf)= 00\nSHA256(none)= 00\nwhat\n").unwrap();
    let path = tar(folder.path(), "--format=ustar", "vm.ovf vm.mf");
    let found = check_manifest(&path).unwrap().unwrap();
    let found: Vec<_> = found.iter().map(|listed| listed.found).collect();
    assert_eq!(found, [Found::Unknown, Found::Missing, Found::Unknown]);
}

#[test]
fn damaged_archives() {
    let Some(folder) = parts() else { return };
    let path = tar(folder.path(), "--format=pax", "vm.ovf vm.mf vm-os.vmdk vm-data.vmdk");
    let good = std::fs::read(&path).unwrap();
    let mut opened = 0;
    cases("ova", 1000, 64 << 20, |random| {
        let mut bytes = good.clone();
        let hot = if random.bool() { 512..1024 } else { 1536..1536 + OVF.len() };
        mangle(random, &mut bytes, hot);
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(disks) = ova::open(&path, &Silent) {
            opened += 1;
            let read = |disk: &Disk| drop(disk.read_vec(0, 1000.min(disk.size() as usize)));
            disks.iter().for_each(|content| read(&content.disk));
        }
    });
    assert!(opened > 10, "no damage left anything to read");
    // Deeper than any stack.
    let deep = format!("<Envelope>{}", "<a>".repeat(200_000));
    std::fs::write(folder.path().join("vm.ovf"), deep).unwrap();
    let path = tar(folder.path(), "--format=ustar", "vm.ovf");
    assert_eq!(ova::open(&path, &Silent).unwrap_err().kind(), ErrorKind::Corrupt);
}
