//! Waves of a fleet: brought up to what changed, tested in Azure, cleaned up, and signed off.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use sha2::{Digest, Sha256};
use standin::{Config, Faults, Instance, Server, Snapshot, Synthetic};
use testimages::{judge, synthetic};

use crate::cloud::{BLOCK, Cloud, noise, same};
use crate::delta::{guest_and_later, latest};
use crate::fleet::children;
use crate::managed::Managed;

/// Two machines, one of them of two disks, and what their volumes are later.
struct Volumes {
    guest: [Vec<u8>; 3],
    data: [Vec<u8>; 3],
}

impl Volumes {
    fn new() -> Option<Self> {
        let (before, after) = guest_and_later()?;
        let old = noise(51, 40);
        let mut new = old.clone();
        new[3 * BLOCK as usize + 8192..][..30_000].fill(9);
        new[30 * BLOCK as usize..33 * BLOCK as usize].fill(0);
        let (guest, data) = (latest(&before, &after), latest(&old, &new));
        Some(Self { guest: [before, after, guest], data: [old, new, data] })
    }

    /// The snapshots that were taken so far.
    fn snapshots(&self, rounds: usize) -> Vec<Snapshot> {
        let volumes = [(1, &self.guest), (2, &self.guest), (3, &self.data)];
        let all = volumes.into_iter().flat_map(|(volume, states)| {
            states.iter().enumerate().take(rounds).map(move |(round, bytes)| {
                let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 + 3600 * round as u64);
                Snapshot::from_bytes(&format!("snap-{volume}{round}"), bytes.clone())
                    .of_volume(&format!("vol-{volume}"))
                    .started(at)
            })
        });
        all.collect()
    }
}

fn instances() -> Vec<Instance> {
    let instance = |id: &str, volumes: &[(&str, &str)]| Instance {
        id: id.into(),
        root_device: "/dev/xvda".into(),
        volumes: volumes.iter().map(|(device, volume)| ((*device).into(), (*volume).into())).collect(),
        ..Instance::default()
    };
    vec![
        instance("i-1", &[("/dev/xvda", "vol-1")]),
        instance("i-2", &[("/dev/xvda", "vol-2"), ("/dev/sdf", "vol-3")]),
    ]
}

fn server(volumes: &Volumes, rounds: usize) -> Server {
    Server::start(Config {
        snapshots: volumes.snapshots(rounds),
        instances: instances(),
        ..Config::default()
    })
    .unwrap()
}

fn file(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join("fleet/vm").join(name)).unwrap()
}

fn receipt(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&file(folder, name)).unwrap()
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_delta_is_what_a_whole_move_would_be_and_is_signed_off() {
    let Some(volumes) = Volumes::new() else { return };
    let mut cloud = Cloud { server: server(&volumes, 1), ..Cloud::new(Vec::new(), Vec::new()) };
    let rows = "id,source,target,for\none,ebs:i-1@eu-west-1,one.vhd,azure-gen1\ntwo,ebs:i-2@eu-west-1,two.vhd,azure-gen1\n\
                late,ebs:i-1@eu-west-1,late.vhd,azure-gen1\n";
    fs::write(cloud.path().join("list.csv"), rows).unwrap();
    cloud.json("fleet plan list.csv -o fleet", 0);
    for row in 0..2 {
        cloud.json(&format!("fleet run fleet --index {row}"), 0);
    }
    let first = file(cloud.path(), "0001/receipt.json");

    cloud.server = server(&volumes, 2);
    // Killed in the middle, it goes on.
    cloud.server.set_faults(Faults::default().latency(Duration::from_millis(150)));
    let mut child =
        cloud.command("fleet run fleet --delta --index 1 --lease 3").stderr(Stdio::null()).spawn().unwrap();
    while cloud.server.counts().changed == 0 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    cloud.server.set_faults(Faults::default());
    std::thread::sleep(Duration::from_secs(4));
    let status = cloud.json("fleet status fleet", 0);
    assert_eq!(status["machines"][1]["stage"], "interrupted", "{status}");

    cloud.server.reset_counts();
    // The one that was never moved is told, and keeps none back.
    let ran = cloud.json("fleet run fleet --delta --jobs 2", 2);
    let of = |ran: &Value, row: usize, what: &str| {
        ran["machines"][row][what].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!([0, 1, 2].map(|row| of(&ran, row, "stage")), ["done", "done", "failed"], "{ran}");
    assert!(of(&ran, 2, "why").contains("not moved yet"), "{ran}");
    let fetched = cloud.server.counts().get;
    cloud.forget();
    for (id, target) in [("i-1", "one"), ("i-2", "two")] {
        cloud.json(&format!("migrate ebs:{id}@eu-west-1 full-{target}.vhd --for azure-gen1"), 0);
        assert!(same(
            &cloud.path().join(format!("{target}.vhd")),
            &cloud.path().join(format!("full-{target}.vhd"))
        ));
    }
    assert!(same(&cloud.path().join("two-data1.vhd"), &cloud.path().join("full-two-data1.vhd")));
    let whole = cloud.server.counts().get;
    assert!(fetched < whole / 2, "{fetched} blocks by what changed, {whole} in full");

    // The receipts are a chain.
    let last = receipt(cloud.path(), "0001/receipt.json");
    assert!(file(cloud.path(), "0001/receipts/0000.json") == first);
    assert_eq!((&last["round"], &last["before"]), (&1.into(), &digest(&first).into()));
    assert!(last["command"].as_str().unwrap().contains("ebs:snap-20,snap-30@eu-west-1"), "{last}");
    // Nothing is newer: nothing is done, and that is told.
    let again = cloud.json("fleet run fleet --delta --index 1", 0);
    assert!(of(&again, 0, "why").contains("no newer snapshot"), "{again}");
    assert_eq!(receipt(cloud.path(), "0001/receipt.json"), last);

    let report = cloud.json("fleet report fleet --markdown report.md --html report.html", 1);
    assert_eq!(
        (&report["done"], &report["not_done"], &report["list"]),
        (&2.into(), &1.into(), &digest(rows.as_bytes()).into())
    );
    let two = &report["machines"][1]["moved"];
    assert_eq!(
        (two["verdict"].as_str(), two["receipts"].as_array().unwrap().len()),
        (Some("ready"), 2),
        "{two}"
    );
    assert_eq!(two["receipts"][1], digest(&first));
    assert_eq!(two["plan"].as_str().unwrap().len(), 64, "{two}");
    assert!(!two["fixes"].as_array().unwrap().is_empty(), "{two}");
    let disks = two["disks"].as_array().unwrap();
    assert_eq!(disks.len(), 2);
    assert!(
        disks.iter().all(|disk| disk["source_sha256"].as_str().is_some_and(|sum| sum.len() == 64)),
        "{two}"
    );
    assert_eq!(
        (disks[1]["source"].as_str(), &disks[1]["well_formed"]),
        (Some("ebs:snap-31@eu-west-1"), &true.into())
    );
    assert!(
        report["machines"][2]["moved"].is_null() && report["machines"][2]["why"] == "nothing was done yet",
        "{report}"
    );
    for page in ["report.md", "report.html"] {
        let page = fs::read_to_string(cloud.path().join(page)).unwrap();
        assert!(page.contains("2 of 3 machines moved, 1 not") && page.contains("Not moved"), "{page}");
        assert!(page.contains(&digest(rows.as_bytes())) && !page.contains("<script"), "{page}");
    }
    // A receipt that somebody changed is told.
    fs::write(cloud.path().join("fleet/vm/0001/receipts/0000.json"), "{}").unwrap();
    let report = cloud.json("fleet report fleet", 1);
    assert!(
        report["machines"][1]["why"].as_str().unwrap().contains("not the one that the next names"),
        "{report}"
    );
}

/// What the tasks of a fleet asked AWS is in their policy.
#[track_caller]
fn is_allowed(asked: &BTreeSet<String>, policies: &[&Path]) {
    let actions = |path: &&Path| -> Vec<Value> {
        let policy: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let of_azure = policy["Actions"].as_array().cloned().unwrap_or_default();
        let statements = policy["Statement"].as_array().cloned().unwrap_or_default();
        let of_aws = statements.into_iter().flat_map(|statement| match &statement["Action"] {
            Value::Array(actions) => actions.clone(),
            action => vec![action.clone()],
        });
        of_azure.into_iter().chain(of_aws).collect()
    };
    let allowed: Vec<Value> = policies.iter().flat_map(actions).collect();
    let other: Vec<_> =
        asked.iter().filter(|asked| !allowed.contains(&Value::from(asked.as_str()))).collect();
    assert!(other.is_empty() && !asked.is_empty(), "{other:?} are asked for, and not allowed");
}

/// The program as well as its task: told to stop, it would end what it has begun.
fn kill_all_of(task: &mut Child) {
    for process in children(task.id()) {
        judge::run(judge::tool("kill").args(["-9", &process.to_string()]));
    }
    task.kill().unwrap();
}

#[test]
fn a_delta_that_was_killed_and_overtaken_is_what_a_whole_move_would_be() {
    let Some(volumes) = Volumes::new() else { return };
    let mut cloud = Cloud { server: server(&volumes, 1), ..Cloud::new(Vec::new(), Vec::new()) };
    let rows = "id,source,target,for\ntwo,ebs:i-2@eu-west-1,two.vhd,azure-gen1\n";
    fs::write(cloud.path().join("list.csv"), rows).unwrap();
    cloud.json("fleet plan list.csv -o fleet", 0);
    cloud.json("fleet run fleet", 0);
    let first = file(cloud.path(), "0000/receipt.json");
    let full = |cloud: &Cloud| {
        cloud.json("migrate ebs:i-2@eu-west-1 full.vhd --for azure-gen1 --force", 0);
        for (got, wanted) in [("two.vhd", "full.vhd"), ("two-data1.vhd", "full-data1.vhd")] {
            assert!(same(&cloud.path().join(got), &cloud.path().join(wanted)), "{got}");
        }
    };

    cloud.server = server(&volumes, 2);
    cloud.server.set_faults(Faults::default().latency(Duration::from_millis(150)));
    let mut child = cloud
        .command("fleet run fleet --delta --lease 3")
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while cloud.path().join("two.vhd").exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    kill_all_of(&mut child);
    child.wait().unwrap();
    std::thread::sleep(Duration::from_secs(4));
    cloud.server = server(&volumes, 3);
    cloud.json("fleet run fleet --delta", 0);
    full(&cloud);
    let last = receipt(cloud.path(), "0000/receipt.json");
    assert!(last["command"].as_str().unwrap().contains("ebs:snap-20,snap-30@eu-west-1"), "{last}");
    assert_eq!(last["migrate"]["source"][1]["address"], "ebs:snap-32@eu-west-1");
    is_allowed(&cloud.server.counts().actions, &[&cloud.path().join("fleet/aws-policy.json")]);

    // Killed when all was there and before the receipt was: nobody knows by which way it came, and a whole move is the
    // way out, which is told, and stays on record.
    fs::remove_dir_all(cloud.path().join("fleet/vm/0000/receipts")).unwrap();
    fs::write(cloud.path().join("fleet/vm/0000/receipt.json"), &first).unwrap();
    // A receipt of an earlier move is none for what the state says is done.
    assert!(
        cloud.json("fleet report fleet", 1)["machines"][0]["why"]
            .as_str()
            .unwrap()
            .contains("an earlier move")
    );
    let mut state = receipt(cloud.path(), "0000/state.json");
    state["stage"] = "running".into();
    fs::write(cloud.path().join("fleet/vm/0000/state.json"), state.to_string()).unwrap();
    cloud.server = server(&volumes, 2);
    let ran = cloud.json("fleet run fleet --delta", 2);
    let help = ran["machines"][0]["help"].as_str().unwrap();
    let (_, command) = help.split_once("move all of it again: refloat ").expect(help);
    assert!(command.ends_with("fleet --index 0 --again"), "{help}");
    // Nor does a kill of that hide behind what was done before.
    cloud.forget();
    cloud.server.set_faults(Faults::default().latency(Duration::from_millis(100)));
    let mut child = cloud.command(&format!("{command} --lease 3")).stderr(Stdio::null()).spawn().unwrap();
    while !cloud.path().join("two.vhd.partial").exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    cloud.server.set_faults(Faults::default());
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(cloud.json("fleet status fleet", 0)["machines"][0]["stage"], "interrupted");
    let ran = cloud.json("fleet run fleet --delta", 2);
    assert!(ran["machines"][0]["why"].as_str().unwrap().contains("moved in full again"), "{ran}");
    cloud.json("fleet run fleet", 0);
    full(&cloud);
    let last = receipt(cloud.path(), "0000/receipt.json");
    assert_eq!((&last["round"], &last["before"]), (&1.into(), &digest(&first).into()));
    assert_eq!(cloud.json("fleet report fleet", 0)["done"], 1);
}

/// A managed disk takes no changes: its blob does, and another disk is made of that.
#[test]
fn a_delta_to_managed_disks_makes_the_next_ones_of_the_blobs() {
    let Some(volumes) = Volumes::new() else { return };
    let azure = Managed::start();
    let mut aws = server(&volumes, 1);
    let place = format!("azure:{}/rg", azure.server.subscription());
    let via = format!("azure:{}", azure.server.blobs().url("vhds/web.vhd"));
    let rows = format!(
        "id,source,target,for,via,keep-via\nweb,ebs:i-2@eu-west-1,{place}/web,azure-gen1,{via},yes\n"
    );
    fs::write(azure.path("list.csv"), rows).unwrap();
    let command = |aws: &Server, line: &str| {
        let mut command = azure.command(line);
        command.env("AWS_ENDPOINT_URL", aws.endpoint()).env("AWS_REGION", "eu-west-1");
        command.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "secret");
        command.env("REFLOAT_AZURE_SAS", azure.server.blobs().lasting_signature()).env_remove("REFLOAT_LOG");
        command
    };
    let run = |aws: &Server, line: &str, exit: i32| azure.run(&mut command(aws, line), exit);
    let content = |name: &str| azure.server.content(name).expect("a disk or a blob");
    run(&aws, "fleet plan list.csv -o fleet", 0);
    run(&aws, "fleet run fleet", 0);
    let monday = [content("web"), content("web-data1")];
    let whole = azure.server.blobs().blob_counts().bytes_put;

    // Killed while pages are put, and overtaken by newer snapshots.
    aws = server(&volumes, 2);
    azure.server.blobs().delay(Duration::from_millis(60));
    let puts = || azure.server.blobs().blob_counts().puts;
    let before = puts();
    let mut delta = command(&aws, "fleet run fleet --delta --lease 3");
    let mut child = delta.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while puts() == before && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    kill_all_of(&mut child);
    child.wait().unwrap();
    assert_eq!(azure.server.state("web-1"), None, "it was done before it was killed");
    azure.server.blobs().delay(Duration::ZERO);
    std::thread::sleep(Duration::from_secs(4));
    aws = server(&volumes, 3);
    let sent = azure.server.blobs().blob_counts().bytes_put;
    run(&aws, "fleet run fleet --delta", 0);
    let sent = azure.server.blobs().blob_counts().bytes_put - sent;
    run(&aws, "migrate ebs:i-2 full.vhd --for azure-gen1", 0);
    for (disk, file) in [("web-1", "full.vhd"), ("web-1-data1", "full-data1.vhd")] {
        assert!(content(disk) == fs::read(azure.path(file)).unwrap(), "{disk} is not what a full run makes");
        assert_eq!(azure.server.state(disk).as_deref(), Some("Unattached"));
    }
    assert!(sent < whole / 2, "{sent} bytes were sent, {whole} at first");
    assert!(monday == [content("web"), content("web-data1")], "the first disks were written");
    let report = command(&aws, "fleet report fleet --json").output().unwrap();
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["machines"][0]["moved"]["disks"][0]["target"], format!("{place}/web-1"));
    // Nothing is newer: no disk is made.
    let said = run(&aws, "fleet run fleet --delta", 0);
    assert!(said.contains("no newer snapshot") && azure.server.state("web-2").is_none(), "{said}");
    // Made, and killed before that was on record: moved in full under the next name.
    fs::remove_file(azure.path("fleet/vm/0000/receipt.json")).unwrap();
    fs::rename(azure.path("fleet/vm/0000/receipts/0000.json"), azure.path("fleet/vm/0000/receipt.json"))
        .unwrap();
    aws = server(&volumes, 2);
    let said = run(&aws, "fleet run fleet --delta", 2);
    assert!(said.contains("--index 0 --again"), "{said}");
    run(&aws, "fleet run fleet --index 0 --again", 0);
    run(&aws, "migrate ebs:i-2 full.vhd --for azure-gen1 --force", 0);
    assert!(content("web-1") == fs::read(azure.path("full.vhd")).unwrap());
    assert!(monday == [content("web"), content("web-data1")], "the first disks were written");
    is_allowed(&azure.permissions(), &[&azure.path("fleet/azure-role.json")]);
}

/// A disk that Azure takes no upload of stays, and somebody answers for it.
#[test]
fn who_answers_for_a_blocker_is_in_the_report() {
    let Some(guest) = synthetic::demo().path() else { return };
    let shape = Synthetic { gib: 33_000, listed: 0, zero: 0, seed: 1 };
    let snapshots = vec![
        Snapshot::from_file("snap-1", &guest).unwrap().of_volume("vol-2"),
        Snapshot::synthetic("snap-2", shape).of_volume("vol-3"),
    ];
    let cloud = Cloud::new(snapshots, instances());
    let rows = |columns: &str, cells: &str| {
        format!("id,source,target,for{columns}\nbig,ebs:i-2@eu-west-1,big.qcow2,azure-gen1{cells}\n")
    };
    fs::write(cloud.path().join("list.csv"), rows("", "")).unwrap();
    cloud.json("fleet plan list.csv -o fleet", 0);
    let refused = cloud.json("fleet run fleet", 1);
    assert!(refused["machines"][0]["why"].as_str().unwrap().contains("disk.size-limit"), "{refused}");
    let waiver = |expires: &str| {
        let text = format!(
            r#"[{{"rule":"disk.size-limit","owner":"ops","expires":"{expires}","reason":"split later"}}]"#
        );
        // As Windows' editors write it.
        fs::write(cloud.path().join("waivers.json"), format!("\u{feff}{text}")).unwrap();
    };
    waiver("2020-01-01");
    fs::write(cloud.path().join("list.csv"), rows(",waivers", ",waivers.json")).unwrap();
    cloud.json("fleet plan list.csv -o fleet --force", 0);
    cloud.json("fleet run fleet", 1);
    waiver("2999-12-31");
    cloud.json("fleet run fleet", 0);
    let report = cloud.json("fleet report fleet --markdown report.md", 0);
    let moved = &report["machines"][0]["moved"];
    assert_eq!(
        (&moved["verdict"], &moved["waived"][0]["owner"]),
        (&"waived".into(), &"ops".into()),
        "{moved}"
    );
    let page = fs::read_to_string(cloud.path().join("report.md")).unwrap();
    assert!(page.contains("ops, until 2999-12-31: split later"), "{page}");
}

const LOGIN: &str =
    "Linux version 6.1.0\r\nRun /init as init process\r\nDebian GNU/Linux 12 web ttyS0\r\n\r\nweb login: ";
const NO_ROOT: &str = "Linux version 6.1.0\r\nGave up waiting for root file system device.  Common problems:\r\n\
    ALERT!  /dev/xvda1 does not exist.  Dropping to a shell!\r\n\r\n(initramfs) ";

#[test]
fn a_wave_is_tested_in_azure_beside_its_move_and_cleaned_up() {
    let azure = Managed::start();
    let Some(guest) = synthetic::demo().copy_into(azure.folder.path()) else { return };
    fs::rename(guest, azure.path("guest.raw")).unwrap();
    let place = format!("azure:{}/rg", azure.server.subscription());
    let row = |id: &str, target: &str, wave: u32| format!("{id},raw:guest.raw,{target},azure-gen1,{wave}\n");
    let rows = row("web", &format!("{place}/web"), 0)
        + &row("db", &format!("{place}/db"), 1)
        + &row("file", "file.vhd", 2);
    fs::write(azure.path("list.csv"), format!("id,source,target,for,wave\n{rows}")).unwrap();
    azure.said("fleet plan list.csv -o fleet", 0);
    azure.server.says(&[LOGIN.as_bytes()]);
    let made = || azure.server.made();
    let deployments = || azure.server.asked().iter().filter(|one| one.path.contains("/deployments/")).count();

    // One wave, whatever the waves before it; twice is once.
    let said = azure.said("fleet test fleet --wave 1 --every 20", 0);
    assert!(said.contains("done  db"), "{said}");
    assert_eq!((made(), azure.server.state("db-test-os"), deployments()), (Vec::new(), None, 1));
    azure.said("fleet test fleet --wave 1 --every 20", 0);
    assert_eq!(deployments(), 1);
    let network =
        azure.server.asked().into_iter().find(|one| one.path.contains("/deployments/")).unwrap().body;
    let network = network.to_string();
    assert!(network.contains("dnsServers") || network.contains("dhcpOptions"), "no name server: {network}");
    assert!(
        azure.path("fleet/vm/0001/test/serial.log").exists()
            && !azure.path("fleet/vm/0001/receipt.json").exists()
    );

    // How far it is, with no word of a move.
    let status = |more: &str| {
        let mut command = azure.command(&format!("fleet status fleet {more}"));
        let output = command.env_remove("REFLOAT_LOG").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(status("").contains("tests in Azure: 1 came to the login"), "{}", status(""));

    // One that stops is told, and is left where it is asked for.
    azure.server.says(&[NO_ROOT.as_bytes()]);
    let said = azure.said("fleet test fleet --wave 0 --keep --every 20", 1);
    assert!(said.contains("web: does not boot in Azure: it stops at the root"), "{said}");
    let told = status("--html status.html --metrics status.prom");
    assert!(
        told.contains("1 came to the login, 1 did not boot") && told.contains("web: does not boot in Azure"),
        "{told}"
    );
    let page = fs::read_to_string(azure.path("status.html")).unwrap();
    assert!(
        page.contains("<th>Test in Azure") && page.contains("did not boot</span>: does not boot"),
        "{page}"
    );
    let metrics = fs::read_to_string(azure.path("status.prom")).unwrap();
    assert!(metrics.contains("refloat_fleet_tests{stage=\"refused\"} 1"), "{metrics}");
    let told: Value = serde_json::from_str(&status("--json")).unwrap();
    let of = |row: usize| (told["machines"][row]["test"]["login"].as_bool(), &told["machines"][row]["stage"]);
    let waits = Value::from("waiting");
    assert_eq!([0, 1, 2].map(of), [(Some(false), &waits), (Some(true), &waits), (None, &waits)], "{told}");
    assert!(!made().is_empty());
    azure.said("fleet test fleet --wave 1 --cleanup", 0);
    assert!(!made().is_empty(), "that is of another wave");
    azure.said("fleet test fleet --wave 0 --cleanup", 0);
    assert_eq!((made(), azure.server.state("web-test-os")), (Vec::new(), None));
    let said = azure.said("fleet test fleet --wave 2", 2);
    assert!(said.contains("does not go to a managed disk"), "{said}");

    // The move is another matter; the report has both.
    azure.said("fleet run fleet --wave 0", 0);
    let mut command = azure.command("fleet report fleet --json");
    let output = command.env_remove("REFLOAT_LOG").output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let test = |row: usize| report["machines"][row]["test"]["login"].as_bool();
    assert_eq!([0, 1, 2].map(test), [Some(false), Some(true), None], "{report}");
    let stages = [0, 1, 2].map(|row| report["machines"][row]["stage"].as_str().unwrap());
    assert_eq!(stages, ["done", "waiting", "waiting"], "{report}");
    // One that came to its login once, and not when it was tested again, is not done.
    azure.server.says(&[NO_ROOT.as_bytes()]);
    azure.said("fleet test fleet --wave 1 --again --every 20", 1);
    assert!(status("").contains("tests in Azure: 2 did not boot"), "{}", status(""));
    azure.server.says(&[LOGIN.as_bytes()]);
    azure.said("fleet test fleet --wave 1 --every 20", 0);
    assert!(status("").contains("1 came to the login, 1 did not boot"), "{}", status(""));
    // All that was asked of Azure is in the two roles.
    let roles = ["fleet/azure-role.json", "fleet/azure-test-role.json"].map(|name| azure.path(name));
    is_allowed(&azure.permissions(), &[&roles[0], &roles[1]]);
}
