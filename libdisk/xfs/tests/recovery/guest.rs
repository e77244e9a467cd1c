//! Volumes that this kernel does not mount (version 4) or not as they are meant (quotas): another kernel uses
//! and recovers them.

use std::fs::{self, File};
use std::path::Path;

use testimages::judge;
use testimages::user_mode_linux::{self, DISK, MOUNT, SHARE};
use xfs::Replayed;

use crate::load::{Random, Writer};
use crate::support::{Image, Variant, shut_down, variant};
use crate::{Tree, able, complaints, listing, long, recover, same};

const SIZE: u64 = 80 << 20;

/// Feature sets, and how they are mounted.
const VARIANTS: &[(Variant, &str)] = &[
    (variant("v4", 7, &["-m", "crc=0,finobt=0,reflink=0,bigtime=0,inobtcount=0", "-i", "sparse=0"]), "rw"),
    (variant("quotas", 8, &[]), "uquota,gquota,pquota"),
    (
        variant(
            "v4_quotas",
            7,
            &[
                "-m",
                "crc=0,finobt=0,reflink=0,bigtime=0,inobtcount=0",
                "-i",
                "sparse=0,size=256",
                "-b",
                "size=1024",
            ],
        ),
        "uquota,gquota",
    ),
    (variant("rmapbt_quotas", 14, &["-m", "rmapbt=1"]), "uqnoenforce,logbsize=256k"),
    (
        variant(
            "v4_version_1_log",
            7,
            &["-m", "crc=0,finobt=0,reflink=0", "-i", "sparse=0", "-l", "version=1"],
        ),
        "rw",
    ),
];

/// Lets the other kernel mount an image and do something: a load with this seed and this end, or a listing.
fn guest(image: &Path, options: &str, task: &str) -> tempfile::TempDir {
    let inside = user_mode_linux::have("guest::inside", task);
    user_mode_linux::boot(
        image,
        &format!(
            "mount -t xfs -o {options} {DISK} {MOUNT}\n{inside}\numount {MOUNT}\ntouch {SHARE}/unmounted"
        ),
    )
}

/// What runs inside.
#[test]
#[ignore = "it is run by the tests of this file, inside user-mode Linux"]
fn inside() {
    let Some(task) = user_mode_linux::task() else { return };
    let root = Path::new(MOUNT);
    let Some((seed, stop)) = task.split_once('-') else {
        let lines: Vec<String> =
            listing(root).into_iter().map(|(path, line)| format!("{path}\t{line}\n")).collect();
        fs::write(Path::new(SHARE).join("tree"), lines.concat()).unwrap();
        let report =
            judge::tool("xfs_quota").args(["-x", "-c", "report -u -n -N -b -i"]).arg(root).output().unwrap();
        fs::write(Path::new(SHARE).join("quotas"), report.stdout).unwrap();
        return user_mode_linux::done();
    };
    let seed: u64 = seed.parse().unwrap();
    let held: Vec<File> = std::thread::scope(|scope| {
        let writer = |name| scope.spawn(move || Writer::new(root, seed, name).work(120));
        let mut writers: Vec<_> = (0..2).map(writer).collect();
        writers.push(scope.spawn(move || Writer::new(root, seed, 2).chains(5)));
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    if stop != "snapshot" {
        shut_down(root, if stop == "logged" { "shutdown -f" } else { "shutdown" });
    } else {
        rustix::fs::syncfs(File::open(root).unwrap()).unwrap();
    }
    user_mode_linux::done();
    // What is held is never closed.
    std::mem::forget(held);
    user_mode_linux::halt();
}

/// All files of an image as the other kernel sees them, and what its quotas count.
fn tree(image: &Path, options: &str) -> (Tree, String) {
    let share = guest(image, options, "tree");
    assert!(share.path().join("unmounted").exists());
    let lines = fs::read_to_string(share.path().join("tree")).unwrap();
    let line = |line: &str| line.split_once('\t').map(|(path, line)| (path.to_owned(), line.to_owned()));
    let quotas = fs::read_to_string(share.path().join("quotas")).unwrap();
    (lines.lines().filter_map(line).collect(), quotas)
}

#[test]
fn version_4_and_quotas_are_recovered_as_another_kernel_does() {
    if !able() {
        return;
    }
    if !user_mode_linux::need() || judge::need("xfs_quota").is_none() {
        return;
    }
    let mut total = Replayed::default();
    let rounds = if long() { 8 } else { 1 };
    for round in 0..rounds {
        for (number, (variant, options)) in VARIANTS.iter().enumerate() {
            if !long() && number > 1 {
                continue;
            }
            let seed = 3000 + 100 * round + number as u64;
            let stop = ["logged", "plain", "snapshot"][Random::new(seed).below(3)];
            eprint!("{} {options} {stop} seed {seed}: ", variant.name);
            let image = Image::new(variant, SIZE).unwrap();
            guest(image.path(), options, &format!("{seed}-{stop}"));
            let copy = tempfile::Builder::new().tempfile_in(image.path().parent().unwrap()).unwrap();
            fs::copy(image.path(), copy.path()).unwrap();
            let theirs = tree(copy.path(), options);

            let replayed = recover(image.path()).unwrap();
            eprintln!("{replayed:?}");
            let left = complaints(image.path());
            assert!(left.is_empty() || left == complaints(copy.path()), "{left:#?}");
            let ours = tree(image.path(), options);
            same(&ours.0, &theirs.0);
            assert_eq!(ours.1, theirs.1);
            assert_eq!(ours.1.trim().is_empty(), !options.contains("uq"), "{}", ours.1);
            assert_eq!(complaints(image.path()), left);
            let replayed = replayed.unwrap_or_default();
            total.transactions += replayed.transactions;
            total.quotas += replayed.quotas;
            total.deleted += replayed.deleted;
        }
    }
    assert!(total.transactions > 10 && total.quotas > 0 && total.deleted > 0, "{total:?}");
}
