//! The example, run as a user runs it.

use std::process::Command;

use testimages::synthetic;

/// What `assess` says of a guest, and how it ends.
fn assess(name: &str) -> Option<(i32, String)> {
    let image = synthetic::named(name).path()?;
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples/assess");
    assert!(path.exists(), "{} is not built: cargo build --workspace --examples", path.display());
    let output = Command::new(path).arg(image).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    Some((output.status.code().unwrap(), said))
}

#[test]
fn a_machine_is_ready_or_not_or_no_machine() {
    for (guest, exit, says) in [
        ("debian-already-fine", 0, "ready"),
        ("debian-mbr-ext4", 1, "blocked by linux."),
        ("bare-no-os", 2, "no operating system"),
    ] {
        let Some((ended, said)) = assess(guest) else { return };
        assert!(ended == exit && said.contains(says), "{guest}: {ended}\n{said}");
    }
}
