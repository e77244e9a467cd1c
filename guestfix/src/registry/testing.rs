//! Hives made from nothing, for tests.

use hive::bcd::{
    APPLICATION_DEVICE, APPLICATION_PATH, BOOT_MANAGER, DEFAULT_OBJECT, OS_DEVICE, Partition, SYSTEM_ROOT,
};
use hive::{Hive, Kind};

/// A number as it is stored.
pub(crate) fn dword(number: u32) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

/// A text as it is stored.
pub(crate) fn sz(text: &str) -> Vec<u8> {
    hive::text_data(text)
}

/// Where the root's cell is in the bins.
const ROOT: u32 = 32;
/// Where the descriptor's is.
const DESCRIPTOR: u32 = ROOT + 88;
/// Where the rest is free.
const FREE: u32 = DESCRIPTOR + 48;
/// A bin.
const BIN: u32 = 4096;

/// A hive with a root and nothing in it (regf specification).
fn empty() -> Vec<u8> {
    let word = |number: u32| number.to_le_bytes();
    let none = word(u32::MAX);
    let mut head = vec![0; 4096];
    head[..4].copy_from_slice(b"regf");
    for (at, number) in [(4, 1), (8, 1), (12, 1), (20, 1), (24, 5), (32, 1), (36, ROOT), (40, BIN), (44, 1)] {
        head[at..at + 4].copy_from_slice(&word(number));
    }
    let words = head[..508].chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    let sum = words.fold(0, |sum, word| sum ^ word);
    head[508..512].copy_from_slice(&word(sum));
    let mut bin = [&b"hbin"[..], &word(0), &word(BIN), &[0; 20]].concat();
    // The root: an nk cell of the name "r".
    bin.extend(word(88_u32.wrapping_neg()));
    bin.extend(b"nk\x2c\0\x01\0\0\0\0\0\0\0");
    bin.extend(
        [word(0), word(0), word(0), word(0), none, none, word(0), none, word(DESCRIPTOR), none].concat(),
    );
    bin.extend([0; 20]);
    bin.extend(b"\x01\0\0\0r");
    bin.resize(DESCRIPTOR as usize, 0);
    // Its descriptor: an sk cell that is a ring by itself, with one user.
    bin.extend(word(48_u32.wrapping_neg()));
    bin.extend(b"sk\0\0");
    bin.extend([word(DESCRIPTOR), word(DESCRIPTOR), word(1), word(20)].concat());
    bin.extend(b"\x01\0\0\x80");
    bin.resize(FREE as usize, 0);
    bin.extend(word(BIN - FREE));
    bin.resize(BIN as usize, 0);
    [head, bin].concat()
}

/// A value: its key, its name, its type and its data.
pub(crate) type Entry<'a> = (&'a str, &'a str, Kind, Vec<u8>);

/// The file of a hive with these values.
pub(crate) fn hive(values: &[Entry<'_>]) -> Vec<u8> {
    changed(empty(), |edit| {
        for (key, name, kind, data) in values {
            edit.create_key(key).unwrap();
            edit.set(key, name, *kind, data).unwrap();
        }
    })
}

/// The file of a hive, changed.
pub(crate) fn changed(file: Vec<u8>, change: impl FnOnce(&mut hive::Edit)) -> Vec<u8> {
    let mut edit = Hive::open(file).unwrap().edit(1).unwrap();
    change(&mut edit);
    edit.finish().unwrap().into_bytes()
}

/// The object of a loader in [`store`].
pub(crate) const LOADER: &str = "{5d5aac1a-0000-4000-8000-000000000001}";

/// The data of a device element: a partition (G. Chappell's notes, and real ones).
pub(crate) fn device(partition: Partition) -> Vec<u8> {
    let mut data = vec![0; 88];
    (data[16], data[24]) = (6, 0x48);
    match partition {
        Partition::Gpt { disk, partition } => {
            data[32..48].copy_from_slice(&partition.to_bytes_le());
            data[56..72].copy_from_slice(&disk.to_bytes_le());
        }
        Partition::Mbr { disk, start } => {
            data[32..40].copy_from_slice(&start.to_le_bytes());
            data[52] = 1;
            data[56..60].copy_from_slice(&disk.to_le_bytes());
        }
    }
    data
}

/// A boot configuration whose default entry starts the Windows of a partition.
pub(crate) fn store(partition: Partition) -> Vec<u8> {
    let element = |object: &str, number: u32| format!(r"Objects\{object}\Elements\{number:08x}");
    let names = [
        element(BOOT_MANAGER, DEFAULT_OBJECT),
        element(LOADER, APPLICATION_DEVICE),
        element(LOADER, APPLICATION_PATH),
        element(LOADER, OS_DEVICE),
        element(LOADER, SYSTEM_ROOT),
    ];
    let path = match partition {
        Partition::Gpt { .. } => r"\Windows\system32\winload.efi",
        Partition::Mbr { .. } => r"\Windows\system32\winload.exe",
    };
    hive(&[
        (&names[0], "Element", Kind::SZ, sz(LOADER)),
        (&names[1], "Element", Kind::BINARY, device(partition)),
        (&names[2], "Element", Kind::SZ, sz(path)),
        (&names[3], "Element", Kind::BINARY, device(partition)),
        (&names[4], "Element", Kind::SZ, sz(r"\Windows")),
    ])
}
