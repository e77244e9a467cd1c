//! The main path of a conversion, from an image to a VHD that Azure takes, judged by sgdisk and qemu-img.

mod sfdisk;

use std::path::Path;

use libdisk::block::{CopyOptions, Silent, copy};
use libdisk::image::Output;
use libdisk::image::vhd::{self, FixedSink, Identity};
use libdisk::{OpenOptions, identity, open, volume};
use testimages::judge;

fn convert(from: &Path, to: &Path, threads: usize) {
    let opened = open(&from.display().to_string().parse().unwrap(), &OpenOptions::default()).unwrap();
    let id = Identity::derive(&identity(&opened.disk).unwrap());
    let disk = volume::pad(opened.disk, whole_mib).unwrap();
    let sink = FixedSink::create(&Output::new(to), disk.size(), id).unwrap();
    copy(&disk, Box::new(sink), &CopyOptions { threads }, &Silent).unwrap();
}

#[test]
fn a_disk_of_an_odd_size_becomes_an_upload_the_same_one_every_time() {
    if !judge::need_all(&["qemu-img", "sfdisk", "sgdisk"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let raw = at("disk.raw");
    sfdisk::partitioned(&raw, (33 << 20) + 512 * 3, "label: gpt\nstart=2048, size=8192\nstart=10240\n");
    let file = std::fs::OpenOptions::new().write(true).open(&raw).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0x5a; 300_000], 5 << 20).unwrap();
    judge::qemu_img_convert((&raw, "raw"), (&at("disk.qcow2"), "qcow2"), "");
    let source = judge::sha256(&raw);

    // The same disk, stored otherwise, is the same VHD.
    for (from, to, threads) in
        [("disk.raw", "a.vhd", 1), ("disk.raw", "b.vhd", 4), ("disk.qcow2", "c.vhd", 2)]
    {
        convert(&at(from), &at(to), threads);
        assert_eq!(judge::sha256(&at(to)), judge::sha256(&at("a.vhd")), "{from} to {to}");
    }
    assert_eq!(judge::sha256(&raw), source);

    let report = vhd::check(&at("a.vhd")).unwrap();
    assert!(report.well_formed(), "{report:?}");
    judge::qemu_img_convert((&at("a.vhd"), "vpc"), (&at("back.raw"), "raw"), "");
    assert_eq!(at("back.raw").metadata().unwrap().len(), 34 << 20);
    judge::sgdisk_verify(&at("back.raw"));
}

fn whole_mib(size: u64) -> libdisk::block::Result<u64> {
    Ok(size.next_multiple_of(1 << 20))
}
