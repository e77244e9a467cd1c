//! What is written: judged by qemu-img, and never there unless it is whole.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use testimages::{judge, synthetic};

use crate::program::{command, failure, json, refloat};

/// A sparse disk with data here and there, not a whole number of MiB.
fn disk(path: &Path, size: u64) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    let noise: Vec<u8> = (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for at in (0..size).step_by(7 << 20) {
        let len = noise.len().min((size - at) as usize);
        file.write_all_at(&noise[..len], at).unwrap();
    }
}

#[test]
fn qemu_img_reads_what_convert_writes() {
    if judge::need("qemu-img").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    disk(&at("in.raw"), (50 << 20) + 512 * 3);
    judge::qemu_img_convert((&at("in.raw"), "raw"), (&at("zlib.qcow2"), "qcow2"), "compression_type=zlib");
    for (source, target, format) in [
        ("raw:in.raw", "a.vhd", "vpc"),
        ("zlib.qcow2", "b.vhd", "vpc"),
        ("a.vhd", "c.qcow2", "qcow2"),
        ("c.qcow2", "d.raw", "raw"),
        ("a.vhd", "h.qcow2 --compress", "qcow2"),
        ("h.qcow2", "i.vhd", "vpc"),
        ("c.qcow2", "e.vhdx", "vhdx"),
        ("e.vhdx", "f.vhd --format dynamic-vhd", "vpc"),
        ("f.vhd", "g.raw", "raw"),
    ] {
        let said = refloat(folder.path(), &format!("convert {source} {target}"), 0);
        let is_compressed = target.ends_with("--compress");
        let target = target.split(' ').next().unwrap();
        if is_compressed {
            let kib = at(target).metadata().unwrap().len() as f64 / 1024.0;
            assert!(said.contains(&format!(" of data, {kib:.1} KiB in the file)")), "{said}");
        }
        judge::qemu_img_compare((&at("in.raw"), "raw"), (&at(target), format));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().filter(partial).count(), 0);
    }
    let info = judge::qemu_img_info(&at("a.vhd"), "vpc");
    assert_eq!(info["virtual-size"], 51 << 20, "padded to a whole number of MiB");
    for image in ["c.qcow2", "h.qcow2"] {
        judge::qemu_img_check(&at(image), "qcow2");
    }
    let len = |name: &str| at(name).metadata().unwrap().len();
    assert!(len("h.qcow2") < len("c.qcow2"));
    let verdict = json(folder.path(), "verify a.vhd raw:in.raw", 0);
    assert_eq!((&verdict["well_formed"], &verdict["same"]), (&true.into(), &true.into()));
    judge::qemu_img_check(&at("e.vhdx"), "vhdx");
    for (ours, other) in [("e.vhdx", "f.vhd"), ("e.vhdx", "zlib.qcow2"), ("g.raw", "c.qcow2")] {
        let verdict = json(folder.path(), &format!("verify {ours} {other}"), 0);
        assert_eq!(verdict["same"], true, "{ours}, {other}");
    }
}

/// VHDs as other tools leave them: told by name, and made good by a copy that holds all of it.
#[test]
fn spoiled_vhds_are_told_and_mended() {
    if judge::need("qemu-img").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    disk(&at("in.raw"), 24 << 20);
    refloat(folder.path(), "convert raw:in.raw good.vhd", 0);
    let (good, size) = (std::fs::read(at("good.vhd")).unwrap(), 24 << 20);
    let write = |name: &str, bytes: &[&[u8]]| std::fs::write(at(name), bytes.concat()).unwrap();
    let (disk, footer) = good.split_at(size);
    let mut damaged = footer.to_vec();
    damaged[300] ^= 1;
    write("checksum.vhd", &[disk, &damaged]);
    write("missing.vhd", &[disk, &[0; 512]]);
    write("bare.vhd", &[disk]);
    write("longer.vhd", &[disk, &[0; 1536], footer]);
    let raw = at("in.raw");
    for (name, format, options) in [
        ("geometry.vhd", "vpc", "subformat=fixed"),
        ("dynamic.vhd", "vpc", "subformat=dynamic,force_size=on"),
        ("renamed.vhd", "vhdx", ""),
    ] {
        judge::qemu_img_convert((&raw, "raw"), (&at(name), format), options);
    }
    let cut = std::fs::read(at("dynamic.vhd")).unwrap();
    write("cut.vhd", &[&cut[..cut.len() - 512]]);
    for (name, id, text) in [
        ("checksum.vhd", "checksum", "should be"),
        ("missing.vhd", "footer", "it was never written"),
        ("bare.vhd", "footer", "this is a raw disk, without room for one"),
        ("longer.vhd", "length", "not the disk's size and 512"),
        ("geometry.vhd", "size", "not a whole number of MiB"),
        ("dynamic.vhd", "type", "the disk is dynamic"),
        ("cut.vhd", "footer", "there is one at the start"),
        ("renamed.vhd", "footer", "an image in the format vhdx, under another name"),
    ] {
        let verdict = json(folder.path(), &format!("verify {name}"), 1);
        let findings = verdict["findings"].as_array().unwrap();
        let wrong = findings.iter().find(|found| found["id"] == id && found["outcome"] == "wrong");
        let told = wrong.unwrap_or_else(|| panic!("{name}: {verdict:#}"))["text"].as_str().unwrap();
        assert!(told.contains(text), "{name}: {told}");
        refloat(folder.path(), &format!("convert {name} mended.vhd --force"), 0);
        let verdict = json(folder.path(), "verify mended.vhd", 0);
        assert_eq!(verdict["well_formed"], true, "{name}: {verdict:#}");
        let mended = std::fs::read(at("mended.vhd")).unwrap();
        assert!(mended.starts_with(disk), "{name}");
    }
    // Content is missing: that is no mending.
    write("short.vhd", &[&disk[..20 << 20], footer]);
    assert!(failure(folder.path(), "convert short.vhd mended.vhd --force").contains("corrupt"));
}

fn partial(entry: &std::io::Result<std::fs::DirEntry>) -> bool {
    entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "partial")
}

#[test]
fn a_target_that_exists_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    disk(&folder.path().join("in.raw"), 5 << 20);
    std::fs::write(folder.path().join("out.vhd"), "precious").unwrap();
    let said = failure(folder.path(), "convert raw:in.raw out.vhd");
    assert!(said.contains("already exists") && said.contains("help: "), "{said}");
    assert_eq!(std::fs::read(folder.path().join("out.vhd")).unwrap(), b"precious");
    refloat(folder.path(), "convert raw:in.raw out.vhd --force", 0);
}

#[test]
fn an_output_that_another_writes_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    disk(&folder.path().join("in.raw"), 5 << 20);
    let theirs = File::create(folder.path().join("out.vhd.partial")).unwrap();
    theirs.set_len(700).unwrap();
    theirs.lock().unwrap();
    for line in ["convert raw:in.raw out.vhd", "convert raw:in.raw out.vhd --force"] {
        let output = command(folder.path(), line).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(
            said.contains("another process is writing it") && said.contains("help: wait until it has ended"),
            "{said}"
        );
    }
    assert_eq!(theirs.metadata().unwrap().len(), 700);
    drop(theirs);
    refloat(folder.path(), "convert raw:in.raw out.vhd", 0);
}

/// Not by another name of it either, nor as the backing file of what is read, nor where an output is written
/// first.
#[test]
fn what_is_read_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    let at = |name: &str| folder.path().join(name);
    std::fs::rename(image, at("in.raw")).unwrap();
    std::fs::hard_link(at("in.raw"), at("other.raw")).unwrap();
    std::fs::hard_link(at("in.raw"), at("new.raw.partial")).unwrap();
    std::os::unix::fs::symlink("in.raw", at("link.raw")).unwrap();
    refloat(folder.path(), "plan in.raw --for azure-gen1 -o plan.json", 0);
    refloat(folder.path(), "apply plan.json -o fixed.qcow2", 0);
    let before = judge::sha256(&at("in.raw"));
    for line in [
        "convert in.raw in.raw --force",
        "convert in.raw link.raw --force",
        "convert in.raw new.raw",
        "convert raw:new.raw.partial new.raw",
        "convert fixed.qcow2 in.raw --force --allow-backing .",
        "apply plan.json -o in.raw --force",
        "apply plan.json -o other.raw --force",
        "migrate in.raw in.raw --for azure-gen1 --force",
        "boot in.raw --for azure-gen1 --log other.raw",
    ] {
        let said = failure(folder.path(), line);
        assert!(said.contains("same file as the input") && said.contains("help: "), "refloat {line}: {said}");
        assert_eq!(judge::sha256(&at("in.raw")), before, "refloat {line}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6, "nothing is left behind");
}

#[test]
fn killed_at_any_moment_nothing_looks_finished() {
    let folder = tempfile::tempdir().unwrap();
    let size = 200 << 20;
    disk(&folder.path().join("in.raw"), size);
    let target = folder.path().join("out.vhd");
    for moment in 0..25 {
        let mut child = command(folder.path(), "convert raw:in.raw out.vhd --quiet").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(moment * 3));
        child.kill().unwrap();
        child.wait().unwrap();
        if target.exists() {
            // The kill came too late, so it is whole.
            refloat(folder.path(), "verify out.vhd raw:in.raw", 0);
            std::fs::remove_file(&target).unwrap();
        }
    }
    // What the killed runs left behind is in nobody's way.
    refloat(folder.path(), "convert raw:in.raw out.vhd", 0);
    refloat(folder.path(), "verify out.vhd raw:in.raw", 0);
}

#[test]
fn a_backing_file_is_refused_unless_allowed() {
    if judge::need("qemu-img").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    disk(&at("base.raw"), 8 << 20);
    let mut create = std::process::Command::new("qemu-img");
    create.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base.raw", "top.qcow2"]);
    judge::run(create.current_dir(folder.path()));
    let said = failure(folder.path(), "convert top.qcow2 out.vhd");
    assert!(said.contains("backing") && said.contains("--allow-backing"), "{said}");
    refloat(folder.path(), "convert top.qcow2 out.vhd --allow-backing .", 0);
    judge::qemu_img_compare((&at("base.raw"), "raw"), (&at("out.vhd"), "vpc"));
}

/// A plan for an internal snapshot changes that state, and the overlay that would stand on the file's other one is never
/// made.
#[test]
fn an_internal_snapshot_is_a_disk_of_its_own() {
    if judge::need("qemu-img").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    let at = |name: &str| folder.path().join(name);
    let run = |line: &str| {
        judge::run(std::process::Command::new("qemu-img").args(line.split(' ')).current_dir(folder.path()));
    };
    judge::qemu_img_convert((&image, "raw"), (&at("guest.qcow2"), "qcow2"), "compat=1.1");
    run("snapshot -c before guest.qcow2");
    // In the active state nothing is left of the guest.
    let mut wipe = std::process::Command::new("qemu-io");
    let all = format!("write -z 0 {}", image.metadata().unwrap().len());
    judge::run(wipe.args(["-f", "qcow2", "-c", &all]).arg(at("guest.qcow2")));
    run("snapshot -c wiped guest.qcow2");

    let said = refloat(folder.path(), "inspect guest.qcow2@before", 0);
    assert!(said.contains(r#"its internal snapshot 1 "before""#), "{said}");
    let listed = refloat(folder.path(), "inspect guest.qcow2", 0);
    assert!(listed.contains(r#"1 "before", 2 "wiped""#), "{listed}");
    let said = failure(folder.path(), "check guest.qcow2 --for azure-gen1");
    assert!(said.contains("guest.qcow2@before names the first"), "{said}");
    let said = failure(folder.path(), "inspect guest.qcow2@after");
    assert!(said.contains(r#"there are: 1 "before", 2 "wiped""#) && said.contains("@before"), "{said}");

    // A variable that is not set names no other state, and a file of the same name no snapshot.
    let said = failure(folder.path(), "inspect guest.qcow2@");
    assert!(said.contains("names no internal snapshot"), "{said}");
    std::fs::copy(at("guest.qcow2"), at("guest.qcow2@before")).unwrap();
    let said = failure(folder.path(), "inspect guest.qcow2@before");
    assert!(said.contains("and a file of that name"), "{said}");
    refloat(folder.path(), "inspect qcow2:guest.qcow2@before@", 0);
    std::fs::remove_file(at("guest.qcow2@before")).unwrap();

    refloat(folder.path(), "plan guest.qcow2@1 --for azure-gen1 -o plan.json", 0);
    let plan: serde_json::Value = serde_json::from_slice(&std::fs::read(at("plan.json")).unwrap()).unwrap();
    assert!(
        plan["source"][0]["path"].as_str().unwrap().ends_with("/guest.qcow2@before"),
        "{}",
        plan["source"]
    );
    for wrong in ["guest.qcow2", "guest.qcow2@wiped"] {
        let said = failure(folder.path(), &format!("apply plan.json -o fixed.qcow2 --image {wrong}"));
        assert!(said.contains("not the one the plan was made for"), "{said}");
    }
    let said = failure(folder.path(), "apply plan.json --in-place");
    assert!(said.contains("qcow2") && !at("guest.qcow2.undo").exists(), "{said}");
    // The overlay that the same plan makes over the plain disk, as a whole disk.
    refloat(folder.path(), "apply plan.json -o fixed.qcow2", 0);
    assert!(judge::qemu_img_info(&at("fixed.qcow2"), "qcow2").get("backing-filename").is_none());
    let image = image.file_name().unwrap().to_str().unwrap();
    refloat(folder.path(), &format!("apply plan.json -o expected.qcow2 --image {image}"), 0);
    refloat(folder.path(), "verify fixed.qcow2 expected.qcow2 --allow-backing .", 0);
    let theirs = at("theirs.raw");
    run("convert -l snapshot.name=before -f qcow2 -O raw guest.qcow2 theirs.raw");
    refloat(folder.path(), "convert qcow2:guest.qcow2@before ours.vhd", 0);
    judge::qemu_img_compare((&at("ours.vhd"), "vpc"), (&theirs, "raw"));
    // Two states of one file are two disks, and one of them twice is none.
    refloat(folder.path(), "inspect guest.qcow2@before --disk guest.qcow2", 0);
    let said = failure(folder.path(), "inspect guest.qcow2@before --disk guest.qcow2@1");
    assert!(said.contains("named twice"), "{said}");
}

#[test]
fn a_sealed_overlay_is_a_qcow2_that_qemu_reads() {
    let Some(qemu) = judge::need("qemu-img") else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    let image = image.file_name().unwrap().to_str().unwrap();
    refloat(folder.path(), &format!("plan {image} --for azure-gen1 -o plan.json"), 0);
    refloat(folder.path(), "apply plan.json -o fixed.qcow2", 0);
    judge::qemu_img_check(&folder.path().join("fixed.qcow2"), "qcow2");
    refloat(folder.path(), "convert fixed.qcow2 ours.raw --allow-backing .", 0);
    let mut convert = std::process::Command::new(qemu);
    judge::run(
        convert.args(["convert", "-O", "raw", "fixed.qcow2", "theirs.raw"]).current_dir(folder.path()),
    );
    assert_eq!(
        judge::sha256(&folder.path().join("ours.raw")),
        judge::sha256(&folder.path().join("theirs.raw"))
    );
}
