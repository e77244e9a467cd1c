//! What is written where: a copy that is killed goes on and writes nothing twice, the extension decides the
//! format, and what was written is known again.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use testimages::{judge, synthetic};

use crate::program::{command, failure, json, refloat};

/// A sparse disk of 3 GiB; gives how many bytes of it are data.
fn disk(path: &Path, seed: u64) -> u64 {
    let file = File::create(path).unwrap();
    file.set_len((3 << 30) + 512 * 3).unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut noise = vec![0; 3 << 20];
    let mut data = 0;
    for at in (0..3 << 30).step_by(25 << 20) {
        random.fill(&mut noise);
        // Here and there, and not where pieces start.
        let (skip, len) = (random.u64(0..512) * 4096, random.usize(1..=3 * 256) * 4096);
        file.write_all_at(&noise[..len], at + skip).unwrap();
        data += len as u64;
    }
    data
}

/// What a process has written, as the kernel counts it, before it is killed.
fn kill(mut child: Child) -> Option<u64> {
    judge::run(judge::tool("kill").args(["-STOP", &child.id().to_string()]));
    let counts = fs::read_to_string(format!("/proc/{}/io", child.id())).ok();
    child.kill().unwrap();
    child.wait().unwrap();
    let line = counts?.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok());
    line.filter(|written| *written > 0)
}

#[test]
fn a_copy_killed_again_and_again_writes_nothing_twice() {
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let at = |name: &str| folder.path().join(name);
    let data = disk(&at("in.raw"), 1);
    for target in ["out.vhd", "out.raw"] {
        let line = format!("convert raw:in.raw {target} --quiet --no-sync --threads 2");
        let (mut written, mut kills, mut random) = (0, 0, fastrand::Rng::with_seed(2));
        while !at(target).exists() && kills < 40 {
            let mut child = command(folder.path(), &line).stdout(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(random.u64(20..300)));
            if child.try_wait().unwrap().is_some() {
                break;
            }
            written += kill(child).unwrap_or(0);
            kills += 1;
        }
        let log = fs::metadata(at(&format!("{target}.transfer"))).unwrap().len();
        let found = json(folder.path(), &line.replace(" --quiet", ""), 0);
        written += found["written"].as_u64().unwrap();
        // What two threads had in hand at each kill, and the log.
        let most = data + kills * (2 << 20) + 2 * log + (64 << 10);
        assert!(written <= most, "{target}: {written} bytes for {data}, after {kills} kills");
        assert!(!at(&format!("{target}.partial")).exists());
        let verdict = json(folder.path(), &format!("verify {target} raw:in.raw"), 0);
        assert_eq!(verdict["same"], true);
    }
}

#[test]
fn a_copy_told_to_stop_goes_on_and_starts_over_where_the_source_was_changed() {
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let at = |name: &str| folder.path().join(name);
    disk(&at("in.raw"), 3);
    let line = "convert raw:in.raw out.vhd --no-sync --threads 1";
    let mut head_start = Duration::ZERO;
    let mut stopped = || loop {
        let child =
            command(folder.path(), line).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(30);
        while fs::metadata(at("out.vhd.transfer")).map_or(0, |log| log.len()) < 200 && !at("out.vhd").exists()
        {
            assert!(std::time::Instant::now() < until, "nothing is recorded");
        }
        std::thread::sleep(head_start);
        judge::run(judge::tool("kill").args(["-INT", &child.id().to_string()]));
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        if output.status.code().is_none() {
            // It had not begun to listen: the record was that of the run before.
            head_start += Duration::from_millis(5);
            continue;
        }
        if output.status.success() {
            // It was quicker than the signal.
            fs::remove_file(at("out.vhd")).unwrap();
            continue;
        }
        assert!(output.status.code() == Some(3) && said.contains("run the same command to resume"), "{said}");
        break;
    };
    stopped();
    File::options().write(true).open(at("in.raw")).unwrap().write_all_at(b"changed", 5000).unwrap();
    stopped();
    refloat(folder.path(), line, 0);
    refloat(folder.path(), "verify out.vhd raw:in.raw", 0);
    // The same once more is there already; another source is not.
    assert_eq!(json(folder.path(), line, 0)["written"], 0);
    File::options().write(true).open(at("in.raw")).unwrap().write_all_at(b"again", 5000).unwrap();
    assert!(failure(folder.path(), line).contains("it already exists"));
}

#[test]
fn the_extension_decides_the_format_of_every_verb() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    fs::rename(image, at("in.raw")).unwrap();
    refloat(folder.path(), "plan in.raw --for azure-gen1 -o plan.json", 0);
    for (line, name, format) in [
        ("apply plan.json -o a.vhd", "a.vhd", "vpc"),
        ("apply plan.json -o a.raw", "a.raw", "raw"),
        ("apply plan.json -o a.qcow2", "a.qcow2", "qcow2"),
        ("migrate in.raw m.vhd --for azure-gen1", "m.vhd", "vpc"),
        ("migrate in.raw m.img --for azure-gen1", "m.img", "raw"),
        ("migrate in.raw m.qcow2 --for azure-gen1", "m.qcow2", "qcow2"),
        ("convert in.raw c.bin --format qcow2", "c.bin", "qcow2"),
        ("convert in.raw c.VHD", "c.VHD", "vpc"),
    ] {
        refloat(folder.path(), line, 0);
        if judge::need("qemu-img").is_some() {
            judge::qemu_img_info(&at(name), format);
            // A VHD and a qcow2 have their marks; a raw image has none of theirs.
            let ends = fs::read(at(name)).unwrap();
            let vhd = ends[ends.len() - 512..].starts_with(b"conectix");
            let found = if vhd {
                "vpc"
            } else if ends.starts_with(b"QFI\xfb") {
                "qcow2"
            } else {
                "raw"
            };
            assert_eq!(found, format, "{line}");
        }
    }
    // What is fixed is the same, whatever it is written as.
    for name in ["a.raw", "m.vhd", "m.img", "m.qcow2"] {
        let verdict = json(folder.path(), &format!("verify a.vhd {name}"), 0);
        assert_eq!(verdict["same"], true, "{name}");
    }
    for line in [
        "convert in.raw x.vmdk",
        "convert in.raw x",
        "convert in.raw x.vhd --format raw",
        "apply plan.json -o x.vmdk",
        "apply plan.json -o x.vhd --format qcow2",
        "migrate in.raw x.iso --for azure-gen1",
    ] {
        let said = failure(folder.path(), line);
        assert!(said.contains("--format"), "refloat {line}: {said}");
    }
    for line in [
        "convert in.raw -",
        "apply plan.json -o -",
        "migrate in.raw - --for azure-gen1",
        "plan in.raw --for azure-gen1 -o -",
    ] {
        let said = failure(folder.path(), line);
        assert!(said.contains("no file name"), "refloat {line}: {said}");
        assert!(!at("-").exists());
    }
}

#[test]
fn what_convert_writes_verify_takes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("small.raw"), vec![7; 3000]).unwrap();
    let written = json(folder.path(), "convert raw:small.raw small.vhd", 0);
    assert_eq!((&written["size"], &written["padding"]), (&(20 << 20).into(), &((20 << 20) - 3072).into()));
    let verdict = json(folder.path(), "verify small.vhd raw:small.raw", 0);
    assert_eq!((&verdict["well_formed"], &verdict["same"]), (&true.into(), &true.into()));
    if judge::need("qemu-img").is_some() {
        let mut create = judge::tool("qemu-img");
        judge::run(create.args(["create", "-q", "-f", "qcow2"]).arg(at("large.qcow2")).arg("33T"));
        let said = failure(folder.path(), "convert large.qcow2 large.vhd");
        assert!(said.contains("32 TiB") && said.contains("help: "), "{said}");
        assert!(!at("large.vhd.partial").exists());
    }
}

#[test]
fn verify_knows_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut bytes = vec![0; 21 << 20];
    fastrand::Rng::with_seed(5).fill(&mut bytes[1 << 20..3 << 20]);
    fs::write(at("a.raw"), &bytes).unwrap();
    fs::write(at("b.raw"), &bytes).unwrap();
    refloat(folder.path(), "verify raw:a.raw raw:b.raw", 0);
    refloat(folder.path(), "verify raw:a.raw", 1);
    for target in ["a.vhd", "c.raw", "a.qcow2"] {
        refloat(folder.path(), &format!("convert raw:a.raw {target}"), 0);
    }
    let content = |line: &str, exit: i32| {
        let verdict = json(folder.path(), line, exit);
        let found =
            verdict["findings"].as_array().unwrap().iter().find(|found| found["id"] == "content").cloned();
        found.map(|found| found["outcome"] == "ok")
    };
    assert_eq!(content("verify a.vhd", 0), Some(true));
    assert_eq!(content("verify raw:c.raw raw:a.raw", 0), Some(true));
    // A damaged copy of it, with the log beside.
    let file = File::options().write(true).open(at("a.vhd")).unwrap();
    file.write_all_at(b"damaged", 2 << 20).unwrap();
    assert_eq!(content("verify a.vhd", 1), Some(false));
    let verdict = json(folder.path(), "verify a.vhd raw:a.raw", 1);
    assert_eq!(verdict["first_difference"], 2 << 20);
    // A malformed VHD is an answer, not an error.
    file.write_all_at(b"x", (21 << 20) + 40).unwrap();
    assert_eq!(json(folder.path(), "verify a.vhd", 1)["well_formed"], false);
    fs::write(at("none.vhd"), "").unwrap();
    assert_eq!(json(folder.path(), "verify none.vhd", 1)["well_formed"], false);
}
