//! The log of an interrupted Windows, cut off at each of its pages, as if the power had gone earlier: what is done
//! and taken back differs each time, and is what rust-fs-ntfs makes of it.

use block::{Disk, Memory, Overlay};
use testimages::length::times;

use crate::recorded::recorded;
use crate::replayed::{ours, same};
use crate::support::oracle::oracle;
use testimages::ntfs::structures::log;

const PAGE: u64 = 4096;

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The pages of a log: where on the volume each is, its last record, and the last that ends in it.
fn pages(disk: &Disk) -> Vec<(u64, u64, u64)> {
    let (start, size) = log(disk);
    let page = |at: u64| {
        let bytes = disk.read_vec(start + at, PAGE as usize).unwrap();
        bytes.starts_with(b"RCRD").then(|| (start + at, number(&bytes, 8), number(&bytes, 32)))
    };
    (2 * PAGE..size).step_by(PAGE as usize).filter_map(page).collect()
}

#[test]
fn a_log_may_end_at_any_of_its_pages() {
    for (name, checkpoint, most) in
        [("windows-interrupted-1.img", 0x10_63f0, 60), ("checkdisk-dirty-big-win.img", 0x200_4408, 20)]
    {
        let Some(volume) = recorded(name) else { return };
        let volume = Disk::new(Memory::new(volume));
        let pages = pages(&volume);
        let mut ends: Vec<u64> = pages.iter().map(|page| page.2).filter(|end| *end > checkpoint).collect();
        ends.sort_unstable();
        ends.dedup();
        let step = ends.len().div_ceil(times(most, 1000) as usize);
        let (mut replayed, mut differ) = (0, 0);
        let whole = ours(&volume).unwrap().disk();
        for end in ends.into_iter().step_by(step) {
            let cut = Overlay::new(volume.clone()).unwrap();
            for (place, last, ends) in &pages {
                // The last record of a page may go on in the next one, which is gone.
                if *ends > end || *last > end && *ends < end {
                    cut.writer().write_at(&[0xff; PAGE as usize], *place).unwrap();
                }
            }
            match (ours(&cut.disk()), oracle(&cut.disk())) {
                (Ok(ours), Ok(theirs)) => {
                    same(&ours, &theirs, &format!("{name}, cut at {end:#x}"));
                    replayed += 1;
                    let other = ours.dirty().iter().any(|range| {
                        let len = (range.end - range.start).min(PAGE) as usize;
                        let read = |disk: &Disk| disk.read_vec(range.start, len).unwrap();
                        read(&ours.disk()) != read(&whole)
                    });
                    differ += u64::from(other);
                }
                (Err(_), Err(_)) => {}
                (ours, theirs) => panic!("{name}, cut at {end:#x}: {:?} {:?}", ours.err(), theirs.err()),
            }
        }
        assert!(replayed > 5 && differ > 3, "{name}: {replayed} logs were replayed, {differ} to another end");
    }
}
