//! Snapshots in AWS, served by the stand-in: looked at, pulled, killed and gone on with, followed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use standin::{Call, Fault, Faults, Given, Instance, Snapshot, Synthetic};
use testimages::synthetic::{self, SyntheticGuest};
use testimages::{judge, loader, real};

use crate::cloud::{BLOCK, Cloud, ID, NEWER, noise, same};

/// What README promises: blocks read, and seconds with 100 ms an answer.
#[test]
fn a_real_guest_is_judged_by_a_few_of_its_blocks() {
    let Some(image) = real::debian() else { return };
    let cloud = Cloud::new(vec![Snapshot::from_file(ID, &image).unwrap()], vec![]);
    cloud.server.set_faults(Faults::default().latency(Duration::from_millis(100)));
    for (line, exit, ceiling) in [("inspect ebs:S", 0, 40), ("check ebs:S --for azure-gen1", 1, 120)] {
        // The machine has other things to do, too: the best of three counts.
        let runs = (0..3).map(|_| {
            cloud.forget();
            let start = Instant::now();
            let answer = cloud.json(line, exit);
            (start.elapsed(), answer)
        });
        let (took, answer) = runs.min_by_key(|run| run.0).unwrap();
        let transfer = &answer["transfer"];
        eprintln!("{line}: {transfer} in {took:?}");
        assert!(transfer["blocks"].as_u64().unwrap() <= ceiling, "{line}: {transfer}");
        assert_eq!(transfer["blocks"], cloud.server.counts().get);
        assert!(cloud.server.counts().blocks[ID].values().all(|times| *times == 1));
        assert!(took < Duration::from_secs(15), "{line}: {took:?}");
    }
    // What a check has read a plan does not read again.
    let before = cloud.server.counts().get;
    cloud.refloat("plan ebs:S --for azure-gen1 -o plan.json", 0);
    assert!(cloud.server.counts().get - before <= 20, "{}", cloud.server.counts().get - before);
}

/// As above for a Windows of 30 GiB, each of whose files is in a block of its own.
#[test]
fn a_windows_is_judged_by_a_few_of_its_blocks() {
    let Some(image) = synthetic::large_windows().path() else { return };
    let cloud = Cloud::new(vec![Snapshot::from_file(ID, &image).unwrap()], vec![]);
    for (line, exit, ceiling) in [("inspect ebs:S", 0, 60), ("check ebs:S --for azure-gen1", 1, 200)] {
        cloud.forget();
        let start = Instant::now();
        let answer = cloud.json(line, exit);
        let (took, transfer) = (start.elapsed(), &answer["transfer"]);
        eprintln!("{line}: {transfer} in {took:?}");
        assert!(transfer["blocks"].as_u64().unwrap() <= ceiling, "{line}: {transfer}");
        assert!(cloud.server.counts().blocks[ID].values().all(|times| *times == 1));
        assert!(took < Duration::from_secs(15), "{line}: {took:?}");
    }
}

/// A guest, with something behind it, as a snapshot, and as the file of whole GiB that the snapshot is of.
fn guest(synthetic: &SyntheticGuest, behind: &[u8]) -> Option<Cloud> {
    let bytes = [&fs::read(synthetic.path()?).unwrap(), behind].concat();
    let cloud = Cloud::new(vec![Snapshot::from_bytes(ID, bytes.clone())], vec![]);
    let local = fs::File::create(cloud.path().join("local.raw")).unwrap();
    local.write_all_at(&bytes, 0).unwrap();
    local.set_len(1 << 30).unwrap();
    Some(cloud)
}

#[test]
fn every_verb_takes_a_snapshot() {
    let Some(cloud) = guest(synthetic::demo(), &[]) else { return };
    let path = |name: &str| cloud.path().join(name);
    let inspection = cloud.json("inspect ebs:S", 0);
    assert_eq!(inspection["layers"][0]["name"], "ebs");
    let tell = cloud.said("check ebs:S --for azure-gen1", 1);
    assert!(tell.contains("blocks (") && tell.contains("from the cache") && tell.contains('$'), "{tell}");
    let etc = cloud.refloat("fs ls ebs:S#/etc", 0);
    assert!(String::from_utf8_lossy(&etc.stdout).contains("/etc/fstab"));
    cloud.refloat("fs cat ebs:S#/etc/fstab", 0);
    // The findings, the fixes and the files are those of the same disk in a file.
    let items = |answer: serde_json::Value| answer["items"].clone();
    let local = items(cloud.json("check local.raw --for azure-gen1", 1));
    assert_eq!(items(cloud.json("check ebs:S --for azure-gen1", 1)), local);
    cloud.refloat("plan ebs:S --for azure-gen1 -o plan.json", 0);
    cloud.refloat("apply plan.json -o fixed.qcow2", 0);
    cloud.refloat("check fixed.qcow2 --for azure-gen1", 0);
    cloud.refloat("migrate ebs:S migrated.vhd --for azure-gen1", 0);
    cloud.refloat("migrate local.raw local-migrated.vhd --for azure-gen1", 0);
    assert!(same(&path("migrated.vhd"), &path("local-migrated.vhd")));
    cloud.refloat("convert ebs:S whole.vhd", 0);
    cloud.refloat("convert local.raw local.vhd", 0);
    assert!(same(&path("whole.vhd"), &path("local.vhd")));
    cloud.refloat("convert ebs:S whole.raw", 0);
    assert!(same(&path("whole.raw"), &path("local.raw")));
    judge::qemu_img_compare((&path("fixed.qcow2"), "qcow2"), (&path("migrated.vhd"), "vpc"));

    // Once more, each is there already; another file is not replaced.
    let before = cloud.server.counts().get;
    cloud.refloat("convert ebs:S whole.vhd", 0);
    cloud.refloat("migrate ebs:S migrated.vhd --for azure-gen1", 0);
    assert_eq!(cloud.server.counts().get, before);
    let said = cloud.said("convert ebs:S local.vhd", 2);
    assert!(said.contains("already exists") && said.contains("help: "), "{said}");
}

/// The machine reads through refloat, as far as it comes; what cannot be fetched says nothing of the machine.
#[test]
fn a_snapshot_is_booted_by_what_the_machine_reads_of_it() {
    if judge::need("qemu-system-x86_64").is_none() {
        return;
    }
    // No firmware starts it.
    let Some(cloud) = guest(synthetic::named("bare-ext4-pv"), &noise(6, 200)) else { return };
    let line = "boot ebs:S --for azure-gen1 --quiet";
    let boot = cloud.json(line, 1);
    assert_eq!((&boot["verdict"], &boot["hop"]), (&"stopped".into(), &"firmware".into()), "{boot}");
    assert!(cloud.path().join(format!("{ID}.serial.log")).metadata().unwrap().len() > 0);
    let count = cloud.server.counts().get;
    assert!((1..20).contains(&count), "{count} blocks were fetched");
    let local = cloud.json("boot local.raw --for azure-gen1 --quiet", 1);
    assert_eq!((&local["hop"], &local["evidence"]), (&boot["hop"], &boot["evidence"]));

    cloud.forget();
    cloud.server.set_faults(Faults::default().at(Call::Get, 0..100_000, Fault::Denied));
    let said = cloud.said(line, 2);
    assert!(said.contains("UNAUTHORIZED_ACCOUNT") && said.contains("help: "), "{said}");
}

/// All of it moves by 1 MiB while it is pulled, also where the pull was stopped and goes on.
#[test]
fn a_paravirtual_snapshot_becomes_a_disk_with_a_boot_loader() {
    let cloud = guest(synthetic::named("bare-ext4-pv"), &noise(5, 40));
    let (Some(cloud), Some(_)) = (cloud, loader::grub()) else { return };
    let path = |name: &str| cloud.path().join(name);
    cloud.refloat("plan ebs:S --for azure-gen1 -o plan.json", 0);
    cloud.server.reset_counts();
    cloud.server.set_faults(Faults::default().at(Call::Get, 10..100_000, Fault::Throttled));
    let line = "migrate ebs:S migrated.vhd --for azure-gen1 --threads 1 --ebs-patience 1";
    cloud.refloat(line, 3);
    assert!(!path("migrated.vhd").exists() && path("migrated.vhd.partial").exists());
    cloud.server.set_faults(Faults::default());
    cloud.refloat(line, 0);
    assert!(cloud.server.counts().blocks[ID].values().all(|times| *times == 1));
    cloud.refloat("migrate local.raw local-migrated.vhd --for azure-gen1", 0);
    assert!(same(&path("migrated.vhd"), &path("local-migrated.vhd")));
    cloud.refloat("apply plan.json -o fixed.qcow2", 0);
    judge::qemu_img_compare((&path("fixed.qcow2"), "qcow2"), (&path("migrated.vhd"), "vpc"));
}

/// The blocks that the log of a pull tells of; a record has 40 bytes.
fn recorded(log: &Path) -> BTreeSet<u64> {
    let log = fs::read(log).unwrap_or_default();
    let ranges = log.chunks_exact(40).filter(|record| record[0] == 2);
    ranges.map(|record| u64::from_le_bytes(record[8..16].try_into().unwrap()) / BLOCK).collect()
}

#[test]
fn a_pull_killed_at_fifty_instants_goes_on_each_time() {
    let blocks = 600;
    let bytes = noise(1, blocks);
    let cloud = Cloud::new(vec![Snapshot::from_bytes(ID, bytes.clone())], vec![]);
    // Slow enough that it takes all of them: some 64 answers in each fifth of a second.
    cloud.server.set_faults(Faults::default().latency(Duration::from_millis(200)));
    let (target, log) = (cloud.path().join("disk.raw"), cloud.path().join("disk.raw.transfer"));
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut kills, mut done) = (0, BTreeSet::new());
    while kills < 50 || !target.exists() {
        if target.exists() {
            // This machine is too fast for fifty kills: once more, from the start.
            fs::remove_file(&target).unwrap();
            fs::remove_file(&log).unwrap();
            done.clear();
        }
        cloud.server.reset_counts();
        let mut child = cloud.command("convert ebs:S disk.raw --quiet").spawn().unwrap();
        let killed = kills < 50;
        if killed {
            std::thread::sleep(Duration::from_millis(random.u64(0..480)));
            child.kill().unwrap();
            kills += 1;
        }
        let status = child.wait().unwrap();
        let counts = cloud.server.counts();
        let fetched: BTreeSet<u64> =
            counts.blocks.get(ID).map(|blocks| blocks.keys().copied().collect()).unwrap_or_default();
        // Blocks 0 to 2 and the last one tell one source from another, and are kept in the cache.
        let again: Vec<_> = fetched.intersection(&done).collect();
        assert!(again.is_empty(), "seed {seed}, kill {kills}: recorded, and fetched again: {again:?}");
        assert!(status.success() || killed, "seed {seed}: {status}");
        done = recorded(&log);
    }
    cloud.refloat("convert ebs:S disk.raw", 0);
    let found = fs::File::open(&target).unwrap();
    let mut content = vec![1; bytes.len()];
    found.read_exact_at(&mut content, 0).unwrap();
    assert!(content == bytes && found.metadata().unwrap().len() == 1 << 30, "seed {seed}");
    assert!(!cloud.path().join("disk.raw.partial").exists());
}

#[test]
fn a_pulled_snapshot_becomes_the_newer_one() {
    let (before, mut after) = (noise(2, 120), noise(2, 120));
    after[(5 * BLOCK) as usize..(7 * BLOCK) as usize].fill(0);
    after[(50 * BLOCK) as usize + 9..][..100].fill(7);
    let snapshots = vec![
        Snapshot::from_bytes(ID, before).of_volume("vol-1"),
        Snapshot::from_bytes(NEWER, after).of_volume("vol-1"),
        Snapshot::from_bytes("snap-0aaaaaaaaaaaaaaaa", vec![1; 10]).of_volume("vol-2"),
    ];
    let cloud = Cloud::new(snapshots, vec![]);
    let path = |name: &str| cloud.path().join(name);
    for format in ["vhd", "raw"] {
        cloud.refloat(&format!("convert ebs:S disk.{format}"), 0);
        cloud.refloat(&format!("convert ebs:{NEWER}@eu-west-1 full.{format} --no-sync"), 0);
        // The first block was read to tell the disks apart, and the cache has it.
        cloud.forget();
        let delta = format!("convert --since {ID} ebs:{NEWER}@eu-west-1 disk.{format}");
        cloud.refloat(&delta, 0);
        assert!(same(&path(&format!("disk.{format}")), &path(&format!("full.{format}"))), "{format}");
        let fetched = cloud.server.counts().blocks[NEWER].len();
        assert!(fetched <= 4, "{fetched} blocks for one that changed and those that tell disks apart");
        cloud.refloat(&delta, 0);
    }
    let said = cloud.said(&format!("convert --since {ID} ebs:snap-0aaaaaaaaaaaaaaaa@eu-west-1 disk.raw"), 2);
    assert!(said.contains("not of one volume") && said.contains("help: leave --since out"), "{said}");
    let said = cloud.said(&format!("convert --since {ID} ebs:{NEWER}@eu-west-1 other.raw"), 2);
    assert!(said.contains("no record"), "{said}");
}

#[test]
fn a_forecast_reads_lists_alone() {
    let before = noise(9, 64);
    let mut after = before.clone();
    let len = usize::try_from(BLOCK).unwrap();
    for block in [3, 17, 40] {
        after[block * len + 5] ^= 0xff;
    }
    let snapshots = vec![
        Snapshot::from_bytes(ID, before).of_volume("vol-1"),
        Snapshot::from_bytes(NEWER, after).of_volume("vol-1"),
        Snapshot::from_bytes("snap-0aaaaaaaaaaaaaaaa", vec![1; 10]).of_volume("vol-2"),
    ];
    let cloud = Cloud::new(snapshots, vec![]);
    let answer = cloud.json(&format!("forecast ebs:S ebs:{NEWER}@eu-west-1"), 0);
    assert_eq!((&answer["blocks"], &answer["bytes"]), (&3.into(), &(3 * BLOCK).into()), "{answer:#}");
    assert_eq!(answer["transfer"]["blocks"], 0, "{answer:#}");
    assert!(!cloud.server.counts().blocks.contains_key(NEWER));
    // The same snapshot, one of another volume, a file.
    let same = cloud.json(&format!("forecast ebs:{NEWER}@eu-west-1 ebs:{NEWER}@eu-west-1"), 0);
    assert_eq!(same["dollars"], 0.0);
    let said = cloud.said(&format!("forecast ebs:snap-0aaaaaaaaaaaaaaaa@eu-west-1 ebs:{NEWER}@eu-west-1"), 2);
    assert!(said.contains("not of one volume"), "{said}");
    assert!(cloud.said("forecast old.raw ebs:S", 2).contains("name the older snapshot"));
}

/// Churn inside a file that the plan edits: the disk is the newer snapshot, the old plan is refused, a new
/// one does the job.
#[test]
fn a_plan_is_made_again_on_a_newer_base() {
    let Some(image) = synthetic::demo().path() else { return };
    let before = fs::read(image).unwrap();
    let cloud = Cloud::new(
        vec![Snapshot::from_bytes(ID, before.clone()).of_volume("vol-1"), {
            // The first comment in the guest's fstab says something else.
            let mut after = before;
            let fstab =
                after.windows(9).position(|bytes| bytes == b"# device\t").expect("an fstab with a comment");
            after[fstab + 2] = b'!';
            Snapshot::from_bytes(NEWER, after).of_volume("vol-1")
        }],
        vec![],
    );
    let newer = format!("ebs:{NEWER}@eu-west-1");
    cloud.refloat("convert ebs:S disk.raw", 0);
    cloud.refloat("plan disk.raw --for azure-gen1 -o old.json", 0);
    cloud.refloat(&format!("convert --since {ID} {newer} disk.raw"), 0);
    cloud.refloat(&format!("convert {newer} full.raw"), 0);
    assert!(same(&cloud.path().join("disk.raw"), &cloud.path().join("full.raw")));
    cloud.refloat("apply old.json -o fixed.qcow2", 2);
    cloud.refloat("plan disk.raw --for azure-gen1 -o new.json", 0);
    cloud.refloat("apply new.json -o fixed.qcow2", 0);
    cloud.refloat("check fixed.qcow2 --allow-backing . --for azure-gen1", 0);
}

#[test]
fn all_disks_of_an_instance_are_one_input() {
    let Some(image) = synthetic::demo().path() else { return };
    let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 + seconds);
    let data = noise(3, 4);
    let snapshots = vec![
        Snapshot::from_file(ID, &image).unwrap().of_volume("vol-1").started(at(100)),
        Snapshot::from_bytes("snap-0aaaaaaaaaaaaaaaa", data.clone()).of_volume("vol-2").started(at(103)),
        Snapshot::from_bytes("snap-0bbbbbbbbbbbbbbbb", vec![1; 10]).of_volume("vol-2").started(at(50)),
    ];
    let instance = Instance {
        id: "i-0123456789abcdef0".into(),
        root_device: "/dev/xvda".into(),
        volumes: vec![("/dev/xvdf".into(), "vol-2".into()), ("/dev/xvda".into(), "vol-1".into())],
        kind: "m5.large".into(),
        ..Instance::default()
    };
    let cloud = Cloud::new(snapshots, vec![instance]);
    let inspection = cloud.json("inspect ebs:i-0123456789abcdef0@eu-west-1", 0);
    let layers = inspection["layers"].to_string();
    for piece in [ID, "snap-0aaaaaaaaaaaaaaaa", "/dev/xvdf", "not of one instant"] {
        assert!(layers.contains(piece), "{piece} is not in {layers}");
    }
    assert!(!layers.contains("snap-0bbbbbbbbbbbbbbbb"), "{layers}");
    let check = "check ebs:i-0123456789abcdef0@eu-west-1 --for azure-gen1 --report html=report.html";
    let check = cloud.json(check, 1);
    assert_eq!(check["sizing"]["instance"]["kind"], "m5.large");
    assert_eq!(check["sizing"]["disks"].as_array().unwrap().len(), 2);
    assert!(
        check["licence"].to_string().contains("bills the instance as Linux/UNIX"),
        "{}",
        check["licence"]
    );
    assert!(check["transfer"]["blocks"].as_u64().unwrap() < 150, "{}", check["transfer"]);
    let page = fs::metadata(cloud.path().join("report.html")).unwrap();
    assert!(page.len() < 300 << 10, "{} bytes", page.len());
    let said = cloud.said("convert ebs:i-0123456789abcdef0@eu-west-1 disk.vhd", 0);
    assert!(said.contains("not of one instant"), "{said}");
    let written = fs::read(cloud.path().join("disk-data1.vhd")).unwrap();
    assert!(written[..data.len()] == data);
    assert!(cloud.path().join("disk.vhd").exists());
    // A disk that is left out is not read, and that is told.
    let line = "convert ebs:i-0123456789abcdef0@eu-west-1 one.vhd --exclude-disk";
    let said = cloud.said(&format!("{line} /dev/xvdf"), 0);
    assert!(said.contains("left out, and not looked at: /dev/xvdf"), "{said}");
    assert!(!cloud.path().join("one-data1.vhd").exists());
    for (line, says) in [
        (format!("{line} vol-1"), "the disk that it starts from"),
        (format!("{line} /dev/sdz"), "no disk /dev/sdz, but /dev/xvda (vol-1), /dev/xvdf (vol-2)"),
        (line.replace("ebs:i-0123456789abcdef0@eu-west-1", "ebs:S") + " vol-1", "disks of an instance"),
    ] {
        let said = cloud.said(&line, 2);
        assert!(said.contains(says) && said.contains("help: "), "{line}: {said}");
    }
    cloud.refloat(&format!("convert ebs:{ID},snap-0aaaaaaaaaaaaaaaa@eu-west-1 two.raw"), 0);
    assert!(cloud.path().join("two-data1.raw").exists());
}

/// What README promises of a real guest with two further disks: blocks read, and bytes of its page.
#[test]
fn a_machine_of_three_disks_is_assessed_by_a_few_of_its_blocks() {
    let Some(image) = real::debian() else { return };
    if !judge::need_all(&["mke2fs", "mkswap"]) {
        return;
    }
    let made = |program: &str, arguments: &[&str]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(256 << 20).unwrap();
        judge::run(judge::tool(program).args(arguments).arg(file.path()));
        file
    };
    let (data, swap) = (made("mke2fs", &["-q", "-t", "ext4"]), made("mkswap", &["-q"]));
    let ids = ["snap-0aaaaaaaaaaaaaaaa", "snap-0bbbbbbbbbbbbbbbb"];
    let snapshots = vec![
        Snapshot::from_file(ID, &image).unwrap().of_volume("vol-1"),
        Snapshot::from_file(ids[0], data.path()).unwrap().gib(200).of_volume("vol-2"),
        Snapshot::from_file(ids[1], swap.path()).unwrap().of_volume("vol-3"),
    ];
    let given = |kind: &str, iops, throughput| Given { kind: kind.into(), iops, throughput };
    let volumes = [("/dev/xvda", "vol-1"), ("/dev/sdf", "vol-2"), ("/dev/sdg", "vol-3")];
    let instance = Instance {
        id: "i-0123456789abcdef0".into(),
        root_device: "/dev/xvda".into(),
        volumes: volumes.map(|(device, volume)| (device.into(), volume.into())).into(),
        kind: "m5.large".into(),
        given: vec![
            ("vol-1".into(), given("gp3", Some(3000), Some(125))),
            ("vol-2".into(), given("io2", Some(50_000), None)),
        ],
        ..Instance::default()
    };
    let cloud = Cloud::new(snapshots, vec![instance]);
    let check = "check ebs:i-0123456789abcdef0@eu-west-1 --for azure-gen1";
    let answer = cloud.json(&format!("{check} --report html=report.html"), 1);
    let transfer = &answer["transfer"];
    let page = fs::read_to_string(cloud.path().join("report.html")).unwrap();
    eprintln!("{transfer}, a page of {} bytes", page.len());
    assert!(transfer["blocks"].as_u64().unwrap() <= 150, "{transfer}");
    assert_eq!(transfer["blocks"], cloud.server.counts().get);
    assert!(page.len() < 300_000, "{} bytes", page.len());

    // Each disk gets what its volume was given, or Azure's name of what has it.
    let disks = &answer["sizing"]["disks"];
    let names = |disk: usize| (disks[disk]["premium"]["name"].clone(), disks[disk]["sized"]["name"].clone());
    assert_eq!(
        (names(0), &disks[0]["by"]),
        (("P30".into(), "P1".into()), &"size, IOPS and throughput".into())
    );
    assert_eq!((&disks[1]["beyond"], &disks[1]["by"]), (&"Premium SSD v2".into(), &"size and IOPS".into()));
    assert_eq!((names(2), &disks[2]["by"]), (("P1".into(), Value::Null), &"size alone".into()));
    let items = answer["packs"][0]["items"].as_array().unwrap();
    let item = items.iter().find(|item| item["rule"] == "azure-vm.disk-performance").unwrap().to_string();
    assert!(item.contains("io2 of 50000 IOPS: Premium SSD v2 has as much"), "{item}");
    for told in ["size, IOPS and throughput: gp3 of 3000 IOPS and 132 MB/s", "size alone", "of a P1"] {
        assert!(page.contains(told), "{told}");
    }
    // Who may not ask gets the rest, and is told.
    cloud.server.set_faults(Faults::default().at(Call::Ec2, 2..100, Fault::Denied));
    let text = String::from_utf8(cloud.refloat(check, 1).stdout).unwrap();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("(ec2:DescribeVolumes)") && text.contains("by size alone"), "{text}");
}

/// What stops Azure, or is to be known, on the disks beside that of the operating system.
#[test]
fn the_other_disks_of_an_instance_are_looked_at() {
    let (Some(image), Some(_)) = (synthetic::demo().path(), judge::need("mke2fs")) else { return };
    let (data, huge) = ("snap-0aaaaaaaaaaaaaaaa", "snap-0bbbbbbbbbbbbbbbb");
    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(8 << 20).unwrap();
    judge::run(judge::tool("mke2fs").args(["-q", "-t", "ext4", "-U", uuid]).arg(file.path()));
    let shape = Synthetic { gib: 40_000, listed: 0, zero: 0, seed: 1 };
    let snapshots = vec![
        Snapshot::from_file(ID, &image).unwrap().of_volume("vol-1"),
        Snapshot::from_file(data, file.path()).unwrap().of_volume("vol-2"),
        Snapshot::synthetic(huge, shape).of_volume("vol-3"),
    ];
    // The guest's fstab has /dev/xvdb at /mnt.
    let volumes = [("/dev/xvda", "vol-1"), ("/dev/sdb", "vol-2"), ("/dev/sdg", "vol-3")];
    let instance = Instance {
        id: "i-0123456789abcdef0".into(),
        root_device: "/dev/xvda".into(),
        volumes: volumes.map(|(device, volume)| (device.into(), volume.into())).into(),
        ..Instance::default()
    };
    let cloud = Cloud::new(snapshots, vec![instance]);
    let line = "check ebs:i-0123456789abcdef0@eu-west-1 --for azure-gen1";
    let answer = cloud.json(line, 1);
    let item = |rule: &str| {
        answer["items"].as_array().unwrap().iter().find(|item| item["rule"] == rule).unwrap().to_string()
    };
    // fstab names the second disk as EC2 does: a plan gives it its UUID.
    let names = item("linux.fstab.device-names");
    assert!(names.contains("/mnt is mounted from /dev/xvdb, a name that disk2 has only on EC2"), "{names}");
    let size = item("disk.size-limit");
    assert!(size.contains("more than the 32 TiB that can be uploaded") && size.contains("by-hand"), "{size}");
    let text = String::from_utf8(cloud.refloat(line, 1).stdout).unwrap();
    assert!(text.contains("disk 3"), "{text}");
    cloud.refloat("plan ebs:i-0123456789abcdef0@eu-west-1 --for azure-gen1 -o plan.json", 1);
    let plan = fs::read_to_string(cloud.path().join("plan.json")).unwrap();
    assert!(plan.contains(&format!("UUID={uuid}")) && plan.contains("\"device\": \"/dev/sdb\""), "{plan}");
}

#[test]
fn every_answer_tells_what_was_read_and_what_it_cost() {
    let Some(cloud) = guest(synthetic::demo(), &[]) else { return };
    for (line, exit) in [
        ("inspect ebs:S", 0),
        ("check ebs:S --for azure-gen1", 1),
        ("plan ebs:S --for azure-gen1 -o plan.json --force", 0),
        ("apply plan.json -o fixed.qcow2 --force", 0),
        ("fs ls ebs:S#/etc", 0),
        ("fs cat ebs:S#/etc/fstab", 0),
        ("fs stat ebs:S#/etc/fstab", 0),
        ("fs diff ebs:S#/etc ebs:S#/etc", 0),
        ("fs diff ebs:S ebs:S --for azure-gen1", 0),
        ("migrate ebs:S migrated.vhd --for azure-gen1 --force", 0),
        ("convert ebs:S whole.raw --force", 0),
        ("verify whole.raw ebs:S", 0),
    ] {
        cloud.forget();
        let told = cloud.json(line, exit);
        let transfer = &told["transfer"];
        let counts = cloud.server.counts();
        assert_eq!(transfer["blocks"], counts.get, "{line}: {transfer}");
        assert_eq!(transfer["bytes"], counts.get * BLOCK, "{line}");
        assert_eq!(transfer["requests"], counts.get + counts.list, "{line}");
        let dollars = (counts.get as f64 * 3.0 + counts.list as f64 * 0.6) / 1e6;
        assert!((transfer["dollars"].as_f64().unwrap() - dollars).abs() < 1e-9, "{line}: {transfer}");
        assert!(told["schema"].as_str().unwrap().starts_with("refloat."), "{line}");
        let said = cloud.said(line, exit);
        assert!(
            said.contains("read ") && said.contains(" request") && said.contains(" $0."),
            "{line}: {said}"
        );
    }
    let cat = cloud.json("fs cat ebs:S#/etc/fstab", 0);
    assert!(cat["text"].as_str().unwrap().contains("/dev/xvda1"), "{cat}");
    // What `plan --json` says is the plan, too.
    let plan = cloud.refloat("plan ebs:S --for azure-gen1 --json", 0).stdout;
    fs::write(cloud.path().join("said.json"), plan).unwrap();
    cloud.refloat("apply said.json -o said.qcow2", 0);
}

#[test]
fn errors_name_the_block_the_cause_and_the_next_step() {
    let bytes = noise(4, 40);
    let encrypted = Snapshot::from_bytes(ID, bytes.clone()).encrypted("arn:aws:kms:eu-west-1:1:key/1", false);
    let cloud = Cloud::new(vec![encrypted, Snapshot::from_bytes(NEWER, bytes)], vec![]);
    let said = cloud.said("convert ebs:S disk.raw", 2);
    for piece in ["block 0", "DEPENDENCY_ACCESS_DENIED", "help: allow kms:Decrypt"] {
        assert!(said.contains(piece), "{piece} is not in {said}");
    }
    let said = cloud.said("check ebs:snap-0cccccccccccccccc@eu-west-1 --for azure-gen1", 2);
    assert!(said.contains("SNAPSHOT_NOT_FOUND") && said.contains("help: check that"), "{said}");
    let said = cloud.said("check ebs:vol-1@eu-west-1 --for azure-gen1", 2);
    assert!(said.contains("is not a snapshot"), "{said}");

    // Throttled for longer than one has patience: the same command goes on.
    cloud.server.set_faults(Faults::default().at(Call::Get, 20..100_000, Fault::Throttled));
    let line = format!("convert ebs:{NEWER}@eu-west-1 disk.raw --ebs-patience 1");
    let said = cloud.said(&line, 3);
    assert!(said.contains("block ") && said.contains("throttled") && said.contains("help: "), "{said}");
    let had = cloud.server.counts().blocks[NEWER].len();
    cloud.server.set_faults(Faults::default());
    cloud.refloat(&line, 0);
    let counts = cloud.server.counts();
    assert!(had > 0 && counts.blocks[NEWER].values().all(|times| *times == 1), "{had}");
}

/// The account's quota is theirs together.
#[test]
fn two_pulls_share_the_rate() {
    let snapshots = [(ID, 1), (NEWER, 2)].map(|(id, seed)| Snapshot::from_bytes(id, noise(seed, 100)));
    let cloud = Cloud::new(snapshots.into(), vec![]);
    let start = Instant::now();
    let pulls = [(ID, "a.raw"), (NEWER, "b.raw")].map(|(id, output)| {
        let line = format!("convert ebs:{id}@eu-west-1 {output} --quiet --ebs-requests-per-second 50");
        cloud.command(&line).spawn().unwrap()
    });
    for mut pull in pulls {
        assert!(pull.wait().unwrap().success());
    }
    // Each alone would be done in two seconds.
    let blocks = cloud.server.counts().blocks.values().map(|blocks| blocks.len()).sum::<usize>();
    let (took, least) = (start.elapsed(), Duration::from_secs_f64(blocks as f64 / 50.0 * 0.75));
    assert!(took > least, "{blocks} blocks in {took:?}");
}
