//! Managed disks of trusted launch: made by an import of a page blob, or with a guest state; refused where Azure
//! would.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use standin::Snapshot;

use crate::azure::disk;
use crate::cloud::{BLOCK, Cloud, ID, NEWER, noise};
use crate::managed::{Managed, judged, schema};
use crate::program::Refloat;

const TRUSTED: &str = "--security-type trusted-launch";

impl Managed {
    /// `refloat LINE`, where `VIA` stands for the address of a blob, which its signature opens.
    pub(crate) fn via(&self, line: &str) -> Refloat {
        let via = format!("--via azure:{}", self.server.blobs().url("vhds/os.vhd"));
        let mut command = self.command(&line.replace("VIA", &via));
        command.env("REFLOAT_AZURE_SAS", self.server.blobs().signature());
        command
    }

    #[track_caller]
    fn via_said(&self, line: &str, exit: i32) -> String {
        self.run(&mut self.via(line), exit)
    }

    fn puts(&self) -> u64 {
        self.server.blobs().blob_counts().puts
    }
}

#[test]
fn a_disk_of_trusted_launch_is_made_of_a_blob() {
    let azure = Managed::start();
    disk(&azure.path("in.raw"), 41, 48);
    disk(&azure.path("data.raw"), 42, 24);
    let line = format!("convert raw:in.raw --disk raw:data.raw @os {TRUSTED} VIA");
    azure.via_said(&format!("{line} --os linux"), 0);
    azure.holds("os", "in.raw");
    azure.holds("os-data1", "data.raw");
    assert!(azure.server.content("vhds/os.vhd").is_none(), "the blob is left");
    let made = azure.made();
    let [os, data] = made.as_slice() else { panic!("{made:?}") };
    let account = format!(
        "/subscriptions/{}/resourceGroups/storage/providers/Microsoft.Storage/storageAccounts/account",
        azure.server.subscription()
    );
    let uri = azure.server.blobs().url("vhds/os.vhd");
    assert_eq!(
        os["properties"]["creationData"],
        json!({ "createOption": "Import", "sourceUri": uri, "storageAccountId": account })
    );
    assert_eq!(os["properties"]["securityProfile"], json!({ "securityType": "TrustedLaunch" }));
    assert_eq!(os["properties"]["hyperVGeneration"], "V2");
    // A disk of data has no security of its own.
    assert_eq!(data["properties"]["creationData"]["createOption"], "Upload");
    assert_eq!(data["properties"]["securityProfile"], Value::Null);
    if let Some(schema) = schema() {
        for body in &made {
            assert_eq!(judged(&schema, body), Vec::<String>::new(), "{body}");
        }
    }
    // The same again is there already, though the blob is not, and for whoever has lost the record, too.
    let puts = azure.puts();
    azure.via_said(&line, 0);
    fs::remove_dir_all(azure.path("state")).unwrap();
    azure.via_said(&line, 0);
    assert_eq!((azure.puts(), azure.made().len()), (puts, 2));
    // Another one is not written over, unless it is meant.
    let other = line.replace("in.raw --disk raw:data.raw", "data.raw");
    let said = azure.via_said(&other, 2);
    assert!(said.contains("it already exists"), "{said}");
    assert_eq!(azure.puts(), puts);
    azure.via_said(&format!("{other} --force --keep-via --via-account {account}"), 0);
    azure.holds("os", "data.raw");
    assert_eq!(azure.server.content("vhds/os.vhd"), azure.server.content("os"));
}

#[test]
fn an_import_that_was_killed_goes_on() {
    let azure = Managed::start();
    disk(&azure.path("in.raw"), 43, 96);
    let line = format!("convert raw:in.raw @os {TRUSTED} VIA");
    let blobs = azure.server.blobs();
    blobs.delay(Duration::from_millis(30));
    for _ in 0..2 {
        let mut child = azure
            .via(&format!("{line} --quiet"))
            .env_remove("REFLOAT_LOG")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let enough = azure.puts() + 4;
        while azure.puts() < enough && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(azure.server.state("os"), None);
    }
    // What it left is found, and stays until it is asked for.
    let group = format!("azure cleanup {}/rg", azure.server.subscription());
    let said = azure.run(azure.command(&group).env_remove("REFLOAT_LOG"), 0);
    assert!(said.contains("vhds/os.vhd: a page blob for azure:") && said.contains("/os, which"), "{said}");
    blobs.delay(Duration::ZERO);
    azure.via_said(&line, 0);
    azure.holds("os", "in.raw");
    let again: u64 = blobs.blob_counts().pages.values().map(|times| u64::from(*times) - 1).sum();
    assert!(again <= 2 * 10 * 1024, "{again} pages of 4 KiB were sent again");
    // Killed when the blob was whole and the disk was not asked for: nothing is sent again.
    azure.via_said("convert raw:in.raw azure:BLOB".replace("BLOB", &blobs.url("vhds/os.vhd")).as_str(), 0);
    let puts = azure.puts();
    azure.via_said(&line.replace("@os", "@next"), 0);
    azure.holds("next", "in.raw");
    assert_eq!(azure.puts(), puts);
    let said = azure.said(&group, 0);
    assert!(said.contains("no run of refloat's"), "{said}");
    // Killed once more, and given up: the blob goes, by a signature that allows it, and what was sent is forgotten.
    blobs.delay(Duration::from_millis(30));
    let mut child = azure
        .via(&format!("{} --quiet", line.replace("@os", "@last")))
        .env_remove("REFLOAT_LOG")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let enough = azure.puts() + 4;
    while azure.puts() < enough && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    blobs.delay(Duration::ZERO);
    let said = azure.said(&format!("{group} --yes"), 2);
    assert!(said.contains("no shared access signature was given"), "{said}");
    assert!(azure.server.content("vhds/os.vhd").is_some());
    let said = azure.via_said(&format!("{group} --yes"), 0);
    assert!(said.contains("was not made of it: deleted"), "{said}");
    assert!(azure.server.content("vhds/os.vhd").is_none());
    let said = azure.via_said(&format!("{group} --yes"), 0);
    assert!(said.contains("no run of refloat's"), "{said}");
    azure.via_said(&line.replace("@os", "@last"), 0);
    azure.holds("last", "in.raw");
}

/// The further disk of the same machine, and the same a while later.
const DATA: [&str; 2] = ["snap-0aaaaaaaaaaaaaaaa", "snap-0bbbbbbbbbbbbbbbb"];

/// The blobs stay, become the next snapshots by what changed alone, and a disk is made of each: the first ones stay as
/// they were.
#[test]
fn kept_blobs_become_the_next_snapshots_and_other_disks() {
    let later = |before: &[u8], block: u64| {
        let mut after = before.to_vec();
        let at = (block * BLOCK) as usize;
        after[at + 4096..][..20_000].fill(7);
        after[at + 3 * BLOCK as usize..][..BLOCK as usize].fill(0);
        after
    };
    let (os, data) = (noise(61, 44), noise(62, 42));
    let snapshots = [
        Snapshot::from_bytes(NEWER, later(&os, 3)).of_volume("vol-1"),
        Snapshot::from_bytes(ID, os).of_volume("vol-1"),
        Snapshot::from_bytes(DATA[1], later(&data, 30)).of_volume("vol-2"),
        Snapshot::from_bytes(DATA[0], data).of_volume("vol-2"),
    ];
    let (cloud, azure) = (Cloud::new(snapshots.into(), vec![]), Managed::start());
    let run = |line: &str, exit: i32| {
        let mut command = azure.via(line);
        command
            .env("AWS_ENDPOINT_URL", cloud.server.endpoint())
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret");
        azure.run(&mut command, exit)
    };
    let (old, new) = (format!("{ID},{}", DATA[0]), format!("{NEWER},{}", DATA[1]));
    let content = |name: &str| azure.server.content(name).expect("a disk or a blob");
    run(&format!("convert ebs:{old} @monday VIA --keep-via --os linux"), 0);
    let monday = [content("monday"), content("monday-data1")];
    assert!(monday == [content("vhds/os.vhd"), content("vhds/os-data1.vhd")]);
    let before = azure.server.blobs().blob_counts().bytes_put;
    run(&format!("convert ebs:{new} @tuesday VIA --keep-via --os linux --since ebs:{old}"), 0);
    let sent = azure.server.blobs().blob_counts().bytes_put - before;
    // Of each disk six pages of 4 KiB at most, and a footer.
    assert!(sent <= 2 * (6 * 4096 + 512), "{sent} bytes were sent");
    run(&format!("convert ebs:{new} full.vhd"), 0);
    for (disk, file) in [("tuesday", "full.vhd"), ("tuesday-data1", "full-data1.vhd")] {
        let should = fs::read(azure.path(file)).unwrap();
        assert!(content(disk) == should, "{disk} is not what a full run makes");
        assert_eq!(azure.server.state(disk).as_deref(), Some("Unattached"));
    }
    assert!(monday == [content("monday"), content("monday-data1")], "an older disk was written");
    // What was deleted cannot become another one.
    run(&format!("convert ebs:{new} @wednesday VIA --os linux --force"), 0);
    let said = run(&format!("convert ebs:{new} @friday VIA --since ebs:{old}"), 2);
    assert!(said.contains("--force") || said.contains("a managed disk takes no more pages"), "{said}");
}

#[test]
fn what_azure_would_refuse_is_refused_before_a_byte() {
    let azure = Managed::start();
    disk(&azure.path("in.raw"), 44, 24);
    fs::write(azure.path("odd.vmgs"), [1; 1000]).unwrap();
    fs::write(azure.path("small.vmgs"), [1; 1024]).unwrap();
    let blobs = azure.server.blobs();
    let elsewhere = blobs.url("vhds/os.vhd").replace("/account/", "/other/");
    for (line, says) in [
        (format!("convert raw:in.raw @os {TRUSTED}"), &["plain upload", "--via", "--guest-state"][..]),
        (format!("convert raw:in.raw @os {TRUSTED} VIA --generation 1"), &["generation 2 alone"]),
        (format!("migrate raw:in.raw @os {TRUSTED} VIA --for azure-gen1"), &["generation 2 alone"]),
        (format!("convert raw:in.raw @os {TRUSTED} --via azure:a/b"), &["no URL of a blob"]),
        (format!("convert raw:in.raw @os {TRUSTED} --via azure:{elsewhere}"), &["no storage account other"]),
        (format!("convert raw:in.raw @os {TRUSTED} VIA --via-account /a/b"), &["storageAccounts/"]),
        (format!("convert raw:in.raw @os {TRUSTED} VIA --guest-state odd.vmgs"), &["cannot be used with"]),
        (format!("convert raw:in.raw @os {TRUSTED} --guest-state odd.vmgs"), &["whole pages"]),
        (format!("convert raw:in.raw @os {TRUSTED} --guest-state none.vmgs"), &["none.vmgs", "guest state"]),
        ("convert raw:in.raw @os --guest-state small.vmgs".to_owned(), &["--security-type trusted-launch"]),
        (format!("convert raw:in.raw out.vhd {TRUSTED}"), &["--security-type is for a managed disk"]),
        ("convert raw:in.raw out.vhd VIA".to_owned(), &["--via is for a managed disk"]),
        ("convert raw:in.raw @snapshots/os".to_owned(), &["is a snapshot, and is only read"]),
    ] {
        let said = azure.via_said(&line, 2);
        assert!(says.iter().all(|piece| said.contains(piece)), "{line}: {said}");
        assert_eq!((azure.puts(), azure.made().len()), (0, 0), "{line}");
    }
    // What may not be deleted afterwards is said before.
    let mut command = azure.via(&format!("convert raw:in.raw @os {TRUSTED} VIA"));
    let said = azure.run(command.env("REFLOAT_AZURE_SAS", "sv=1&sp=rcw&sig=x"), 2);
    assert!(said.contains("allows no deletion") && said.contains("--keep-via"), "{said}");
    // The room for a guest state is Azure's to tell.
    let said = azure.via_said(&format!("convert raw:in.raw @os {TRUSTED} --guest-state small.vmgs"), 2);
    assert!(said.contains("1024 bytes: Azure has room for 4194816"), "{said}");
    assert_eq!(azure.puts(), 0);
    // Whoever does not refuse it is told by Azure: so does the stand-in.
    let group = azure.server.subscription();
    azure.said(&format!("azure cleanup {group}/rg --yes"), 0);
    assert_eq!(azure.server.state("os"), None);
}

#[test]
fn a_guest_state_goes_with_its_disk() {
    let azure = Managed::start();
    disk(&azure.path("in.raw"), 45, 48);
    let mut state = vec![0; (4 << 20) + 512];
    fastrand::Rng::with_seed(46).fill(&mut state);
    fs::write(azure.path("vm.vmgs"), &state).unwrap();
    let line = format!("convert raw:in.raw @os {TRUSTED} --guest-state vm.vmgs");
    azure.via_said(&line, 0);
    azure.holds("os", "in.raw");
    assert!(azure.server.content("os.vmgs").unwrap() == state);
    let made = azure.made();
    assert_eq!(made[0]["properties"]["creationData"]["createOption"], "UploadPreparedSecure");
    assert_eq!(made[0]["properties"]["securityProfile"]["securityType"], "TrustedLaunch");
    if let Some(schema) = schema() {
        assert_eq!(judged(&schema, &made[0]), Vec::<String>::new());
    }
    let asked = azure.server.asked();
    let open = asked.iter().find(|asked| asked.path.ends_with("/beginGetAccess")).unwrap();
    assert_eq!(open.body["getSecureVMGuestStateSAS"], true);
    let puts = azure.puts();
    azure.via_said(&line, 0);
    assert_eq!(azure.puts(), puts);
    // Without it, it is another disk.
    let said = azure.via_said("convert raw:in.raw @os", 2);
    assert!(said.contains("it already exists"), "{said}");
}
