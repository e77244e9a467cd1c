//! A test of the move: the machine is made in Azure, listened to, and deleted.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use testimages::synthetic;

use crate::managed::Managed;

/// From the laboratory, shortened: a guest that was mended, as a serial console shows it.
const START: &str = "c\x1b[?7l\x1b[2J\x1b[0mSeaBIOS (version 1.16.2)\r\nBooting from Hard Disk...\r\nGRUB loading..\r\n\
    \x1b[0;30;47mWelcome to GRUB!\r\n\x1b[1;1HBooting `Debian GNU/Linux'\r\n\
    [    0.000000] Linux version 6.1.0-50-amd64 (debian-kernel@lists.debian.org)\r\n\
    [    9.478275] Run /init as init process\r\n";
const LOGIN: &str = "[   12.070296] EXT4-fs (sda1): mounted filesystem with ordered data mode\r\n\
    Welcome to \x1b[1mDebian GNU/Linux 12 (bookworm)\x1b[0m!\r\n\
    [\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mmulti-user.target\x1b[0m - Multi-User System.\r\n\r\n\
    Debian GNU/Linux 12 web ttyS0\r\n\r\nweb login: ";
/// The same as it was before.
const NO_ROOT: &str = "Gave up waiting for root file system device.  Common problems:\r\n\
    ALERT!  /dev/xvda1 does not exist.  Dropping to a shell!\r\n\r\n(initramfs) ";

const LINE: &str = "test-migrate raw:guest.raw --disk raw:data.raw @web --for azure-gen1 --every 20";

/// A machine of two disks, and what its console shows.
fn machine(pieces: &[&str]) -> Option<Managed> {
    let azure = Managed::start();
    let guest = synthetic::demo().copy_into(azure.folder.path())?;
    fs::rename(guest, azure.path("guest.raw")).unwrap();
    crate::azure::disk(&azure.path("data.raw"), 31, 24);
    azure.server.says(&pieces.iter().map(|piece| piece.as_bytes()).collect::<Vec<_>>());
    Some(azure)
}

/// Nothing is left of the test, and nobody else's disk is gone.
#[track_caller]
fn all_is_deleted(azure: &Managed) {
    assert_eq!(azure.server.made(), Vec::<String>::new());
    for disk in ["web-test-os", "web-test-os-data1"] {
        assert_eq!(azure.server.state(disk), None, "{disk}");
    }
}

#[test]
fn a_machine_that_starts_is_told_and_deleted() {
    let whole = format!("{START}{LOGIN}");
    let Some(azure) = machine(&["", START, &whole]) else { return };
    azure.server.other_disk("theirs", "Unattached");
    let said = azure.said(LINE, 0);
    for piece in ["boots in Azure: it asks for a login", "web-test was deleted", " s  initramfs"] {
        assert!(said.contains(piece), "{piece}: {said}");
    }
    assert_eq!(fs::read_to_string(azure.path("web-test.serial.log")).unwrap(), whole);
    all_is_deleted(&azure);
    assert_eq!(azure.server.state("theirs").as_deref(), Some("Unattached"));

    // What was made: both disks attached, cut off from all, with the day of its end on everything.
    let asked = azure.server.asked();
    let deployed = asked.iter().find(|asked| asked.path.contains("/deployments/web-test")).unwrap();
    let resources = deployed.body["properties"]["template"]["resources"].as_array().unwrap();
    assert!(resources.iter().all(|one| one["tags"]["refloat-test"] == "web-test"), "{resources:?}");
    let machine = resources.iter().find(|one| one["type"] == "Microsoft.Compute/virtualMachines").unwrap();
    assert_eq!(machine["properties"]["storageProfile"]["dataDisks"].as_array().unwrap().len(), 1);
    assert_eq!(machine["properties"]["diagnosticsProfile"]["bootDiagnostics"]["enabled"], true);
    let rules =
        resources.iter().find(|one| one["type"] == "Microsoft.Network/networkSecurityGroups").unwrap();
    assert_eq!(rules["properties"]["securityRules"].as_array().unwrap().len(), 2);
}

#[test]
fn a_machine_that_stops_is_told_with_its_hop_and_the_rules() {
    let Some(azure) = machine(&["", &format!("{START}{NO_ROOT}")]) else { return };
    let said = azure.said(LINE, 1);
    for piece in ["stops at the root", "/dev/xvda1 does not exist", "linux.initramfs.hyperv: ", "was deleted"]
    {
        assert!(said.contains(piece), "{piece}: {said}");
    }
    all_is_deleted(&azure);
    let mut json = azure.command(&format!("{LINE} --json"));
    let output = json.env_remove("REFLOAT_LOG").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["test"]["verdict"], &document["test"]["hop"]), (&"stopped".into(), &"root".into()));
    assert_eq!(document["test"]["symptoms"][0]["rules"][0]["id"], "linux.initramfs.hyperv");
    // Nothing is heard: that is no verdict, and nothing is left either.
    azure.server.says(&[b""]);
    let said = azure.said(&format!("{LINE} --timeout 1"), 2);
    assert!(said.contains("no verdict") && said.contains("nothing was heard"), "{said}");
    // What Azure refuses has words, and leaves nothing.
    let said = azure.said(&format!("{LINE} --size Standard_None"), 2);
    assert!(said.contains("no disks or sizes of that kind"), "{said}");
    all_is_deleted(&azure);
    for (line, exit, piece) in [
        (LINE.replace("@web", "rg/web"), 2, "no SUBSCRIPTION/GROUP/NAME"),
        (LINE.replace("@web", "@we:b"), 2, "no name of a virtual machine"),
        (format!("{LINE} --expires 2026-02-30"), 2, "is no day"),
        (LINE.replace("gen1", "gen2"), 1, "nothing was written"),
    ] {
        let before = azure.server.asked().iter().filter(|asked| asked.method == "PUT").count();
        let said = azure.said(&line, exit);
        assert!(said.contains(piece), "{line}: {said}");
        assert_eq!(
            azure.server.asked().iter().filter(|asked| asked.method == "PUT").count(),
            before,
            "{line}"
        );
    }
}

/// Azure attaches no disk to a machine of another security, nor by a controller that the disk does not name.
#[test]
fn the_machine_has_the_security_and_the_controller_of_its_disk() {
    let azure = Managed::start();
    let Some(guest) = synthetic::named("debian-gpt-efi").copy_into(azure.folder.path()) else { return };
    fs::rename(guest, azure.path("guest.raw")).unwrap();
    azure.server.says(&[format!("{START}{LOGIN}").as_bytes()]);
    let line = "test-migrate raw:guest.raw @web --for azure-gen2 --every 20";
    let trusted = format!("{line} --security-type trusted-launch");
    azure.run(&mut azure.via(&format!("{trusted} VIA --secure-boot --attach-nvme")), 0);
    all_is_deleted(&azure);
    let asked = azure.server.asked();
    let deployed = asked.iter().find(|asked| asked.path.contains("/deployments/web-test")).unwrap();
    let resources = deployed.body["properties"]["template"]["resources"].as_array().unwrap();
    let machine = resources.iter().find(|one| one["type"] == "Microsoft.Compute/virtualMachines").unwrap();
    let security = &machine["properties"]["securityProfile"];
    assert_eq!(security["securityType"], "TrustedLaunch");
    assert_eq!(security["uefiSettings"]["secureBootEnabled"], true);
    assert_eq!(machine["properties"]["storageProfile"]["diskControllerType"], "NVMe");
    let made = azure.made();
    let disk =
        made.iter().find(|body| body["properties"]["creationData"]["createOption"] == "Import").unwrap();
    assert_eq!(disk["properties"]["securityProfile"]["securityType"], "TrustedLaunch");
    assert_eq!(disk["properties"]["supportedCapabilities"]["diskControllerTypes"], "SCSI, NVME");
    for (line, says) in [
        (format!("{line} --secure-boot"), "a part of trusted launch"),
        (trusted, "plain upload"),
        (line.replace("@web", "@snapshots/web"), "no machine"),
    ] {
        let before = azure.made().len();
        let said = azure.said(&line, 2);
        assert!(said.contains(says), "{line}: {said}");
        assert_eq!(azure.made().len(), before, "{line}");
    }
}

#[test]
fn a_test_that_was_left_or_killed_is_cleaned_up() {
    let whole = format!("{START}{LOGIN}");
    let Some(azure) = machine(&[&whole]) else { return };
    let cleanup =
        |options: &str| azure.said(&format!("azure cleanup {}/rg {options}", azure.server.subscription()), 0);
    let said = azure.said(&format!("{LINE} --keep --expires 2999-12-31"), 0);
    assert!(said.contains("is left; from 2999-12-31 on"), "{said}");
    let said = cleanup("--yes");
    assert!(said.contains("test machine web-test, until 2999-12-31: may still be looked at"), "{said}");
    assert!(
        said.contains("disks web-test-os-data1") && said.contains("virtualNetworks web-test-vnet"),
        "{said}"
    );
    assert_eq!(azure.server.state("web-test-os").as_deref(), Some("Attached"));
    assert!(cleanup("--yes --tests").contains("test machine web-test, until 2999-12-31: deleted"));
    all_is_deleted(&azure);

    // Killed while it listens: nothing is said of an end, so its day comes by itself, or is asked for.
    azure.server.says(&[b""]);
    let kill = |options: &str| {
        let mut child = azure
            .command(&format!("{LINE} --quiet {options}"))
            .env_remove("REFLOAT_LOG")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while !azure.server.made().iter().any(|made| made.contains("virtualMachines")) {
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    };
    kill("--expires 2026-01-01");
    assert!(cleanup("").contains("--yes deletes it"));
    assert!(cleanup("--yes").contains("until 2026-01-01: deleted"));
    all_is_deleted(&azure);
    // The same command starts over.
    kill("");
    azure.server.says(&[whole.as_bytes()]);
    azure.said(LINE, 0);
    all_is_deleted(&azure);
}
