//! Managed disks and their snapshots in Azure, read where they are: judged as here, and closed at any end.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use testimages::{judge, synthetic};

use crate::azure::disk;
use crate::managed::Managed;

/// A group with the disk `web`, which holds a guest that does not start; it is here, too, as `guest.raw`.
fn guest() -> Option<Managed> {
    let azure = Managed::start();
    let guest = synthetic::demo().copy_into(azure.folder.path())?;
    fs::rename(guest, azure.path("guest.raw")).unwrap();
    holds(&azure, "web", "guest.raw");
    Some(azure)
}

/// A disk, or `snapshots/NAME`, that holds what is in this file.
fn holds(azure: &Managed, disk: &str, file: &str) {
    azure.said(&format!("convert raw:{file} made.vhd --force"), 0);
    azure.server.holds(disk, &fs::read(azure.path("made.vhd")).unwrap());
}

/// Nothing is open, and nothing says that it is.
#[track_caller]
fn is_closed(azure: &Managed, disk: &str) {
    assert_eq!(azure.server.state(disk).as_deref(), Some("Unattached"), "{disk}");
    assert_eq!(records(&azure.path("state/azure")), 0);
}

fn records(state: &Path) -> usize {
    let files = fs::read_dir(state).into_iter().flatten().flatten();
    files.filter(|file| file.path().extension().is_some_and(|of| of == "open")).count()
}

#[track_caller]
fn json(azure: &Managed, line: &str, exit: i32) -> Value {
    let mut command = azure.command(&format!("{line} --json"));
    let output = command.env_remove("REFLOAT_LOG").output().unwrap();
    assert_eq!(output.status.code(), Some(exit), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_guest_on_a_managed_disk_is_judged_as_it_is_here_by_a_few_reads() {
    let Some(azure) = guest() else { return };
    let there = json(&azure, "check @web --for azure-gen1", 1);
    is_closed(&azure, "web");
    let here = json(&azure, "check guest.raw --for azure-gen1", 1);
    for field in ["findings", "ready", "ready_after_fix", "boot"] {
        assert_eq!(there[field], here[field], "{field}");
    }
    assert_eq!(there["source"][0]["sha256"], here["source"][0]["sha256"]);
    let reads = there["blobs"]["reads"].as_u64().unwrap();
    eprintln!("check of a managed disk: {}", there["blobs"]);
    assert!(reads > 0 && reads <= 120, "{}", there["blobs"]);
    // What one has read the next does not read again, whatever the URL.
    let again = json(&azure, "check @web --for azure-gen1", 1);
    assert!(again["blobs"]["reads"].as_u64().unwrap() <= 2, "{}", again["blobs"]);
    azure.said("fs cat @web#/etc/fstab", 0);
    azure.said("inspect @web#p1", 0);
    azure.said("verify @web raw:guest.raw", 0);
    // A plan of it is carried out, and a mended copy goes from disk to disk.
    azure.said("plan @web --for azure-gen1 -o plan.json", 0);
    azure.said("apply plan.json -o applied.raw", 0);
    let said = azure.said("migrate @web @fixed --for azure-gen1", 0);
    assert!(said.contains("refloat boot azure:"), "{said}");
    azure.said("migrate guest.raw fixed.vhd --for azure-gen1", 0);
    assert!(azure.server.content("fixed").unwrap() == fs::read(azure.path("fixed.vhd")).unwrap());
    json(&azure, "check @fixed --for azure-gen1", 0);
    is_closed(&azure, "fixed");
    is_closed(&azure, "web");
}

#[test]
fn a_snapshot_is_read_as_a_disk_is() {
    let Some(azure) = guest() else { return };
    holds(&azure, "snapshots/monday", "guest.raw");
    azure.said("check @snapshots/monday --for azure-gen1", 1);
    is_closed(&azure, "snapshots/monday");
    azure.said("convert @snapshots/monday back.raw", 0);
    azure.said("verify raw:guest.raw back.raw", 0);
    let said = azure.said("inspect @snapshots/none", 2);
    assert!(said.contains("there is no snapshot of that name"), "{said}");
}

#[test]
fn what_cannot_be_read_is_said_with_what_to_do() {
    let azure = Managed::start();
    for (disk, state) in [("runs", "Attached"), ("waits", "ReadyToUpload"), ("comes", "ActiveUpload")] {
        azure.server.other_disk(disk, state);
    }
    for (disk, says) in [
        ("runs", &["attached to running VM", "az snapshot create", "az vm deallocate"][..]),
        ("waits", &["it waits for its upload"]),
        ("comes", &["it waits for its upload"]),
        ("none", &["there is no disk of that name"]),
        ("a:b", &["no name of a managed disk"]),
    ] {
        let said = azure.said(&format!("check @{disk} --for azure-gen1"), 2);
        assert!(says.iter().all(|piece| said.contains(piece)), "{disk}: {said}");
    }
    assert_eq!(azure.server.state("runs").as_deref(), Some("Attached"));
    // What is no guest is no reason to leave it open.
    disk(&azure.path("noise.raw"), 51, 24);
    holds(&azure, "noise", "noise.raw");
    azure.said("check @noise --for azure-gen1", 2);
    is_closed(&azure, "noise");
    // Nor is it written over while it is read, in capitals neither.
    for line in ["convert @noise @noise --force", "convert @noise @NOISE --force"] {
        let before = azure.server.content("noise");
        let said = azure.said(line, 2);
        assert!(said.contains("the same file as the input"), "{line}: {said}");
        assert!(azure.server.content("noise") == before);
        is_closed(&azure, "noise");
    }
    // What somebody else reads stays open for them.
    azure.server.set_state("noise", "ActiveSAS");
    azure.said("inspect @noise", 0);
    assert_eq!(azure.server.state("noise").as_deref(), Some("ActiveSAS"));
}

#[test]
fn it_is_closed_when_it_is_stopped_and_found_when_it_is_killed() {
    let azure = Managed::start();
    disk(&azure.path("in.raw"), 52, 200);
    holds(&azure, "data", "in.raw");
    let blobs = azure.server.blobs();
    blobs.delay(Duration::from_millis(100));
    let reading = |out: &str| {
        let mut command = azure.command(&format!("convert @data {out} --threads 2 --quiet"));
        let child =
            command.env_remove("REFLOAT_LOG").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let enough = blobs.blob_counts().reads + 6;
        while blobs.blob_counts().reads < enough {
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    };
    let child = reading("out.raw");
    judge::run(judge::tool("kill").args(["-INT", &child.id().to_string()]));
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert_eq!(said.matches("stopped").count(), 1, "{said}");
    is_closed(&azure, "data");
    // Killed, it is open, and that is on record.
    let mut child = reading("next.raw");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(azure.server.state("data").as_deref(), Some("ActiveSAS"));
    azure.server.other_disk("theirs", "ActiveSAS");
    let group = format!("azure cleanup {}/rg", azure.server.subscription());
    let said = azure.run(azure.command(&group).env_remove("REFLOAT_LOG"), 0);
    assert!(said.contains("/data: ActiveSAS") && !said.contains("theirs"), "{said}");
    azure.said(&format!("{group} --yes"), 0);
    is_closed(&azure, "data");
    let said = azure.said(&group, 0);
    assert!(said.contains("no run of refloat's"), "{said}");
    // The same again closes it as well, and goes on where it was stopped.
    let mut child = reading("out.raw");
    child.kill().unwrap();
    child.wait().unwrap();
    blobs.delay(Duration::ZERO);
    let reads = blobs.blob_counts().reads;
    azure.said("convert @data out.raw", 0);
    eprintln!("{} reads were left", blobs.blob_counts().reads - reads);
    is_closed(&azure, "data");
    azure.said("verify @data raw:out.raw", 0);
}

/// A machine starts from it, as far as it comes, by what it reads; QEMU is no secret's keeper, and sees none.
#[test]
fn a_managed_disk_is_booted_by_what_the_machine_reads_of_it() {
    if judge::need("qemu-system-x86_64").is_none() {
        return;
    }
    let azure = Managed::start();
    // No firmware starts it.
    let Some(guest) = synthetic::named("bare-ext4-pv").copy_into(azure.folder.path()) else { return };
    fs::rename(guest, azure.path("guest.raw")).unwrap();
    holds(&azure, "web", "guest.raw");
    let boot = |line: &str| {
        let mut command = azure.command(&format!("boot {line} --for azure-gen1 --quiet --json"));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env_remove("REFLOAT_LOG");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    azure.server.blobs().delay(Duration::ZERO);
    let before = azure.server.blobs().blob_counts().reads;
    let there = boot("@web");
    let reads = azure.server.blobs().blob_counts().reads - before;
    assert_eq!((&there["verdict"], &there["hop"]), (&"stopped".into(), &"firmware".into()), "{there}");
    assert!((1..40).contains(&reads), "{reads} ranges were read");
    assert!(azure.path("web.serial.log").metadata().unwrap().len() > 0);
    is_closed(&azure, "web");
    let here = boot("guest.raw");
    assert_eq!((&here["hop"], &here["evidence"]), (&there["hop"], &there["evidence"]));
}
