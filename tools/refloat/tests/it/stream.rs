//! From a snapshot in AWS to a blob in Azure: what a stream holds in memory and leaves on this machine, however
//! large the volume is. Long: Azurite takes 16 seconds of a processor for a GiB.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use standin::Snapshot;
use testimages::azurite::Azurite;
use testimages::{length, synthetic};

use crate::cloud::{Cloud, ID};

/// The bars: what may be resident, and what may lie on the disk, in bytes.
const RESIDENT: u64 = 96 << 20;
const ON_DISK: u64 = 200 << 20;

/// What lies in a folder, as it is allocated.
fn on_disk(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => on_disk(&entry.path()),
            Ok(found) => found.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// The most that a process ever had resident, in bytes, while it is there.
fn most_resident(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// A volume of so many GiB: a guest, and `data` MiB all over the rest.
fn streams(gib: u64, data: u64) {
    if !length::long() {
        eprintln!("skipped: REFLOAT_LONG=1 sends a volume of {gib} GiB");
        return;
    }
    let Some(azurite) = Azurite::start() else { return };
    let source = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let Some(volume) = synthetic::demo().copy_into(source.path()) else { return };
    let file = File::options().write(true).open(&volume).unwrap();
    file.set_len(gib << 30).unwrap();
    let (mut random, mut noise) = (fastrand::Rng::with_seed(gib), vec![0; 1 << 20]);
    for number in 0..data {
        random.fill(&mut noise);
        let at = (64 << 20) + number * (((gib << 30) - (128 << 20)) / data / 4096 * 4096);
        file.write_all_at(&noise, at).unwrap();
    }
    let cloud = Cloud::new(vec![Snapshot::from_file(ID, &volume).unwrap()], vec![]);
    let line = format!("migrate ebs:S azure:{} --for azure-gen1", azurite.url("os.vhd"));
    let command = |line: &str| {
        let mut command = cloud.command(line);
        command.env("REFLOAT_AZURE_SAS", azurite.all()).env("REFLOAT_STATE", cloud.path().join("state"));
        command
    };
    let mut child = command(&line).stdout(Stdio::null()).spawn().unwrap();
    // What the system says of a process that has ended counts in the one that it was split off from.
    let mut held = 0;
    while child.try_wait().unwrap().is_none() {
        held = most_resident(child.id()).unwrap_or(held);
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = child.wait().unwrap();
    let kept = on_disk(cloud.path());
    eprintln!(
        "{gib} GiB, {data} MiB of them data: {} MiB resident, {} MiB on the disk",
        held >> 20,
        kept >> 20
    );
    assert!(status.success());
    assert!(held > 0 && held <= RESIDENT, "{} MiB are resident", held >> 20);
    assert!(kept <= ON_DISK, "{} MiB are left", kept >> 20);
    // What is there is what was sent, and is ready.
    let ready = format!("check azure:{} --for azure-gen1", azurite.url("os.vhd"));
    assert!(command(&ready).stdout(Stdio::null()).status().unwrap().success());
    let whole = format!("verify azure:{}", azurite.url("os.vhd"));
    assert!(command(&whole).stdout(Stdio::null()).status().unwrap().success());
}

#[test]
fn sixty_four_gib_go_through_little_memory() {
    streams(64, 1024);
}

#[test]
fn a_tebibyte_goes_through_the_same() {
    streams(1024, 1024);
}
