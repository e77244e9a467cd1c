//! The examples, run as a user runs them.

use std::path::PathBuf;
use std::process::{Command, Output};

use standin::{Config, Server, Snapshot};
use testimages::{judge, synthetic};

const ID: &str = "snap-0123456789abcdef0";

/// Cargo puts them beside the folder of the tests.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let path: PathBuf = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is not built: cargo build --workspace --examples", path.display());
    Command::new(path)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Only the blocks that tell are fetched, and what is not there is said.
#[test]
fn the_files_of_a_snapshot_are_listed() {
    let Some(image) = synthetic::named("debian-mbr-ext4").path() else { return };
    let snapshot = Snapshot::from_file(ID, &image).unwrap();
    let server = Server::start(Config { snapshots: vec![snapshot], ..Config::default() }).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let list = |place: &str, path: &str| {
        let mut list = example("list_snapshot");
        list.args([&format!("ebs:{ID}@eu-west-1{place}"), path]).env("REFLOAT_CACHE", cache.path());
        list.env("AWS_ENDPOINT_URL", server.endpoint()).env("AWS_EC2_METADATA_DISABLED", "true");
        list.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "secret").output().unwrap()
    };
    let all = list("", "/etc");
    assert!(all.status.success(), "{}", said(&all));
    let text = String::from_utf8(all.stdout).unwrap();
    assert!(text.lines().any(|line| line == "p1 Regular fstab"), "{text}");
    assert!(server.counts().get < 20, "{:?}", server.counts());
    assert_eq!(String::from_utf8(list("#p1", "/etc").stdout).unwrap(), text.replace("p1 ", "disk "));
    let none = list("", "/no/such");
    assert!(none.status.code() == Some(1) && said(&none).contains("/no/such"), "{}", said(&none));
}

/// The disk that is read back is the source, and nothing is written over.
#[test]
fn a_vhd_is_written_that_others_read() {
    let Some(image) = synthetic::named("debian-mbr-ext4").path().filter(|_| judge::need_all(&["qemu-img"]))
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (target, back) = (folder.path().join("disk.vhd"), folder.path().join("back.raw"));
    let write = || example("write_vhd").args([&image, &target]).output().unwrap();
    let written = write();
    assert!(written.status.success(), "{}", said(&written));
    judge::qemu_img_convert((&target, "vpc"), (&back, "raw"), "");
    assert_eq!(judge::sha256(&back), judge::sha256(&image));
    let again = write();
    assert!(again.status.code() == Some(1) && said(&again).contains("Exists"), "{}", said(&again));
}
