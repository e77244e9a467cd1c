//! The commands that answers and errors name: a shell runs each as it stands, and it does what it says.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::{Command, Output};

use testimages::{judge, synthetic};

use crate::program::command;

/// A shell in a folder, which finds the program under its name.
fn shell(folder: &Path, line: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_refloat"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(
        std::iter::once(program.parent().unwrap().to_owned()).chain(std::env::split_paths(&path)),
    );
    let mut bash = Command::new("bash");
    bash.args(["-c", line]).current_dir(folder).env("PATH", path.unwrap()).env("NO_COLOR", "1");
    bash.output().unwrap()
}

/// The lines that say what to do next, and those to type for an upload.
fn next(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines = text.lines().filter_map(|line| match line.strip_prefix("next: ") {
        Some(next) => next.starts_with("refloat ").then_some(next),
        None => line.strip_prefix("  ").filter(|line| line.starts_with("az ") || line.starts_with("azcopy ")),
    });
    lines.map(str::to_owned).collect()
}

/// Runs every line that follows from `output`, and what follows from those; the verbs that were run.
fn follow(folder: &Path, output: &Output, done: &mut BTreeSet<String>) {
    for line in next(output) {
        if !done.insert(line.clone()) {
            continue;
        }
        if line.starts_with("az") {
            // Nobody has them here; their words are whole.
            let words = shlex::split(&line).unwrap_or_else(|| panic!("not for a shell: {line}"));
            assert!(words.len() > 5, "{line}");
            continue;
        }
        // The image is opened, and only the machine is not started.
        let boots = line.starts_with("refloat boot ");
        let run = if boots { format!("{line} --qemu /no/qemu") } else { line.clone() };
        let output = shell(folder, &run);
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(2) if boots => assert!(said.contains("cannot run /no/qemu"), "{run}: {said}"),
            code => assert!(matches!(code, Some(0 | 1)) && !boots, "{run}: {code:?}: {said}"),
        }
        follow(folder, &output, done);
    }
}

/// Runs `line`, where `IMAGE` stands for this name, and all that follows.
fn run(folder: &Path, line: &str, name: &OsStr, exit: i32, done: &mut BTreeSet<String>) {
    let words = line.split(' ').map(|word| match word {
        "IMAGE" => name.to_owned(),
        word => OsString::from(word),
    });
    let output = command(folder, "").args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{line} of {name:?}: {said}");
    assert!(!next(&output).is_empty(), "{line} of {name:?} names nothing to do next");
    follow(folder, &output, done);
}

#[test]
fn every_command_that_is_named_can_be_typed() {
    for name in [
        &b"plain.img"[..],
        b"my disk's.img",
        b"build#7.img",
        b"a:b$HOME.img",
        b"./-x.img",
        b"caf\xe9 \x1b[31m.img",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
        let name = OsString::from_vec(name.to_vec());
        std::fs::rename(image, folder.path().join(&name)).unwrap();
        let mut done = BTreeSet::new();
        for (line, exit) in [
            ("check IMAGE --for azure-gen2", 1),
            ("check IMAGE --for azure-gen1", 1),
            ("plan IMAGE --for azure-gen1 --cloud-init azure", 0),
            ("plan --show plan.json", 0),
            ("verify IMAGE", 1),
            ("migrate IMAGE moved.vhd --for azure-gen1", 0),
            ("apply plan.json -o whole.vhd", 0),
            ("apply plan.json --in-place", 0),
        ] {
            run(folder.path(), line, &name, exit, &mut done);
        }
        let verbs: BTreeSet<&str> = done.iter().filter_map(|line| line.split(' ').nth(1)).collect();
        for verb in ["check", "plan", "apply", "boot", "convert", "undo", "copy", "disk"] {
            assert!(verbs.contains(verb), "{name:?}: no next: line has named {verb}: {done:#?}");
        }
        assert!(!done.iter().any(|line| line.contains("whole.vhd --allow-backing")), "{done:#?}");
    }
}

/// A backing file, and a machine of several disks.
#[test]
fn every_command_opens_what_the_first_one_opened() {
    if judge::need("qemu-img").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    std::fs::create_dir(folder.path().join("my base")).unwrap();
    std::fs::rename(image, folder.path().join("my base/base.raw")).unwrap();
    let mut create = judge::tool("qemu-img");
    create.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "my base/base.raw", "top.qcow2"]);
    judge::run(create.current_dir(folder.path()));
    std::fs::File::create(folder.path().join("data.raw")).unwrap().set_len(32 << 20).unwrap();
    let allow = OsStr::from_bytes(b"my base");
    for (line, exit) in [
        ("check top.qcow2 --for azure-gen2 --allow-backing IMAGE", 1),
        ("check top.qcow2 --for azure-gen1 --allow-backing IMAGE --disk raw:data.raw", 1),
    ] {
        run(folder.path(), line, allow, exit, &mut BTreeSet::new());
        for left in ["plan.json", "top-azure.qcow2"] {
            drop(std::fs::remove_file(folder.path().join(left)));
        }
    }
}
