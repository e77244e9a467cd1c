//! Logs that are refused, by name and with nothing changed; and one that is in pieces, which is not.

use block::{Disk, Overlay};
use vfs::FsError;

use crate::replayed::ours;
use crate::support::script::{Script, le, script, single};
use testimages::ntfs::log_writer::{Change, protect, put};
use testimages::ntfs::structures::{Reader, Structures, attribute, log, short};

/// The volume with a log.
fn with(script: &Script, written: &[u8]) -> Disk {
    let volume = Overlay::new(script.volume.clone()).unwrap();
    volume.writer().write_at(written, log(&script.volume).0).unwrap();
    volume.disk()
}

fn refused(script: &Script, written: &[u8], named: &str) {
    let error = ours(&with(script, written)).map(|_| ()).expect_err(named);
    assert!(error.to_string().contains(named), "{named}: {error}");
}

#[test]
fn what_windows_has_not_shown_is_refused_by_its_name() {
    let script = script(4096);
    let change = &script.changes[0];
    for (opcode, name) in [
        (0x01, "CompensationLogRecord"),
        (0x04, "WriteEndOfFileRecordSegment"),
        (0x0a, "DeleteDirtyClusters"),
        (0x17, "HotFix"),
        (0x18, "EndTopLevelAction"),
        (0x19, "PrepareTransaction"),
        (0x1a, "CommitTransaction"),
        (0x22, "UpdateRecordDataAllocation"),
        (0x23, "UpdateRelativeDataInIndex"),
        (0x24, "UpdateRelativeDataInIndex2"),
        (0x26, "the operation 0x26"),
    ] {
        let written = single(&script, &Change { redo: (opcode, vec![0; 16]), ..change.clone() });
        let error = ours(&with(&script, &written)).unwrap_err();
        let said = matches!(&error, FsError::Unsupported(what) if what.contains(name));
        assert!(said, "{name}: {error}");
    }
    assert!(ours(&with(&script, &single(&script, change))).is_ok());
}

#[test]
fn a_change_in_the_wrong_place_is_refused() {
    let script = script(4096);
    let change = &script.changes[0];
    let (start, _) = log(&script.volume);
    let clusters = script.volume.size() / 4096;
    let elsewhere = |lcn: u64| single(&script, &Change { lcns: vec![lcn], ..change.clone() });
    refused(&script, &elsewhere(start / 4096 + 5), "in the log itself");
    refused(&script, &elsewhere(clusters), "is not on the volume");
    refused(&script, &elsewhere(0), "is not on the volume");
    refused(&script, &elsewhere(clusters / 3), "no whole block");
    // A record of the master file table that is another one on this volume.
    let table = change.lcns[0];
    refused(&script, &elsewhere(table + 1), "the log of another volume");
    let wrong = |attribute| single(&script, &Change { attribute, ..change.clone() });
    refused(&script, &wrong(0x40), "is in attribute 0xa0");
    refused(&script, &wrong(0x400), "is not open");
    let far = Change { place: (0x3f0, 0x300), ..change.clone() };
    refused(&script, &single(&script, &far), "UpdateResidentValue");
    let bits =
        Change { redo: (0x15, [le(0, 4), le(0xffff_ffff, 4)].concat()), attribute: 0x68, ..change.clone() };
    refused(&script, &single(&script, &bits), "bits are changed");
}

#[test]
fn a_page_that_cannot_be_read_is_not_the_end() {
    let script = script(4096);
    let written = single(&script, &script.changes[0]);
    // The newer of the two pages is a copy, and the first one is a copy as well.
    let mut torn = written.clone();
    torn[2 * 4096 + 510] ^= 1;
    refused(&script, &torn, "$LogFile");
    let mut neither = written;
    neither[510] ^= 1;
    neither[4096 + 510] ^= 1;
    refused(&script, &neither, "neither of its restart pages");
}

#[test]
fn a_log_in_pieces_is_replayed() {
    let script = script(4096);
    let (start, size) = log(&script.volume);
    let whole = with(&script, &single(&script, &script.changes[0]));
    let volume = Overlay::new(whole.clone()).unwrap();
    // Its first half is in clusters that were free, and where it was is something else.
    let (half, free) = (size / 8192 * 4096, script.volume.size() / 4096 / 4 * 3 * 4096);
    for at in (0..half).step_by(4096) {
        let page = whole.read_vec(start + at, 4096).unwrap();
        volume.writer().write_at(&page, free + at).unwrap();
        volume.writer().write_at(&[0x55; 4096], start + at).unwrap();
    }
    let reader = Reader::new(&whole);
    let mut record = reader.record(2).unwrap();
    let at = attribute(&record, 0x80).unwrap();
    let runs = at + short(&record, at + 32);
    let second = (start + half) as i64 - free as i64;
    let coded = [&[0x44][..], &le(half / 4096, 4), &le(free / 4096, 4), &[0x44]].concat();
    let coded = [&coded[..], &le((size - half) / 4096, 4), &le((second / 4096) as u64, 4), &[0]].concat();
    assert!(runs + coded.len() <= at + 64 + 24, "{}", record[at + 4]);
    let end = at + record[at + 4] as usize;
    let grown = (runs + coded.len()).next_multiple_of(8);
    let rest = record[end..end + 8].to_vec();
    record[grown..grown + 8].copy_from_slice(&rest);
    record[runs..runs + coded.len()].copy_from_slice(&coded);
    put(&mut record, at + 4, (grown - at) as u64, 4);
    put(&mut record, 24, (grown + 8) as u64, 4);
    let place = short(&record, 4);
    protect(&mut record, place);
    let table = reader.mft[0].1.unwrap() * 4096;
    volume.writer().write_at(&record, table + 2 * 1024).unwrap();
    let made = ours(&volume.disk()).unwrap().disk();
    assert_eq!(Structures::of(&made), Structures::of(&ours(&whole).unwrap().disk()));
    for place in [free, free + half - 4096, start + half, start + size - 4096] {
        assert!(made.read_vec(place, 4096).unwrap().iter().all(|byte| *byte == 0xff));
    }
    assert!(made.read_vec(start, 4096).unwrap().iter().all(|byte| *byte == 0x55));
}
