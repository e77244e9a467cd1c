//! Logs with work pending: what the replay makes of a volume is what Windows made of it, and rust-fs-ntfs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Command;

use block::{Disk, Memory, Overlay};
use testimages::judge;
use testimages::length::long;
use vfs::{FsError, State};

use crate::recorded::{first_manifest, manifest, recorded, shown};
use crate::support::oracle::oracle;
use testimages::ntfs::structures::Structures;

/// The volume that we make of one. What is refused is as it was, and a replay of what was replayed does nothing.
pub(crate) fn ours(disk: &Disk) -> Result<Overlay, FsError> {
    let overlay = Overlay::new(disk.clone()).unwrap();
    let replayed = ntfs::replay(&overlay.writer());
    let Ok(done) = replayed else {
        assert!(overlay.dirty().is_empty());
        return Err(replayed.unwrap_err());
    };
    assert!(done);
    let again = Overlay::new(overlay.disk()).unwrap();
    assert!(!ntfs::replay(&again.writer()).unwrap() && again.dirty().is_empty());
    Ok(overlay)
}

fn disk(name: &str) -> Option<Disk> {
    recorded(name).map(|bytes| Disk::new(Memory::new(bytes)))
}

/// What the replay makes of a volume, and Windows made of it: every file, and every structure but for those of
/// what Windows did later, when the volume was attached. It noted a security descriptor and a folder of its own,
/// and began a log of TxF.
fn recovered(before: &Disk, windows: &Disk, files: &BTreeMap<String, (u64, String)>) {
    let replayed = ours(before).unwrap().disk();
    let fs = ntfs::open(replayed.clone()).unwrap();
    assert!(shown(&*fs) == *files);
    assert_eq!(fs.info().unwrap().state, State::Clean);
    judged(&replayed);
    let (wanted, found) = (Structures::of(windows), Structures::of(&replayed));
    let later = vec![9, 30, 32, 33, 34, 36];
    assert_eq!(found.compared(&wanted), (later, vec![9], 0, 1));
    // Without the replay, hundreds of structures differ.
    let (records, _, in_use, clusters) = Structures::of(before).compared(&wanted);
    assert!(records.len() > 200 && in_use > 200 && clusters > 2500, "{records:?} {in_use} {clusters}");
}

/// No judge sees an error in it.
fn judged(disk: &Disk) {
    let image = tempfile::NamedTempFile::new().unwrap();
    for start in (0..disk.size()).step_by(1 << 20) {
        let part = disk.read_vec(start, (disk.size() - start).min(1 << 20) as usize).unwrap();
        if part.iter().any(|byte| *byte != 0) {
            image.as_file().write_all_at(&part, start).unwrap();
        }
    }
    image.as_file().set_len(disk.size()).unwrap();
    judge::ntfs(image.path(), 0..disk.size());
}

#[test]
fn windows_recovers_the_same_volume() {
    let Some(before) = disk("windows-interrupted-1.img") else { return };
    let windows = disk("windows-interrupted-1.recovered.img").unwrap();
    recovered(&before, &windows, &first_manifest());
}

/// Another volume of the same origin, of which the log had begun again at its front. It is in a crate, and of 1.3
/// MB there.
#[test]
fn windows_recovers_the_same_volume_of_a_log_that_began_again() {
    if !long() {
        return judge::skip("REFLOAT_LONG=1, as crates.io is asked for am-fs-ntfs");
    }
    let folder = tempfile::tempdir().unwrap();
    let manifest_of = "[package]\nname = \"fetch\"\n[lib]\npath = \"Cargo.toml\"\n[dependencies]\nam-fs-ntfs = \"=0.7.0\"\n";
    fs::write(folder.path().join("Cargo.toml"), manifest_of).unwrap();
    judge::run(Command::new("cargo").arg("vendor").arg("--quiet").arg("crates").current_dir(folder.path()));
    let at = folder.path().join("crates/am-fs-ntfs/test-disks");
    let unpacked = |name: &str| {
        let packed = at.join(format!("windows-interrupted-6{name}.img.gz"));
        let out = judge::run(Command::new("gzip").arg("-dc").arg(packed)).stdout;
        Disk::new(Memory::new(out))
    };
    let files = fs::read_to_string(at.join("windows-interrupted-6.recovered.manifest")).unwrap();
    let files = manifest(&files);
    assert_eq!(files.len(), 1175);
    recovered(&unpacked(""), &unpacked(".recovered"), &files);
}

#[test]
fn another_replayer_makes_the_same_volume() {
    for name in ["checkdisk-dirty-big-win.img", "windows-interrupted-1.img"] {
        let Some(before) = disk(name) else { return };
        let (ours, theirs) = (ours(&before).unwrap(), oracle(&before).unwrap());
        same(&ours, &theirs, name);
        let (ours, before) = (Structures::of(&ours.disk()), Structures::of(&before));
        assert!(ours.compared(&before).0.len() > 10);
    }
}

/// Two volumes over the same one have the same bytes, but for the numbers of the last changes: rust-fs-ntfs gives a
/// new one for what Windows changes without.
pub(crate) fn same(one: &Overlay, other: &Overlay, what: &str) {
    for range in one.dirty().into_iter().chain(other.dirty()) {
        for start in (range.start..range.end).step_by(1 << 20) {
            let len = (range.end - start).min(1 << 20) as usize;
            let read = |overlay: &Overlay| overlay.disk().read_vec(start, len).unwrap();
            let (one, other) = (read(one), read(other));
            let number = |at: usize| {
                let sector = &one[at / 512 * 512..];
                (8..16).contains(&(at % 512)) && (sector.starts_with(b"FILE") || sector.starts_with(b"INDX"))
            };
            let differs = (0..len).find(|at| one[*at] != other[*at] && !number(*at));
            assert_eq!(differs.map(|at| start + at as u64), None, "{what}");
        }
    }
}

#[test]
fn a_log_of_windows_7_is_refused_by_name() {
    let Some(before) = disk("jschicht-tiny-lfs11-dirty.filedata-zeroed.dd") else { return };
    let error = ours(&before).unwrap_err();
    assert!(matches!(&error, FsError::Unsupported(what) if what.contains("version 1.1")), "{error}");
}
