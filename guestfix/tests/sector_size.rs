//! A partition table that is made for other sectors than the disk has: finding T10.

mod support;

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use guestfix::plan::{Item, Verdict, check};
use guestfix::platform::azure;
use guestfix::tree::Tree;
use guestfix::{Goal, Severity};
use libdisk::block::FileDisk;
use support::{fixed, goal};
use testimages::{judge, synthetic};

/// The partitions of the hybrid guest where they are, in sectors of 4,096 bytes: number, type, first and last.
const PARTITIONS: [(u32, u32, u32, u32); 3] = [(14, 4, 256, 511), (15, 1, 512, 4607), (1, 20, 4608, 24319)];

#[test]
fn a_table_for_other_sectors_makes_a_disk_that_nothing_finds_a_partition_on() {
    let Some(fdisk) = judge::need("fdisk") else { return };
    let guest = synthetic::named("ubuntu-gpt-hybrid");
    let Some(image) = guest.path() else { return };
    let disk = fixed(&image, &goal(guest)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img");
    let copy = std::fs::File::create(&path).unwrap();
    let mut part = vec![0; 1 << 20];
    for at in (0..disk.size()).step_by(part.len()) {
        let len = part.len().min(usize::try_from(disk.size() - at).unwrap());
        disk.read_at(&mut part[..len], at).unwrap();
        copy.write_all_at(&part[..len], at).unwrap();
    }
    let ready = |goal: &Goal| {
        let check = check(&Tree::open(FileDisk::open(&path).unwrap().disk()).unwrap(), goal).unwrap();
        let stops = |item: &&Item| {
            item.severity == Severity::Blocker && matches!(item.verdict, Verdict::Wrong { .. })
        };
        let wrong = check.items.iter().filter(stops).map(|item| item.rule.to_owned());
        (check.ready(), wrong.collect::<Vec<_>>())
    };
    assert_eq!(ready(&goal(guest)), (true, vec![]));

    // The table of 512 goes; the volumes stay where they are.
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 33 * 512], 512).unwrap();
    file.write_all_at(&[0; 33 * 512], disk.size() - 33 * 512).unwrap();
    let mut script = "g\n".to_owned();
    for (index, (number, kind, first, last)) in PARTITIONS.into_iter().enumerate() {
        let which = if index == 0 { String::new() } else { format!("{number}\n") };
        script += &format!("n\n{number}\n{first}\n{last}\nt\n{which}{kind}\n");
    }
    let mut child = Command::new(fdisk)
        .args(["-b", "4096", "--wipe", "never", "--wipe-partitions", "never"])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{script}w\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());

    for target in [&azure::GEN2, &azure::GEN1] {
        let (ready, wrong) = ready(&Goal { target, ..goal(guest) });
        assert!(!ready && wrong.contains(&"disk.sector-size".to_owned()), "{}: {wrong:?}", target.id);
    }
}
