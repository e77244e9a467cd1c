//! Exit codes, JSON documents, errors with their help line.

use rustix::fs::{CWD, FileType, Mode};
use std::fs;
use testimages::{judge, lvm, synthetic};

use crate::program::{command, failure, json, refloat};

#[test]
fn the_demo_does_the_main_job() {
    let folder = tempfile::tempdir().unwrap();
    let said = refloat(folder.path(), "demo", 0);
    for piece in ["not ready", "ready", "azure.vhd", "linux.initramfs", "--- ", "+++ "] {
        assert!(said.contains(piece), "{piece} is not in\n{said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    let document = json(folder.path(), "demo --keep kept", 0);
    assert_eq!(document["schema"], "refloat.demo/1");
    assert_eq!(document["steps"].as_array().unwrap().len(), 6);
    assert!(folder.path().join("kept/azure.vhd").exists());
    failure(folder.path(), "demo --keep kept");
}

#[test]
fn every_verb_has_help_and_knows_its_options() {
    let folder = tempfile::tempdir().unwrap();
    for verb in "inspect check plan apply undo convert verify boot migrate fs rules demo".split(' ') {
        let said = refloat(folder.path(), &format!("{verb} --help"), 0);
        assert!(said.contains("Usage: refloat") && said.contains("--json"), "{said}");
        failure(folder.path(), &format!("{verb} --no-such-option"));
    }
}

#[test]
fn check_answers_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    let image = image.file_name().unwrap().to_str().unwrap();
    let no = json(folder.path(), &format!("check {image} --for azure-gen1"), 1);
    assert_eq!((&no["schema"], &no["ready"]), (&"refloat.check/4".into(), &false.into()));
    refloat(folder.path(), &format!("plan {image} --for azure-gen1 -o plan.json"), 0);
    refloat(folder.path(), "apply plan.json -o fixed.qcow2", 0);
    let yes = json(folder.path(), "check fixed.qcow2 --allow-backing . --for azure-gen1", 0);
    assert_eq!(yes["ready"], true);
}

#[test]
fn what_cannot_be_done_says_what_and_what_next() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("noise.img"), [7; 100_000]).unwrap();
    std::fs::write(folder.path().join("plan.json"), "{}").unwrap();
    rustix::fs::mknodat(CWD, folder.path().join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    for line in [
        "check none.img --for azure-gen1",
        "check noise.img --for azure-gen1",
        "inspect pipe",
        "convert noise.img out.txt",
        "apply plan.json -o fixed.qcow2",
        "undo noise.img",
        "inspect ebs:snap-1@eu-west-1",
        "rules no.such.rule",
        "fs cat noise.img#/etc/fstab",
    ] {
        let said = failure(folder.path(), line);
        assert!(said.starts_with("error: ") && said.contains("\nhelp: "), "refloat {line}: {said}");
    }
}

/// Also where the damage is found in the middle of the work.
#[test]
fn a_damaged_guest_is_told_with_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    let mut bytes = std::fs::read(&image).unwrap();
    // The names in directories, whose checksums then do not fit.
    let names: Vec<usize> = (0..bytes.len() - 5).filter(|at| bytes[*at..].starts_with(b"fstab")).collect();
    names.into_iter().for_each(|at| bytes[at] = b'F');
    std::fs::write(&image, bytes).unwrap();
    let image = image.file_name().unwrap().to_str().unwrap();
    for line in [
        "inspect IMAGE",
        "plan IMAGE --for azure-gen1",
        "fs cat IMAGE#/etc/fstab",
        "migrate IMAGE a.vhd --for azure-gen1",
    ] {
        let said = failure(folder.path(), &line.replace("IMAGE", image));
        assert!(
            said.contains("is corrupt") && said.contains("\nhelp: repair a copy with"),
            "refloat {line}: {said}"
        );
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn a_file_that_nothing_can_read_is_unknown_and_costs_no_other_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    if !judge::need_kernel_mounts() {
        return;
    }
    let mount = judge::KernelMount::read_write(&image, 1 << 20..32 << 20);
    let fstab = mount.path().join("etc/fstab");
    std::fs::remove_file(&fstab).unwrap();
    std::os::unix::fs::symlink("fstab", fstab).unwrap();
    drop(mount);
    let said = refloat(folder.path(), &format!("check {} --for azure-gen1", image.display()), 1);
    assert!(said.contains("linux.fstab.device-names  unknown") && said.contains("a loop of them"), "{said}");
    assert!(said.contains("BLOCKER  linux.initramfs.hyperv"), "the rest is judged: {said}");
}

#[test]
fn the_rules_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let rules = json(folder.path(), "rules", 0);
    for rule in rules["rules"].as_array().unwrap() {
        let said = refloat(folder.path(), &format!("rules {}", rule["id"].as_str().unwrap()), 0);
        let sources = rule["source"].as_array().unwrap();
        assert!(!sources.is_empty(), "{rule}");
        for source in sources {
            assert!(said.contains(source["document"].as_str().unwrap()), "{said}");
        }
    }
}

#[test]
fn files_can_be_looked_at_without_mounting() {
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    let image = image.file_name().unwrap().to_str().unwrap();
    assert!(refloat(folder.path(), &format!("fs ls {image}#/etc"), 0).contains("fstab"));
    let fstab = refloat(folder.path(), &format!("fs cat {image}#/etc/fstab"), 0);
    assert!(fstab.contains("/dev/"), "{fstab}");
    let stat = json(folder.path(), &format!("fs stat {image}#/etc/fstab"), 0);
    assert_eq!(stat["size"], fstab.len());
    refloat(folder.path(), &format!("fs diff {image} {image}"), 0);
    refloat(folder.path(), &format!("plan {image} --for azure-gen1 -o plan.json"), 0);
    refloat(folder.path(), "apply plan.json -o fixed.qcow2", 0);
    let different = refloat(folder.path(), &format!("fs diff {image} fixed.qcow2 --allow-backing ."), 1);
    assert!(different.contains("/etc/fstab"), "{different}");
    let boot = "--allow-backing . --for azure-gen1";
    assert!(refloat(folder.path(), &format!("fs diff {image} {image} {boot}"), 0).contains("were compared"));
    let different = refloat(folder.path(), &format!("fs diff {image} fixed.qcow2 {boot}"), 1);
    assert!(
        different.contains("changed  /etc/fstab") && different.contains("+++ b/etc/fstab"),
        "{different}"
    );
    let missing = command(folder.path(), &format!("fs cat {image}#/no/such")).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
}

/// Its undo file would be in `/dev`, which is gone with the next start.
#[test]
fn a_reader_that_has_enough_changes_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    let image = image.file_name().unwrap().to_str().unwrap();
    for (line, exit) in [
        (format!("check {image} --for azure-gen1"), 1),
        (format!("check {image} --for azure-gen1 --json"), 1),
        (format!("plan {image} --for azure-gen1"), 0),
        (format!("fs cat {image}#/etc/fstab"), 0),
        (format!("convert {image} out.vhd -vvv"), 0),
        ("check none.img --for azure-gen1".into(), 2),
    ] {
        let mut command = command(folder.path(), &line);
        // Pipes that nobody reads.
        command.stdout(std::io::pipe().unwrap().1).stderr(std::io::pipe().unwrap().1);
        assert_eq!(command.status().unwrap().code(), Some(exit), "refloat {line}");
    }
}

#[test]
fn a_block_device_is_not_changed_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    if !judge::need_kernel_mounts() {
        return;
    }
    let size = image.metadata().unwrap().len();
    let devices = lvm::Devices::over(&[(&image, 0..size)]);
    let before = judge::sha256(&image);
    refloat(folder.path(), &format!("plan {} --for azure-gen1 -o plan.json", devices.path(0)), 0);
    let said = failure(folder.path(), "apply plan.json --in-place");
    assert!(said.contains("is a block device") && said.contains("with -o"), "{said}");
    refloat(folder.path(), "apply plan.json -o fixed.qcow2", 0);
    assert_eq!(judge::sha256(&image), before);
}

/// What was not compared is not called right; what is no VHD is called by its format, with what makes one.
#[test]
fn verify_says_what_it_did_not_look_at_and_what_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    std::fs::rename(image, folder.path().join("in.raw")).unwrap();
    for line in ["convert in.raw out.vhd", "convert in.raw out.qcow2"] {
        refloat(folder.path(), line, 0);
    }
    let content = || {
        let findings = json(folder.path(), "verify out.vhd", 0)["findings"].as_array().unwrap().clone();
        findings.into_iter().find(|finding| finding["id"] == "content").unwrap()["outcome"].clone()
    };
    assert_eq!(content(), "ok");
    refloat(folder.path(), "plan out.vhd --for azure-gen1 -o plan.json", 0);
    refloat(folder.path(), "apply plan.json --in-place", 0);
    assert_eq!(content(), "not-checked");
    assert!(refloat(folder.path(), "verify out.vhd", 0).contains("note     content"));
    refloat(folder.path(), "undo out.vhd", 0);
    assert_eq!(content(), "ok");
    let said = refloat(folder.path(), "verify out.qcow2", 1);
    assert!(said.contains("format qcow2") && said.contains("next: refloat convert out.qcow2"), "{said}");
    assert!(!said.contains("footer"), "{said}");
}

/// Every answer about a machine names the disks that it is about, with what tells them from others.
#[test]
fn an_answer_names_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    let (name, size) = (image.file_name().unwrap().to_str().unwrap(), image.metadata().unwrap().len());
    refloat(folder.path(), &format!("plan {name} --for azure-gen1 -o plan.json"), 0);
    let plan: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("plan.json")).unwrap()).unwrap();
    let sha256 = &plan["source"][0]["sha256"];
    assert_eq!(sha256.as_str().map(str::len), Some(64));
    for (line, exit) in [
        ("inspect IMAGE", 0),
        ("check IMAGE --for azure-gen1", 1),
        ("plan IMAGE --for azure-gen1", 0),
        ("convert IMAGE whole.vhd", 0),
        ("verify IMAGE whole.vhd", 0),
        ("migrate IMAGE moved.vhd --for azure-gen1", 0),
        ("fs stat IMAGE#/etc/fstab", 0),
        ("apply plan.json -o fixed.qcow2", 0),
        // As it was before; the second time it is changed already.
        ("apply plan.json --in-place", 0),
        ("apply plan.json --in-place", 0),
    ] {
        let answer = json(folder.path(), &line.replace("IMAGE", name), exit);
        let source = answer["source"].as_array().unwrap_or_else(|| panic!("refloat {line}: {answer}"));
        assert_eq!(source.len(), 1, "refloat {line}");
        assert_eq!((&source[0]["sha256"], &source[0]["size"]), (sha256, &size.into()), "refloat {line}");
        assert_eq!(source[0]["path"], image.to_str().unwrap(), "refloat {line}");
    }
    let compared = json(folder.path(), "verify whole.vhd whole.vhd", 0);
    assert_eq!(compared["source"][0]["format"], "vhd");
    assert_eq!(compared["other_source"], compared["source"]);
    let changed = json(folder.path(), &format!("inspect {name}"), 0);
    assert_ne!(&changed["source"][0]["sha256"], sha256, "it is another disk now");
    std::fs::write(folder.path().join("torn.vhd"), &std::fs::read(image).unwrap()[..100_000]).unwrap();
    let torn = json(folder.path(), "verify torn.vhd", 1);
    assert!(torn["source"][0]["address"] == "torn.vhd", "{torn}");
}

#[test]
fn the_first_difference_is_told_of_disks_of_other_sizes_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = vec![7_u8; 3 << 20];
    fs::write(folder.path().join("a.raw"), &bytes).unwrap();
    bytes.resize(5 << 20, 7);
    fs::write(folder.path().join("longer.raw"), &bytes).unwrap();
    bytes[100] = 8;
    fs::write(folder.path().join("both.raw"), &bytes).unwrap();
    for (other, at) in [("longer.raw", 3 << 20), ("both.raw", 100)] {
        let answer = json(folder.path(), &format!("verify a.raw {other}"), 1);
        assert_eq!(
            (&answer["first_difference"], &answer["sizes"]),
            (&at.into(), &serde_json::json!([3 << 20, 5 << 20]))
        );
        let said = refloat(folder.path(), &format!("verify a.raw {other}"), 1);
        assert!(said.contains(&format!("at byte {at:#x}")) && said.contains("3145728 bytes"), "{said}");
    }
    // More threads than do any good are refused before they start.
    let said = failure(folder.path(), "convert a.raw b.raw --threads 2000");
    assert!(said.contains("2000 is not in 0..=256"), "{said}");
}

#[test]
fn a_serial_console_leads_to_the_rules() {
    let folder = tempfile::tempdir().unwrap();
    let run = |text: &str, exit: i32| {
        let output = command(folder.path(), "rules").args(["--symptom", text]).output().unwrap();
        assert_eq!(output.status.code(), Some(exit), "{text}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = run("dracut-initqueue timeout", 0);
    assert!(said.contains("linux.initramfs.hyperv: ") && said.contains("  hop      root"), "{said}");
    let said = run("[  17.1] x[3]: Warning: dracut-initqueue timeout - starting timeout scripts", 0);
    assert!(said.contains("linux.initramfs.hyperv: "), "{said}");
    assert!(run("all is well", 1).contains("no symptom that is known"));
    assert!(run("me@vm: Permission denied (publickey).", 0).contains("linux.sshd: "));
    // What is no text is no symptom that is not known.
    fs::write(folder.path().join("disk.raw"), vec![0; 4096]).unwrap();
    for (given, why) in
        [("", "no words"), ("logs/gone.log", "no such file"), (".", "not a file"), ("disk.raw", "no text")]
    {
        let output = command(folder.path(), "rules").args(["--symptom", given]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(why), "{given}: {said}");
    }

    let log = "\x1b[2JBdsDxe: failed to load Boot0001\r\n[ 0.0] Linux version 6.1\r\n\
               [ TIME ] Timed out waiting for device dev-xvdf.device - /dev/xvdf.\r\n\
               [DEPEND] Dependency failed for local-fs.target\nx\n\
               [ TIME ] Timed out waiting for device dev-xvdg.device - /dev/xvdg.\nGive root password for maintenance";
    std::fs::write(folder.path().join("serial.log"), log).unwrap();
    let said = run("serial.log", 0);
    assert!(said.contains("3 (2 times): [ TIME ]") && said.contains("7: Give root password"), "{said}");
    let found = json(folder.path(), "rules --symptom serial.log", 0);
    let lines: Vec<_> =
        found["symptoms"].as_array().unwrap().iter().map(|one| &one["shown"]["line"]).collect();
    // That a mount failed is told twice, in two ways, and that the firmware did not is over.
    assert_eq!(lines, [3, 4, 7]);
    assert!(found["symptoms"][0]["rules"][0]["id"] == "linux.fstab.device-names", "{found}");
}
