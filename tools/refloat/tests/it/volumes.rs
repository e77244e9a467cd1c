//! What is said of volumes that cannot be read, or not wholly, and of addresses of volumes and paths.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use testimages::judge;

use crate::program::{command, failure, json, refloat};

/// Makes an ext4 file system with a few files in it; `None` without the program.
fn ext4(folder: &Path, name: &str, options: &[&str]) -> Option<()> {
    judge::need_all(&["mke2fs", "debugfs"]).then_some(())?;
    let tree = folder.join("tree");
    std::fs::create_dir_all(tree.join("etc")).unwrap();
    for file in ["bad", "fstab", "os-release"] {
        std::fs::write(tree.join("etc").join(file), format!("# {file}\n")).unwrap();
    }
    File::create(folder.join(name)).unwrap().set_len(64 << 20).unwrap();
    let mut command = judge::tool("mke2fs");
    command.args(["-q", "-F", "-t", "ext4", "-d"]).arg(&tree).args(options);
    judge::run(command.arg(folder.join(name)));
    Some(())
}

fn patch(path: &Path, at: u64, bytes: &[u8]) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

#[test]
fn why_a_volume_is_not_opened_is_on_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let Some(()) = ext4(at, "cut.raw", &[]) else { return };
    File::options().write(true).open(at.join("cut.raw")).unwrap().set_len(32 << 20).unwrap();
    let Some(()) = ext4(at, "sum.raw", &[]) else { return };
    patch(&at.join("sum.raw"), 1024 + 0x20, &[1]);
    let Some(()) = ext4(at, "feature.raw", &["-O", "^metadata_csum"]) else { return };
    patch(&at.join("feature.raw"), 1024 + 0x63, &[0x80]);
    let mut cases = vec![
        ("cut.raw", "ext4", "do not fit the device"),
        ("sum.raw", "ext4", "checksum"),
        ("feature.raw", "ext4", "feature"),
    ];
    if judge::need_all(&["mkfs.btrfs"]) {
        let disks = ["one.raw", "two.raw"].map(|name| at.join(name));
        disks.iter().for_each(|disk| File::create(disk).unwrap().set_len(128 << 20).unwrap());
        judge::run(judge::tool("mkfs.btrfs").arg("-q").args(&disks));
        cases.push(("one.raw", "btrfs", "device"));
    }
    if judge::need_all(&["mkfs.exfat"]) {
        File::create(at.join("exfat.raw")).unwrap().set_len(16 << 20).unwrap();
        judge::run(judge::tool("mkfs.exfat").arg(at.join("exfat.raw")));
        cases.push(("exfat.raw", "exfat", "an exFAT file system, which refloat does not read"));
    }
    for (image, kind, why) in cases {
        let text = refloat(at, &format!("inspect {image}"), 0);
        let line =
            text.lines().skip_while(|line| !line.trim_start().starts_with("disk   ")).collect::<String>();
        assert!(line.contains("not opened: ") && line.contains(kind), "{image}: {text}");
        let volume = json(at, &format!("inspect {image}"), 0)["machine"]["volumes"][0].clone();
        assert_eq!(volume["kind"], kind);
        assert!(volume["unreadable"].as_str().is_some_and(|told| told.contains(why)), "{image}: {volume}");
        let said = failure(at, &format!("fs ls {image}#/"));
        assert!(said.replace("\n       ", " ").contains("is not opened: "), "{image}: {said}");
    }
    if judge::need_all(&["mkswap"]) {
        File::create(at.join("swap.raw")).unwrap().set_len(16 << 20).unwrap();
        judge::run(judge::tool("mkswap").arg("-q").arg(at.join("swap.raw")));
        assert!(json(at, "inspect swap.raw", 0)["machine"]["volumes"][0]["unreadable"].is_null());
    }
}

#[test]
fn ntfs_is_read_and_not_written() {
    if !judge::need_all(&["mkntfs", "ntfscp"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    File::create(at.join("data.raw")).unwrap().set_len(16 << 20).unwrap();
    judge::run(judge::tool("mkntfs").args(["-q", "-F", "-f", "-L", "Data"]).arg(at.join("data.raw")));
    std::fs::write(at.join("note"), "a note\n").unwrap();
    let mut copy = judge::tool("ntfscp");
    judge::run(copy.arg("-q").arg(at.join("data.raw")).arg(at.join("note")).arg("/Note.txt"));
    let volume = json(at, "inspect data.raw", 0)["machine"]["volumes"][0].clone();
    assert!(
        volume["kind"] == "ntfs" && volume["label"] == "Data" && volume["unreadable"].is_null(),
        "{volume}"
    );
    assert_eq!(refloat(at, "fs cat data.raw#/NOTE.TXT", 0), "a note\n");
    assert!(refloat(at, "fs ls data.raw#/", 0).contains("/Note.txt"));

    // Work that is pending in the log: what is read may be old.
    let Some(shared) = judge::shared() else { return };
    let packed = shared.join("testdata/ntfs/jschicht-tiny-lfs11-dirty.filedata-zeroed.dd.xz");
    let image = File::create(at.join("dirty.raw")).unwrap();
    let status = judge::tool("xz").arg("-dc").arg(packed).stdout(image).status().unwrap();
    assert!(status.success());
    let said = failure(at, "fs ls dirty.raw#/");
    assert!(said.contains("the log of NTFS") && said.contains("--stale"), "{said}");
    assert!(refloat(at, "fs ls dirty.raw#/ --stale", 0).contains("/file1.txt"));
}

#[test]
fn files_that_may_be_old_are_shown_on_request_only() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let Some(()) = ext4(at, "disk.raw", &["-O", "^metadata_csum"]) else { return };
    let path = at.join("disk.raw");
    // It wants its journal replayed, and the journal has no magic number.
    patch(&path, 1024 + 0x60, &[0xc6]);
    let bytes = std::fs::read(&path).unwrap();
    let journal = bytes.windows(4).position(|word| word == b"\xc0\x3b\x39\x98").unwrap();
    patch(&path, journal as u64, &[0; 4]);
    let text = refloat(at, "inspect disk.raw", 0).replace("\n    ", " ");
    assert!(text.contains("its journal cannot be replayed: "), "{text}");
    for line in [
        "fs ls disk.raw#/etc",
        "fs cat disk.raw#/etc/fstab",
        "fs stat disk.raw#/etc",
        "fs diff disk.raw disk.raw",
    ] {
        let said = failure(at, line);
        assert!(said.contains("cannot be replayed") && said.contains("--stale"), "{line}: {said}");
        assert!(command(at, &format!("{line} --stale")).output().unwrap().status.success(), "{line}");
    }
}

#[test]
fn one_damaged_inode_does_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let Some(()) = ext4(at, "disk.raw", &[]) else { return };
    let mut clear = judge::tool("debugfs");
    judge::run(clear.args(["-w", "-R", "sif /etc/bad checksum 1"]).arg(at.join("disk.raw")));
    let output = command(at, "fs ls disk.raw#/etc").output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(2), "{out}{err}");
    assert!(out.contains("/etc/fstab") && out.contains("/etc/os-release"), "{out}");
    assert!(out.lines().any(|line| line.starts_with("damaged") && line.contains("/etc/bad: ")), "{out}");
    assert!(err.contains("1 of the names"), "{err}");
}

#[test]
fn every_part_of_an_address_counts() {
    if !judge::need_all(&["sfdisk", "mkfs.vfat", "mcopy"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let disk = at.join("disk.raw");
    File::create(&disk).unwrap().set_len(40 << 20).unwrap();
    let script = at.join("script");
    std::fs::write(&script, "label: gpt\nstart=2048, size=32768, type=uefi\nstart=40960, size=16384\n")
        .unwrap();
    judge::run(judge::tool("sfdisk").arg("-q").arg(&disk).stdin(File::open(&script).unwrap()));
    let esp = at.join("esp");
    File::create(&esp).unwrap().set_len(16 << 20).unwrap();
    judge::run(judge::tool("mkfs.vfat").arg(&esp));
    judge::run(judge::tool("mcopy").arg("-i").arg(&esp).arg(&script).arg("::NAME.TXT"));
    patch(&disk, 2048 * 512, &std::fs::read(&esp).unwrap());

    assert!(refloat(at, "fs ls disk.raw#p1:/", 0).contains("NAME.TXT"));
    assert_eq!(refloat(at, "fs cat disk.raw#p1:/NAME.TXT", 0), std::fs::read_to_string(&script).unwrap());
    for (wrong, right) in
        [("disk.raw#p1/NAME.TXT", "disk.raw#p1:/NAME.TXT"), ("disk.raw#p1/", "disk.raw#p1:/")]
    {
        let said = failure(at, &format!("fs ls {wrong}"));
        assert!(said.contains(&format!("help: write {right}\n")), "{said}");
    }
    refloat(at, "convert disk.raw#p1 esp.raw", 0);
    assert_eq!(std::fs::read(at.join("esp.raw")).unwrap(), std::fs::read(&esp).unwrap());
    refloat(at, "convert disk.raw out.vhd", 0);
    for line in [
        "convert disk.raw#/etc/fstab x.raw",
        "convert disk.raw#p1:/NAME.TXT x.raw",
        "inspect disk.raw#/etc",
        "verify out.vhd#p1",
        "verify out.vhd disk.raw#/etc",
        "check disk.raw#p1 --for azure-gen2",
        "plan disk.raw#/etc --for azure-gen2",
        "migrate disk.raw#p1 x.vhd --for azure-gen2",
    ] {
        let said = failure(at, line);
        assert!(said.contains(" names a ") && said.contains("help: name "), "{line}: {said}");
    }
    assert!(!at.join("x.raw").exists() && !at.join("x.vhd").exists());
}
