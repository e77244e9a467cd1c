//! Images as others export them: VM Import/Export of AWS, VMware, VirtualBox, and what people pack.

use std::fs;
use std::path::Path;
use std::process::Command;

use testimages::judge;

use crate::program::{failure, json, refloat};

/// A size that is no whole number of MiB, as the disks of instances may have.
const SIZE: usize = (21 << 20) + 3 * 512;

fn content(seed: u8) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..SIZE).map(|at| (at / 512 * 7 + usize::from(seed)) as u8).collect();
    bytes[1 << 20..18 << 20].fill(0);
    bytes
}

/// Converts `source` to a VHD and holds it against `raw`, with its padding; gives the answer.
fn converted(folder: &Path, source: &str, raw: &str) -> serde_json::Value {
    let answer = json(folder, &format!("convert {source} out.vhd --force --allow-backing ."), 0);
    assert_eq!(
        (answer["size"].as_u64(), answer["padding"].as_u64()),
        (Some(22 << 20), Some((1 << 20) - 1536))
    );
    refloat(folder, "verify out.vhd", 0);
    refloat(folder, &format!("verify out.vhd {raw}"), 0);
    judge::qemu_img_compare((&folder.join("out.vhd"), "vpc"), (&folder.join(raw), "raw"));
    answer
}

/// `export-image` makes a streamOptimized VMDK, a VHD or a raw file, named after the task; people pack them.
#[test]
fn exports_of_aws_vmware_and_what_people_pack() {
    if !judge::need_all(&["qemu-img", "gzip", "zstd", "xz"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("disk.raw"), content(1)).unwrap();
    let raw = folder.join("disk.raw");
    for (name, format, options) in [
        ("export-ami-0123456789abcdef0.vmdk", "vmdk", "subformat=streamOptimized"),
        ("export-ami-0123456789abcdef0.vhd", "vpc", "subformat=fixed,force_size=on"),
        ("sparse.vmdk", "vmdk", "subformat=monolithicSparse"),
        ("split.vmdk", "vmdk", "subformat=twoGbMaxExtentSparse"),
        ("flat.vmdk", "vmdk", "subformat=monolithicFlat"),
    ] {
        judge::qemu_img_convert((&raw, "raw"), (&folder.join(name), format), options);
        converted(folder, name, "disk.raw");
    }
    fs::copy(&raw, folder.join("export-ami-0123456789abcdef0.raw")).unwrap();
    converted(folder, "export-ami-0123456789abcdef0.raw", "disk.raw");
    for script in ["gzip -k disk.raw", "zstd -q disk.raw", "xz -0k disk.raw"] {
        judge::run(Command::new("sh").args(["-ec", script]).current_dir(folder));
    }
    for name in ["disk.raw.gz", "disk.raw.zst", "disk.raw.xz"] {
        converted(folder, name, "disk.raw");
    }
    let said = refloat(folder, "inspect disk.raw.gz", 0);
    assert!(said.contains("unpacked into"), "{said}");
    // Without leave the other files of a split disk are not opened.
    let said = failure(folder, "convert split.vmdk no.vhd");
    assert!(said.contains("--allow-backing"), "{said}");
}

const OVF: &str = r#"<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
<References><File ovf:href="a.vmdk" ovf:id="1"/><File ovf:href="b.vmdk" ovf:id="2"/></References>
<DiskSection><Disk ovf:diskId="a" ovf:fileRef="1" ovf:format="vmdk"/><Disk ovf:diskId="b" ovf:fileRef="2" ovf:format="vmdk"/></DiskSection>
<VirtualSystem ovf:id="vm"/></Envelope>"#;

/// A machine of two disks in one file.
#[test]
fn an_ova_is_a_machine() {
    if !judge::need_all(&["qemu-img", "tar", "sha256sum"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, seed) in [("a", 1), ("b", 2)] {
        let [raw, vmdk] = ["raw", "vmdk"].map(|extension| folder.join(name).with_extension(extension));
        fs::write(&raw, content(seed)).unwrap();
        judge::qemu_img_convert((&raw, "raw"), (&vmdk, "vmdk"), "subformat=streamOptimized");
    }
    fs::write(folder.join("vm.ovf"), OVF).unwrap();
    let script = "echo \"SHA256(b.vmdk)= $(sha256sum < b.vmdk | cut -d' ' -f1)\" > vm.mf
        tar --format=ustar -cf vm.ova vm.ovf vm.mf a.vmdk b.vmdk";
    judge::run(Command::new("sh").args(["-ec", script]).current_dir(folder));
    let answer = json(folder, "convert vm.ova out.vhd", 0);
    judge::qemu_img_compare((&folder.join("out.vhd"), "vpc"), (&folder.join("a.raw"), "raw"));
    refloat(folder, "verify out.vhd --disk out-data1.vhd a.raw --other-disk b.raw", 0);
    refloat(folder, "verify out.vhd --disk out-data1.vhd vm.ova", 0);
    assert_eq!(answer["data"].as_array().map(Vec::len), Some(1), "{answer}");
    judge::qemu_img_compare((&folder.join("out-data1.vhd"), "vpc"), (&folder.join("b.raw"), "raw"));
    let addresses: Vec<_> =
        answer["source"].as_array().unwrap().iter().map(|disk| &disk["address"]).collect();
    assert_eq!(addresses, ["vm.ova", "vm.ova#disk2"]);
    refloat(folder, "convert vm.ova#disk2 second.vhd", 0);
    judge::qemu_img_compare((&folder.join("second.vhd"), "vpc"), (&folder.join("b.raw"), "raw"));

    let said = refloat(folder, "verify vm.ova", 1);
    assert!(said.contains("b.vmdk has its SHA256") && said.contains("Azure takes fixed VHDs"), "{said}");
}
