//! The files that refloat makes beside others: whatever lies there under their names is refused by name, and
//! nothing of it is lost. Their modes, and the limits of file sizes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use standin::Snapshot;
use testimages::{judge, synthetic};

use crate::cloud::{Cloud, ID};
use crate::program::{command, failure, refloat};

/// What may lie in the way, and what is said of it.
const IN_THE_WAY: [(&str, &str); 6] = [
    ("hard link", "hard link"),
    ("hard link to the image", "hard link"),
    ("symbolic link to the image", "symbolic link"),
    ("dangling link", "symbolic link"),
    ("pipe", "pipe"),
    ("folder", "folder"),
];

/// Puts it at `path`; `image` is what the command reads.
fn put(kind: &str, path: &Path, image: &Path) {
    let precious = path.with_file_name("precious");
    match kind {
        "hard link" => fs::hard_link(precious, path).unwrap(),
        "hard link to the image" => fs::hard_link(image, path).unwrap(),
        "symbolic link to the image" => std::os::unix::fs::symlink(image, path).unwrap(),
        "dangling link" => std::os::unix::fs::symlink("nothing", path).unwrap(),
        "pipe" => drop(judge::run(judge::tool("mkfifo").arg(path))),
        "folder" => fs::create_dir(path).unwrap(),
        other => panic!("{other}"),
    }
}

fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir(path).unwrap() } else { fs::remove_file(path).unwrap() }
}

#[test]
fn what_lies_in_the_way_of_a_sidecar_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    fs::rename(image, at("in.raw")).unwrap();
    fs::write(at("precious"), "precious").unwrap();
    refloat(folder.path(), "plan in.raw --for azure-gen1 -o plan.json", 0);
    let before = judge::sha256(&at("in.raw"));
    for (line, sidecar) in [
        ("convert in.raw out.vhd", "out.vhd.partial"),
        ("convert in.raw out.raw --force", "out.raw.partial"),
        ("convert in.raw out.qcow2", "out.qcow2.partial"),
        ("migrate in.raw out.vhd --for azure-gen1", "out.vhd.partial"),
        ("apply plan.json -o out.qcow2", "out.qcow2.partial"),
        ("apply plan.json --in-place", "in.raw.undo.partial"),
        ("apply plan.json --in-place", "in.raw.undo"),
        ("plan in.raw --for azure-gen1 -o new.json", "new.json"),
        ("plan in.raw --for azure-gen1 -o new.json", "new.json.partial"),
        ("boot in.raw --for azure-gen1 --log new.log", "new.log"),
    ] {
        if line.starts_with("boot") && judge::need("qemu-system-x86_64").is_none() {
            continue;
        }
        for (kind, said) in IN_THE_WAY {
            put(kind, &at(sidecar), &at("in.raw"));
            let error = failure(folder.path(), line);
            // Who reads and writes one file by two names is told that first.
            let told = error.contains(said)
                || error.contains("same file as the input")
                || error.contains("this run reads it");
            assert!(told && error.contains(sidecar), "{line}, {kind}: {error}");
            // What is to be done is no circle: that file is in the way, whatever the verb.
            if error.contains("file of its own under this name") && !error.contains("this run reads it") {
                assert!(
                    error.contains("\nhelp: move ") && error.contains(&format!("{sidecar} away")),
                    "{error}"
                );
            }
            assert_eq!(judge::sha256(&at("in.raw")), before, "{line}, {kind}");
            assert_eq!(fs::read(at("precious")).unwrap(), b"precious", "{line}, {kind}");
            assert!(!at("nothing").exists(), "{line}, {kind}");
            remove(&at(sidecar));
        }
    }
    let left =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(left.len(), 3, "the image, the plan and the precious file: {left:?}");
}

/// A file of the user's that happens to be called as one of refloat's: nothing in it says that it is ours.
#[test]
fn a_file_of_the_users_is_kept_and_ours_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    fs::rename(image, at("in.raw")).unwrap();
    refloat(folder.path(), "plan in.raw --for azure-gen1 -o plan.json", 0);
    refloat(folder.path(), "convert in.raw whole.vhd", 0);
    for (line, sidecar) in [
        ("convert in.raw out.vhd", "out.vhd.partial"),
        ("convert in.raw out.raw --force", "out.raw.partial"),
        ("convert in.raw#p1 part.raw", "part.raw.partial"),
        ("convert in.raw out.qcow2", "out.qcow2.partial"),
        ("migrate in.raw out.vhd --for azure-gen1", "out.vhd.partial"),
        ("apply plan.json -o out.qcow2 --force", "out.qcow2.partial"),
        ("plan in.raw --for azure-gen1 -o new.json", "new.json.partial"),
        ("apply plan.json --in-place", "in.raw.undo.partial"),
        // Beside an output that is whole, with the log of that.
        ("convert in.raw#p1 whole.vhd --force", "whole.vhd.partial"),
    ] {
        for content in [&b"precious"[..], &[0; 5000], &[7; 100_000]] {
            fs::write(at(sidecar), content).unwrap();
            let error = failure(folder.path(), line);
            assert!(error.contains("refloat did not write"), "{line}: {error}");
            assert!(error.contains(&format!("help: move {sidecar} away")) || error.contains("in.raw.undo"));
            assert_eq!(fs::read(at(sidecar)).unwrap(), content, "{line}");
        }
        fs::remove_file(at(sidecar)).unwrap();
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "nothing is left behind");
}

#[test]
fn what_lies_in_the_way_of_the_log_of_a_pull_is_refused_and_kept() {
    let cloud = Cloud::new(vec![Snapshot::from_bytes(ID, vec![7; 1 << 20])], vec![]);
    fs::write(cloud.path().join("precious"), "precious").unwrap();
    let log = cloud.path().join("disk.vhd.transfer");
    for (kind, said) in IN_THE_WAY.into_iter().filter(|(kind, _)| !kind.ends_with("image")) {
        put(kind, &log, Path::new(""));
        let error = cloud.said("convert ebs:S disk.vhd", 2);
        assert!(error.contains(said) && error.contains("disk.vhd.transfer"), "{kind}: {error}");
        assert_eq!(fs::read(cloud.path().join("precious")).unwrap(), b"precious", "{kind}");
        remove(&log);
    }
}

/// Who may not read the image may not read what is made of it.
#[test]
fn modes_are_never_wider_than_those_of_the_image() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    fs::rename(image, at("in.raw")).unwrap();
    fs::set_permissions(at("in.raw"), fs::Permissions::from_mode(0o600)).unwrap();
    for line in [
        "plan in.raw --for azure-gen1 -o plan.json",
        "apply plan.json -o fixed.qcow2",
        "convert in.raw out.vhd",
        "convert in.raw out.qcow2",
        "migrate in.raw fixed.vhd --for azure-gen1",
        "apply plan.json --in-place",
    ] {
        refloat(folder.path(), line, 0);
    }
    let mut names = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", entry.file_name());
        names += 1;
    }
    assert!(names >= 7 && at("in.raw.undo").exists());
}

/// As `ulimit -f` sets it: the program says so, and leaves what a failed run leaves.
#[test]
fn a_limit_of_file_sizes_is_an_error_like_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = fs::File::create(folder.path().join("in.raw")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[7; 3 << 20], 40 << 20).unwrap();
    file.set_len(64 << 20).unwrap();
    for output in ["out.vhd", "out.raw", "out.qcow2"] {
        let program = command(folder.path(), &format!("convert raw:in.raw {output}"));
        let mut limited = Command::new("sh");
        limited.args(["-c", "ulimit -f 4000; exec \"$0\" \"$@\""]).arg(program.get_program());
        let output = limited.args(program.get_args()).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("File too large") && said.contains("help: raise the limit"), "{said}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{said}");
    }
}
