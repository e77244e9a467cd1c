//! Damaged physical volumes: refused or mapped inside their devices; never a panic, a hang, or memory without
//! bounds.

use std::fs::File;
use std::ops::Range;

use block::{Concat, Disk, FileDisk, Memory as Bytes, Zeros};
use testimages::hostile::{Memory, Rng, cases, damage, mangle};
use testimages::lvm::{self, Devices};
use volume::lvm2::scan;

#[global_allocator]
static MEMORY: Memory = Memory;

/// For the binary structures, and for the text.
const CASES: u64 = 10_000;
/// What the tests of this file may hold together.
const CEILING: usize = 64 << 20;
const SIZE: u64 = 24 << 20;
/// What is kept of the start: the label, the header of the metadata area, and the first texts of its ring.
const HEAD: usize = 32 << 10;
const LABEL: Range<usize> = 512..1024;
const AREA: Range<usize> = 4096..4608;

/// The starts of two physical volumes of one group, which has linear and striped volumes; `None` without
/// lvm2.
fn physical_volumes() -> Option<[Vec<u8>; 2]> {
    if !lvm::need() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a", "b"].map(|name| folder.path().join(name));
    for path in &paths {
        File::create(path).unwrap().set_len(SIZE).unwrap();
    }
    let devices = Devices::over(&[(&paths[0], 0..SIZE), (&paths[1], 0..SIZE)]);
    devices.lvm("vgcreate", &["-s", "256k", "vg0", devices.path(0), devices.path(1)]);
    for options in [["-i", "1", "-L", "2m", "-n", "root"], ["-i", "2", "-L", "4m", "-n", "both"]] {
        devices.lvm("lvcreate", &[&["-an", "-Zn", "-Wn", "vg0"], &options[..]].concat());
    }
    devices.lvm("lvextend", &["-L", "8m", "vg0/root"]);
    Some(paths.map(|path| FileDisk::open(&path).unwrap().disk().read_vec(0, HEAD).unwrap()))
}

fn disk(head: &[u8]) -> Disk {
    let rest = Zeros::new(SIZE - head.len() as u64);
    Disk::new(Concat::new(vec![Disk::new(Bytes::new(head.to_vec())), Disk::new(rest)]).unwrap())
}

/// Scans, opens all that can be opened, and reads a little of it; says how many volumes opened.
fn open(heads: &[Vec<u8>]) -> usize {
    let named: Vec<_> = heads.iter().map(|head| ("device".to_owned(), disk(head))).collect();
    let disks: Vec<_> = named.iter().map(|(_, disk)| disk.clone()).collect();
    let scan = scan(&named).unwrap();
    let mut opened = 0;
    for volume in scan.groups.iter().flat_map(|group| &group.volumes) {
        let Ok(map) = &volume.map else { continue };
        // What a scan gives fits the devices that it was given.
        let volume = map.open(&disks).unwrap();
        for at in [0, volume.size() / 2, volume.size().saturating_sub(4096)] {
            let len = 4096.min(volume.size() - at) as usize;
            volume.read_vec(at, len).unwrap();
        }
        opened += 1;
    }
    opened
}

fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

fn fix_label(head: &mut [u8]) {
    let sum = checksum(&head[LABEL.start + 20..LABEL.end]);
    head[LABEL.start + 16..LABEL.start + 20].copy_from_slice(&sum.to_le_bytes());
}

fn fix_area(head: &mut [u8]) {
    let sum = checksum(&head[AREA.start + 4..AREA.end]);
    head[AREA.start..AREA.start + 4].copy_from_slice(&sum.to_le_bytes());
}

fn field(head: &[u8], at: usize) -> usize {
    u64::from_le_bytes(head[AREA.start + at..][..8].try_into().unwrap()) as usize
}

/// The text that counts.
fn text(head: &[u8]) -> Vec<u8> {
    head[AREA.start + field(head, 40)..][..field(head, 48)].to_vec()
}

/// Makes `text` the one that counts.
fn set_text(head: &mut [u8], text: &[u8]) {
    let text = &text[..text.len().min(HEAD - AREA.end)];
    head[AREA.end..][..text.len()].copy_from_slice(text);
    head[AREA.start + 40..AREA.start + 48].copy_from_slice(&512_u64.to_le_bytes());
    head[AREA.start + 48..AREA.start + 56].copy_from_slice(&(text.len() as u64).to_le_bytes());
    head[AREA.start + 56..AREA.start + 60].copy_from_slice(&checksum(text).to_le_bytes());
    fix_area(head);
}

#[test]
fn damaged_labels_and_areas() {
    let Some(whole) = physical_volumes() else { return };
    assert_eq!(open(&whole), 2);
    let mut opened = 0;
    cases("lvm2 structures", CASES, CEILING, |random| {
        let mut heads = whole.clone();
        let head = &mut heads[random.usize(..2)];
        if random.bool() {
            damage(random, &mut head[LABEL], 0..120);
        }
        if random.bool() {
            damage(random, &mut head[AREA], 0..64);
        }
        if random.u8(..4) > 0 {
            fix_label(head);
            fix_area(head);
        }
        opened += open(&heads);
    });
    assert!(opened > 1000, "no damage left anything to open");
}

#[test]
fn damaged_metadata() {
    let Some(whole) = physical_volumes() else { return };
    let original = text(&whole[0]);
    let numbers: Vec<_> =
        (1..original.len()).filter(|&at| original[at].is_ascii_digit() && original[at - 1] == b' ').collect();
    let mut opened = 0;
    cases("lvm2 metadata", CASES, CEILING, |random| {
        let mut heads = whole.clone();
        let mut text = original.clone();
        if random.bool() {
            number(random, &mut text, &numbers);
        } else {
            mangle(random, &mut text, 0..original.len());
        }
        set_text(&mut heads[0], &text);
        if random.bool() {
            set_text(&mut heads[1], &text);
        }
        opened += open(&heads);
    });
    assert!(opened > 1000, "no damage left anything to open");
}

/// Another number in the place of one.
fn number(random: &mut Rng, text: &mut Vec<u8>, numbers: &[usize]) {
    let at = numbers[random.usize(..numbers.len())];
    let end = at + text[at..].iter().position(|byte| !byte.is_ascii_digit()).unwrap();
    let large = [
        "18446744073709551615",
        "9223372036854775807",
        "36028797018963967",
        "4294967296",
        "99999999999999999999",
    ];
    let new = match random.u8(..3) {
        0 => large[random.usize(..large.len())].to_owned(),
        1 => random.u8(..8).to_string(),
        _ => random.u64(..).to_string(),
    };
    text.splice(at..end, new.bytes());
}

/// As much of everything as the text may hold.
#[test]
fn metadata_that_are_all_of_one_thing() {
    let Some(whole) = physical_volumes() else { return };
    let original = String::from_utf8(text(&whole[0])).unwrap();
    let room = HEAD - AREA.end - original.len();
    let fill = |unit: &str| unit.repeat(room / unit.len());
    for (place, unit) in [
        ("physical_volumes {\n", "a{}"),
        ("logical_volumes {\n", "a{id=\"x\" status=\"VISIBLE\"}"),
        ("segment1 {\n", "x=[]"),
        ("stripes = [\n", "1,"),
        ("stripes = [\n", "\"pv0\",0,"),
        ("vg0 {\n", "a{"),
        ("vg0 {\n", "#"),
        ("id = \"", "\\\""),
    ] {
        let text = original.replacen(place, &format!("{place}{}", fill(unit)), 1);
        let mut heads = whole.clone();
        set_text(&mut heads[0], text.as_bytes());
        cases("lvm2", 1, CEILING, |_| {
            open(&heads);
        });
    }
}
