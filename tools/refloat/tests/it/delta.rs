//! Cut-over by what changed: a blob that holds a migrated snapshot becomes the next one.

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use standin::Snapshot;
use testimages::synthetic;

use crate::azure::{Azure, Blobs};
use crate::cloud::{BLOCK, Cloud, ID, NEWER, noise, same};
use crate::program::Refloat;

const LEN: usize = BLOCK as usize;

/// AWS and Azure.
struct Both {
    cloud: Cloud,
    blobs: Blobs,
}

impl Both {
    fn new(snapshots: Vec<Snapshot>) -> Self {
        Self { cloud: Cloud::new(snapshots, vec![]), blobs: Blobs::start() }
    }

    /// `refloat LINE`, where ` @NAME` stands for a blob, `ebs:S` for the older and `ebs:T` for the newer
    /// snapshot.
    fn command(&self, line: &str) -> Refloat {
        let line = line.replace(" @", &format!(" azure:{}", self.blobs.server.url("")));
        let mut command = self.cloud.command(&line.replace("ebs:T", &format!("ebs:{NEWER}@eu-west-1")));
        let state = self.blobs.path("state");
        command.env("AZURE_ACCESS_TOKEN", "of a test");
        command.env("REFLOAT_AZURE_SAS", self.blobs.server.signature()).env("REFLOAT_STATE", state);
        command
    }

    #[track_caller]
    fn run(&self, line: &str, exit: i32) -> Output {
        let output = self.command(line).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "refloat {line}\n{said}");
        output
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        serde_json::from_slice(&self.run(&format!("{line} --json"), 0).stdout).unwrap()
    }

    #[track_caller]
    fn said(&self, line: &str, exit: i32) -> String {
        let output = self.run(line, exit);
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    #[track_caller]
    fn same(&self, a: &str, b: &str) {
        let of = |name: &str| self.blobs.server.content(name).expect("a blob");
        assert!(of(a) == of(b), "{a} is not {b}");
    }
}

/// The blocks of the demonstration's guest that are zero: it has nothing there.
fn free(image: &[u8]) -> Vec<usize> {
    let zero = |block: &[u8]| block.iter().all(|byte| *byte == 0);
    image.chunks(LEN).enumerate().filter(|(_, block)| zero(block)).map(|(at, _)| at).collect()
}

/// A guest, and the same a while later: of five blocks that are free in its file systems some pages differ.
pub(crate) fn guest_and_later() -> Option<(Vec<u8>, Vec<u8>)> {
    let mut before = fs::read(synthetic::demo().path()?).unwrap();
    let chosen: Vec<usize> = free(&before).into_iter().step_by(3).take(6).collect();
    for (block, byte) in chosen.iter().zip(1..) {
        before[block * LEN..][..64 << 10].fill(byte);
    }
    let mut after = before.clone();
    for block in &chosen[..4] {
        after[block * LEN + 4096..][..8192].fill(0xee);
        after[block * LEN + (16 << 10)..][..4096].fill(0);
    }
    after[chosen[4] * LEN..][..LEN].fill(0);
    Some((before, after))
}

/// The same once more: what changed on the way to `after` is what it was before, or is as it was there, or never was;
/// and what was zero in both holds something.
pub(crate) fn latest(before: &[u8], after: &[u8]) -> Vec<u8> {
    let blocks = before.chunks(LEN).zip(after.chunks(LEN)).enumerate();
    let changed: Vec<usize> = blocks.filter(|(_, (old, new))| old != new).map(|(at, _)| at).collect();
    let mut latest = after.to_vec();
    let last = changed.last().copied().unwrap();
    for block in [changed[0], last] {
        latest[block * LEN..][..LEN].copy_from_slice(&before[block * LEN..][..LEN]);
    }
    latest[changed[changed.len() / 2] * LEN + 4096..][..4096].fill(0x77);
    let unused = free(before).into_iter().rfind(|block| !changed.contains(block)).unwrap();
    latest[unused * LEN..][..9000].fill(0x33);
    latest
}

fn snapshots<const N: usize>(volume: &str, disks: [(&str, Vec<u8>); N]) -> [Snapshot; N] {
    disks.map(|(id, bytes)| Snapshot::from_bytes(id, bytes).of_volume(volume))
}

#[test]
fn a_migrated_blob_becomes_the_newer_snapshot_by_what_changed_alone() {
    let Some((before, after)) = guest_and_later() else { return };
    let both = Both::new(snapshots("vol-1", [(ID, before), (NEWER, after)]).into());
    let delta = format!("migrate ebs:T @os.vhd --for azure-gen1 --since {ID}");
    // Nothing is known of what is there; nor is it written.
    let said = both.said(&delta, 2);
    assert!(said.contains("no record on this machine") && said.contains("add --force"), "{said}");
    let said = both.said("migrate ebs:S @os.vhd --for azure-gen1", 0);
    assert!(said.contains(&format!("--since ebs:{ID} sends only what has changed")), "{said}");
    both.run("migrate ebs:T @full.vhd --for azure-gen1", 0);
    both.cloud.server.reset_counts();
    let forecast = both.json("forecast ebs:S ebs:T");
    assert_eq!((&forecast["blocks"], &forecast["gone"]), (&5.into(), &1.into()), "{forecast}");
    let sent = both.json(&delta);
    both.same("os.vhd", "full.vhd");
    // What planning reads is in the cache: only what has changed is fetched.
    assert_eq!(sent["written"]["changed"]["blocks"], forecast["blocks"], "{sent}");
    assert_eq!(sent["written"]["changed"]["bytes"], forecast["bytes"], "{sent}");
    assert_eq!(sent["transfer"]["bytes"], forecast["bytes"], "{sent}");
    // Of each of four blocks two pages; a third is cleared, and all of the fifth. What the plan writes is there.
    assert_eq!(sent["written"]["written"], 8 * 4096, "{sent}");
    // Once more there is nothing to do, and a run in full knows it, too.
    for line in [delta.as_str(), "migrate ebs:T @os.vhd --for azure-gen1"] {
        assert_eq!(both.json(line)["written"]["written"], 0, "{line}");
    }
    // A file follows, too, by whole blocks of 512 KiB.
    both.run("migrate ebs:S os.vhd --for azure-gen1", 0);
    let told = both.json(&delta.replace("@os.vhd", "os.vhd"));
    assert_eq!(told["written"]["changed"]["blocks"], forecast["blocks"], "{told}");
    let file = fs::read(both.cloud.path().join("os.vhd")).unwrap();
    assert!(file == both.blobs.server.content("full.vhd").unwrap(), "the file is not what the blob is");
    assert_eq!(both.json("migrate ebs:T os.vhd --for azure-gen1")["written"]["written"], 0);
    // What has another plan is another disk: it follows the same snapshot.
    let other = "migrate ebs:T @os.vhd --for azure-gen1 --cloud-init azure";
    both.run(&format!("{other} --since {NEWER}"), 0);
    both.run(&format!("{} --since {NEWER}", other.replace("@os.vhd", "os.vhd")), 0);
    both.run(&other.replace("@os.vhd", "@other.vhd"), 0);
    both.same("os.vhd", "other.vhd");
    let file = fs::read(both.cloud.path().join("os.vhd")).unwrap();
    assert!(file == both.blobs.server.content("other.vhd").unwrap(), "the file is not what the blob is");
    let verdict = both.json("verify @os.vhd");
    assert_eq!(verdict["well_formed"], true);
}

/// The data disk of the same machine, and the same a while later.
const DATA: [&str; 2] = ["snap-0aaaaaaaaaaaaaaaa", "snap-0bbbbbbbbbbbbbbbb"];

#[test]
fn all_disks_of_a_machine_follow_and_a_killed_run_goes_on() {
    let Some((before, after)) = guest_and_later() else { return };
    let old = noise(21, 40);
    let mut new = old.clone();
    new[3 * LEN + 8192..][..30_000].fill(9);
    new[30 * LEN..33 * LEN].fill(0);
    // What was zero before has not changed.
    let changed = old.chunks(LEN).zip(new.chunks(LEN)).filter(|(old, new)| old != new).count();
    let os = snapshots("vol-1", [(ID, before), (NEWER, after)]);
    let data = snapshots("vol-2", [(DATA[0], old), (DATA[1], new)]);
    let both = Both::new(os.into_iter().chain(data).collect());
    let (older, newer) = (format!("ebs:{ID},{}", DATA[0]), format!("ebs:{NEWER},{}@eu-west-1", DATA[1]));
    both.run(&format!("migrate {older}@eu-west-1 @os.vhd --for azure-gen1"), 0);
    both.run(&format!("migrate {newer} @full.vhd --for azure-gen1"), 0);
    let delta = format!("migrate {newer} @os.vhd --for azure-gen1 --since {older}");
    // The wrong number of snapshots, and those of the wrong disks.
    let said = both.said(&delta.replace(&older, ID), 2);
    assert!(said.contains("names 1 snapshot, and the machine has 2 disks"), "{said}");
    let said = both.said(&delta.replace(&older, &format!("{},{ID}", DATA[0])), 2);
    assert!(said.contains("does not hold") && said.contains("--force"), "{said}");
    // A put, what is read back and the footer come a while after each other.
    both.blobs.server.delay(Duration::from_millis(100));
    let before = both.blobs.server.blob_counts().puts;
    let mut child = both.command(&format!("{delta} --quiet")).spawn().unwrap();
    while both.blobs.server.blob_counts().puts == before && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(3));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // It is neither, and nobody takes it for a disk.
    let content = both.blobs.server.content("os.vhd").unwrap();
    assert!(content[content.len() - 512..].iter().all(|byte| *byte == 0), "it was done before it was killed");
    both.blobs.server.delay(Duration::ZERO);
    both.run("verify @os.vhd", 1);
    let told = both.json(&delta);
    both.same("os.vhd", "full.vhd");
    both.same("os-data1.vhd", "full-data1.vhd");
    assert_eq!(told["data"][0]["written"]["changed"]["blocks"], changed, "{told}");
    assert_eq!(told["data"][0]["written"]["written"], 8 * 4096, "{told}");
}

/// Killed on its way to a snapshot, and another one is the newest when it is run again; or the older one is.
#[test]
fn a_run_that_was_killed_and_overtaken_goes_on_from_what_it_left() {
    const LATEST: &str = "snap-0cccccccccccccccc";
    let Some((before, after)) = guest_and_later() else { return };
    let latest = latest(&before, &after);
    let volume = snapshots("vol-1", [(ID, before.clone()), (NEWER, after.clone()), (LATEST, latest)]);
    let both = Both::new(volume.into());
    let (to, from) = ("--for azure-gen1", format!("--since {ID}"));
    let newest = format!("ebs:{LATEST}@eu-west-1");
    both.run(&format!("migrate {newest} @full.vhd {to}"), 0);
    both.run(&format!("migrate ebs:S @first.vhd {to}"), 0);
    both.run(&format!("migrate ebs:S os.vhd {to}"), 0);
    both.run(&format!("migrate ebs:S @os.vhd {to}"), 0);
    let local = |name: &str| both.cloud.path().join(name);
    let holds =
        |name: &str| assert!(fs::read(local("os.vhd")).unwrap() == both.blobs.server.content(name).unwrap());

    let kill_blob = || {
        both.blobs.server.delay(Duration::from_millis(100));
        let puts = both.blobs.server.blob_counts().puts;
        let mut child = both.command(&format!("migrate ebs:T @os.vhd {to} {from} --quiet")).spawn().unwrap();
        while both.blobs.server.blob_counts().puts == puts && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(3));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        both.blobs.server.delay(Duration::ZERO);
        both.run("verify @os.vhd", 1);
    };
    // A file: until one of the blocks that changed is in it.
    let blocks = before.chunks(LEN).zip(after.chunks(LEN)).enumerate();
    let changed: Vec<usize> = blocks.filter(|(_, (old, new))| old != new).map(|(at, _)| at).collect();
    let kill_file = || {
        both.cloud.forget();
        let line = format!("migrate ebs:T os.vhd {to} {from} --quiet --ebs-requests-per-second 20");
        let mut child = both.command(&line).spawn().unwrap();
        let is_there = || {
            let Ok(file) = fs::File::open(local("os.vhd.partial")) else { return false };
            let mut block = vec![0; LEN];
            changed.iter().any(|at| {
                let read = file.read_exact_at(&mut block, (at * LEN) as u64);
                read.is_ok() && block == after[at * LEN..][..LEN]
            })
        };
        while !is_there() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(3));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(
            local("os.vhd.partial").exists() && !local("os.vhd").exists(),
            "it was done before it was killed"
        );
    };

    // The older one is the newest again: what was put is taken back.
    kill_blob();
    both.run(&format!("migrate ebs:S @os.vhd {to} {from}"), 0);
    both.same("os.vhd", "first.vhd");
    kill_file();
    both.run(&format!("migrate ebs:S os.vhd {to} {from}"), 0);
    holds("first.vhd");
    // A newer one is: all that either changed becomes what it is there, and nothing else is fetched.
    for target in ["@os.vhd", "os.vhd"] {
        if target == "@os.vhd" {
            kill_blob()
        } else {
            kill_file()
        }
        let line = format!("migrate {newest} {target} {to} {from}");
        let told = both.json(&line);
        assert_eq!(told["written"]["changed"]["blocks"], 4, "{told}");
        // Once more there is nothing to do.
        assert_eq!(both.json(&line)["written"]["written"], 0);
    }
    both.same("os.vhd", "full.vhd");
    holds("full.vhd");
    both.run("verify os.vhd", 0);
}

#[test]
fn what_cannot_follow_is_refused_with_the_way_out() {
    let bytes = noise(22, 8);
    let mut newer = bytes.clone();
    newer[LEN..][..5000].fill(3);
    let both = Both::new(snapshots("vol-1", [(ID, bytes.clone()), (NEWER, newer)]).into());
    fs::write(both.cloud.path().join("disk.raw"), &bytes).unwrap();
    // As they are, without a plan: convert follows, too.
    both.run("convert ebs:S @disk.vhd", 0);
    let delta = format!("convert ebs:T @disk.vhd --since ebs:{ID}");
    both.run(&delta, 0);
    both.run("convert ebs:T @full.vhd", 0);
    both.same("disk.vhd", "full.vhd");
    both.blobs.server.spoil("disk.vhd", 3 << 20);
    let qcow2 = format!("convert ebs:T disk.qcow2 --since {ID}");
    let managed = format!("convert ebs:T azure:01234567-89ab-cdef-0123-456789abcdef/group/disk --since {ID}");
    for (line, says, help) in [
        (delta.as_str(), "written or replaced since", "add --force"),
        ("convert ebs:S @disk.vhd --since x", "not the id of a snapshot", "ebs:snap-"),
        ("convert raw:disk.raw @disk.vhd --since snap-1", "snapshots in AWS only", "leave --since out"),
        (qcow2.as_str(), "always written whole", ".raw and a page blob"),
        ("convert ebs:S @disk.vhd --since snap-1@us-east-1", "is in eu-west-1", "of one region"),
        (managed.as_str(), "takes no more pages once it is finished", "a page blob"),
    ] {
        let said = both.said(line, 2);
        assert!(said.contains(says) && said.contains("help: ") && said.contains(help), "{line}: {said}");
    }
    // What the help says helps.
    both.run("convert ebs:S @disk.vhd --force", 0);
    both.run(&delta, 0);
    both.same("disk.vhd", "full.vhd");
}

/// Azurite says that pages are put and cleared as Azure takes it.
#[test]
fn another_service_holds_the_same() {
    let Some(azure) = Azure::start() else { return };
    let bytes = noise(23, 12);
    let mut newer = bytes.clone();
    newer[LEN + 4096..2 * LEN].fill(0);
    newer[5 * LEN + 9000..][..40_000].fill(5);
    let [old, new] = snapshots("vol-1", [(ID, bytes), (NEWER, newer)]);
    let cloud = Cloud::new(vec![old, new], vec![]);
    let run = |line: &str| {
        let line = line.replace(" @", &format!(" azure:{}", azure.azurite.url("")));
        let mut command = cloud.command(&line.replace("ebs:T", &format!("ebs:{NEWER}@eu-west-1")));
        command.env("REFLOAT_AZURE_SAS", azure.azurite.all()).env("REFLOAT_STATE", azure.path("state"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    };
    run("convert ebs:S @disk.vhd");
    run(&format!("convert ebs:T @disk.vhd --since {ID} --read-back all"));
    run("convert ebs:T full.vhd");
    azure.azurite.copy_to("disk.vhd", &azure.path("back.vhd"));
    assert!(same(&azure.path("back.vhd"), &cloud.path().join("full.vhd")));
}
