//! Names that are not UTF-8: every verb takes them, of images, of what it writes, and of files in a guest.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use testimages::{judge, synthetic};

use crate::program::command;

/// What a typed word stands for: `~` is a byte that is no UTF-8.
fn name(word: &str) -> OsString {
    OsString::from_vec(word.bytes().map(|byte| if byte == b'~' { 0xe9 } else { byte }).collect())
}

/// Runs it; everything it says is text, and shows such a byte as `\xE9`.
#[track_caller]
fn run(folder: &Path, line: &str, exit: i32, json: bool) -> String {
    let mut command = command(folder, "");
    command.args(line.split(' ').map(name));
    if json {
        command.args(["--json"]);
    }
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).expect(line).to_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(exit), "refloat {line}\n{out}\n{err}");
    for said in [&out, &err] {
        assert!(!said.contains('\u{fffd}'), "refloat {line} loses a name: {said}");
        assert!(!said.contains(|c| c > '\u{10ff00}') || line.starts_with("plan"), "refloat {line}: {said}");
    }
    out + &err
}

#[test]
fn every_verb_takes_names_that_are_not_utf8() {
    let folder = tempfile::tempdir().unwrap();
    let folder = &folder.path().join(name("fold~er"));
    fs::create_dir(folder).unwrap();
    let Some(image) = synthetic::demo().copy_into(folder) else { return };
    let before = judge::sha256(&image);
    fs::rename(image, folder.join(name("a~.raw"))).unwrap();
    for (line, exit, json) in [
        ("inspect a~.raw", 0, true),
        ("inspect a~.raw", 0, false),
        ("inspect raw:a~.raw#p1", 0, true),
        ("check a~.raw --for azure-gen1", 1, true),
        ("check a~.raw --for azure-gen1", 1, false),
        ("plan a~.raw --for azure-gen1 -o p~.json", 0, false),
        ("plan a~.raw --for azure-gen1", 0, true),
        ("plan --show p~.json", 0, false),
        ("apply p~.json -o f~.qcow2", 0, true),
        ("check f~.qcow2 --allow-backing . --for azure-gen1", 0, false),
        ("convert f~.qcow2 --allow-backing . c~.vhd", 0, true),
        ("convert a~.raw c~.raw", 0, false),
        ("verify c~.raw a~.raw", 0, true),
        ("verify c~.vhd f~.qcow2 --allow-backing .", 0, false),
        ("migrate a~.raw m~.vhd --plan mp~.json --for azure-gen1", 0, false),
        ("migrate a~.raw n~.raw --for azure-gen1", 0, true),
        ("fs ls a~.raw#/etc", 0, true),
        ("fs cat a~.raw#/etc/fstab", 0, false),
        ("fs diff a~.raw a~.raw", 0, false),
        ("boot a~.raw --for azure-gen1 --qemu /no/qemu --log l~.log", 2, true),
        ("apply p~.json --in-place", 0, false),
        ("apply p~.json --in-place", 0, true),
        ("undo a~.raw", 0, false),
        // What is said of it in errors.
        ("convert a~.raw c~.vhd", 2, true),
        ("inspect none~.raw", 2, false),
        ("inspect a~.raw#p9", 2, true),
        ("undo a~.raw", 2, false),
        ("convert a~.raw none~/c.raw", 2, false),
        ("demo --keep d~", 0, false),
    ] {
        let said = run(folder, line, exit, json);
        let shown = if json { "\\\\xE9" } else { "\\xE9" };
        let silent = ["fs cat", "fs diff", "fs ls", "boot"].iter().any(|verb| line.starts_with(verb));
        assert!(said.contains(shown) || silent || line.starts_with("plan") && json, "refloat {line}: {said}");
    }
    assert_eq!(judge::sha256(&folder.join(name("a~.raw"))), before, "undone");
}

#[test]
fn a_path_in_a_guest_need_not_be_utf8() {
    if !judge::need_all(&["mke2fs"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/os-release"), "ID=debian\nPRETTY_NAME=Debian\n").unwrap();
    fs::write(root.join("etc").join(name("caf~")), "found").unwrap();
    let mut mke2fs = judge::tool("mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-d"]).args([&root, &folder.path().join("disk.raw")]).arg("8M");
    judge::run(&mut mke2fs);
    assert!(run(folder.path(), "fs ls disk.raw#/etc", 0, false).contains("/etc/caf\\xE9"));
    assert_eq!(run(folder.path(), "fs cat disk.raw#/etc/caf~", 0, false), "found");
    assert!(run(folder.path(), "fs stat disk.raw#/etc/caf~", 0, true).contains("/etc/caf\\\\xE9"));
    assert!(run(folder.path(), "fs cat disk.raw#/etc/tea~", 2, false).contains("disk.raw#/etc/tea\\xE9"));
}
