//! Logs with work pending: what the replay makes of a volume is what Windows made of it, and rust-fs-ntfs.

use block::{Disk, Memory, Overlay};
use vfs::{FsError, State};

use crate::recorded::{manifest, recorded, shown};
use crate::support::oracle::oracle;
use crate::support::structures::Structures;

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

#[test]
fn windows_recovers_the_same_volume() {
    let Some(before) = disk("windows-interrupted-1.img") else { return };
    let windows = disk("windows-interrupted-1.recovered.img").unwrap();
    let replayed = ours(&before).unwrap().disk();
    let fs = ntfs::open(replayed.clone()).unwrap();
    assert_eq!(shown(&*fs), manifest());
    assert_eq!(fs.info().unwrap().state, State::Clean);
    let (wanted, found) = (Structures::of(&windows), Structures::of(&replayed));
    // What Windows did after its recovery, when the volume was attached: it noted a security descriptor, and a
    // folder of its own, and began a log of TxF.
    let later = vec![9, 30, 32, 33, 34, 36];
    assert_eq!(found.compared(&wanted), (later, vec![9], 0, 1));
    // Without the replay, hundreds of structures differ.
    let (records, _, in_use, clusters) = Structures::of(&before).compared(&wanted);
    assert!(records.len() > 240 && in_use == 284 && clusters > 2900, "{records:?} {in_use} {clusters}");
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
