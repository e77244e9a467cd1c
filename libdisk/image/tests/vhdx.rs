//! VHDX: what qemu-img writes, and what Hyper-V writes, compared with what other readers make of it.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;

use block::testing::conformance;
use block::{Disk, ErrorKind, Memory};
use image::Backing;
use image::vhdx::Image;
use testimages::vhdx::{Change, Patch};
use testimages::{dissect, judge};

const MIB: usize = 1 << 20;
const LOG_GUID: [u8; 16] = *b"a log for a test";

/// Blocks of data, of zeros, and a last one of which the disk has but a part.
fn content(seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; 5 * MIB + 12288];
    for (block, unit) in bytes.chunks_mut(MIB).enumerate() {
        if block % 2 == 0 {
            unit.iter_mut().zip(0_usize..).for_each(|(byte, at)| *byte = (at / 97 + block) as u8 ^ seed);
        }
    }
    bytes
}

/// An image of `content` that qemu-img made; `None` without qemu-img.
fn made(folder: &Path, name: &str, content: &[u8], options: &str) -> Option<PathBuf> {
    judge::need("qemu-img")?;
    let [raw, path] = ["raw", "vhdx"].map(|kind| folder.join(format!("{name}.{kind}")));
    fs::write(&raw, content).unwrap();
    judge::qemu_img_convert((&raw, "raw"), (&path, "vhdx"), options);
    Some(path)
}

fn opened(path: &Path) -> Disk {
    Image::open(path, &Backing::Deny).unwrap().into_disk()
}

fn of(bytes: &[u8]) -> block::Result<Disk> {
    Image::of(Disk::new(Memory::new(bytes.to_vec()))).map(Image::into_disk)
}

/// What another reader makes of it.
fn theirs(mut reader: vhdx::VhdxReader) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(reader.virtual_disk_size()).unwrap()];
    reader.seek(SeekFrom::Start(0)).unwrap();
    reader.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn dynamic_and_fixed_images_are_read_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    for (options, text) in [
        ("", "dynamic, blocks of 8 MiB"),
        ("block_size=1M", "dynamic, blocks of 1 MiB"),
        ("subformat=fixed,block_size=2M", "fixed, blocks of 2 MiB"),
    ] {
        let Some(path) = made(folder.path(), "disk", &content(0), options) else { return };
        let layers = Image::open(&path, &Backing::Deny).unwrap().layers();
        assert_eq!(layers[0].text, text);
        conformance::read(&opened(&path), &content(0));
    }
}

#[test]
fn sectors_of_4096_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = made(folder.path(), "disk", &content(0), "block_size=1M") else { return };
    Patch::of(&path).sector_size(4096).write();
    let disk = opened(&path);
    assert_eq!(disk.sector_size(), 4096);
    conformance::read(&disk, &content(0));
    assert!(theirs(vhdx::VhdxReader::open(&path).unwrap()) == content(0));
}

/// A disk of more than one chunk: the entries of the sector bitmap lie between those of the blocks.
#[test]
fn disks_of_several_chunks() {
    let folder = tempfile::tempdir().unwrap();
    if judge::need("qemu-img").is_none() || judge::need("qemu-io").is_none() {
        return;
    }
    let path = folder.path().join("large.vhdx");
    let places: [u64; 4] = [(4 << 30) - 4096, 4 << 30, (8 << 30) - 4096, (12 << 30) - 4096];
    for block_size in ["1M", "256M"] {
        let mut create = Command::new("qemu-img");
        judge::run(
            create
                .args(["create", "-q", "-f", "vhdx", "-o"])
                .arg(format!("block_size={block_size}"))
                .arg(&path)
                .arg("12G"),
        );
        let mut io = Command::new("qemu-io");
        for (number, place) in places.iter().enumerate() {
            io.arg("-c").arg(format!("write -P {} {place} 4096", number + 1));
        }
        judge::run(io.args(["-f", "vhdx"]).arg(&path));
        let disk = opened(&path);
        let mut data = 0;
        for run in disk.extents(0..disk.size()) {
            let (range, kind) = run.unwrap();
            data += if kind == block::ExtentKind::Data { range.end - range.start } else { 0 };
        }
        assert!((16384..=32 << 20).contains(&data), "{data}");
        for (number, place) in places.iter().enumerate() {
            assert_eq!(disk.read_vec(*place, 4096).unwrap(), [number as u8 + 1; 4096], "{block_size}");
        }
        assert_eq!(disk.read_vec((4 << 30) + 4096, 4096).unwrap(), [0; 4096]);
    }
}

/// The states of a block of the child, in turn: there, not there, zeros, and there in part.
#[test]
fn differencing_disks_read_from_their_parent() {
    let folder = tempfile::tempdir().unwrap();
    let (base, top) = (content(0), content(0x55));
    let Some(parent) = made(folder.path(), "base", &base, "block_size=1M") else { return };
    let Some(child) = made(folder.path(), "top", &top, "block_size=1M") else { return };
    let linkage = Patch::of(&parent).data_write_guid();
    let mut patch = Patch::of(&child).parent(linkage, r".\base.vhdx");
    let mut expected = top.clone();
    // Block 1 is not there, and so is the parent's; block 2 of the parent's data is zero; 4 is there in part.
    patch.set_entry(2, 2);
    patch.set_entry(5, 0);
    expected[2 * MIB..3 * MIB].fill(0);
    expected[5 * MIB..].copy_from_slice(&base[5 * MIB..]);
    let mut bitmap = vec![0; 6 * 256];
    for sector in [0, 1, 9, 100, 2046, 2047].into_iter().chain(512..1024) {
        bitmap[4 * 256 + sector / 8] |= 1 << (sector % 8);
    }
    for sector in 0..2048 {
        let at = 4 * MIB + sector * 512;
        if bitmap[4 * 256 + sector / 8] & (1 << (sector % 8)) == 0 {
            expected[at..at + 512].copy_from_slice(&base[at..at + 512]);
        }
    }
    let bitmap = patch.append(&bitmap, MIB);
    patch.set_entry(4096, bitmap | 6);
    patch.set_entry(4, patch.entry(4) | 7);
    patch.write();

    let allowed = Backing::AllowIn(folder.path().to_owned());
    let image = Image::open(&child, &allowed).unwrap();
    let names: Vec<_> = image.layers().iter().map(|layer| layer.name).collect();
    assert_eq!(names, ["vhdx", "parent", "vhdx"]);
    conformance::read(&image.into_disk(), &expected);
    let parent_of_theirs = vhdx::VhdxReader::open(&parent).unwrap();
    let other = vhdx::VhdxReader::from_bytes_with_parent(patch.bytes.clone(), parent_of_theirs).unwrap();
    assert!(theirs(other) == expected);
    dissect::reads("vhdx", &child, None, &expected);

    let refused = |backing: &Backing| Image::open(&child, backing).unwrap_err();
    assert_eq!(refused(&Backing::Deny).kind(), ErrorKind::Refused);
    let elsewhere = tempfile::tempdir().unwrap();
    assert_eq!(refused(&Backing::AllowIn(elsewhere.path().to_owned())).kind(), ErrorKind::Refused);
    assert_eq!(of(&patch.bytes).unwrap_err().kind(), ErrorKind::Refused);
    // Another parent, and none.
    made(folder.path(), "base", &base, "block_size=1M");
    let error = refused(&allowed);
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    fs::remove_file(&parent).unwrap();
    assert_eq!(refused(&allowed).kind(), ErrorKind::Io);
    // Itself.
    Patch::of(&child).parent(Patch::of(&child).data_write_guid(), "top.vhdx").write();
    assert_eq!(refused(&allowed).kind(), ErrorKind::Corrupt);
}

/// The image whose table of blocks, and whose first block, are right only once the log was replayed; with
/// the pieces of the log.
fn with_log(path: &Path) -> (Patch, Vec<Vec<Change>>) {
    let mut patch = Patch::of(path);
    let bat = patch.bat;
    let table = patch.bytes[bat..bat + 4096].to_vec();
    let mut half = table.clone();
    half[16..].fill(0);
    patch.put(bat, &[0xa5; 4096]);
    let block = (patch.entry_of(&table, 4) & !7) as usize;
    let first = patch.bytes[block..block + 4096].to_vec();
    patch.put(block, &[0xee; 12288]);
    let place = block as u64;
    let second = Change::Data(place + 4096, first_of(path, block + 4096));
    let zeros = Change::Zero(place, 12288);
    let steps = vec![
        vec![Change::Data(bat as u64, half), zeros],
        vec![Change::Data(place, first), second],
        vec![Change::Data(bat as u64, table), Change::Data(place + 8192, first_of(path, block + 8192))],
    ];
    (patch, steps)
}

fn first_of(path: &Path, at: usize) -> Vec<u8> {
    fs::read(path).unwrap()[at..at + 4096].to_vec()
}

#[test]
fn a_log_is_replayed_wherever_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = made(folder.path(), "disk", &content(0), "block_size=1M") else { return };
    let (clean, steps) = with_log(&path);
    let ring = clean.log().1;
    let written = clean.bytes.len();
    // At the start, and over the end of the ring.
    for start in [0, 64 << 10, ring - 4096, ring - 16384] {
        let mut patch = Patch::of(&path);
        patch.bytes.clone_from(&clean.bytes);
        patch.set_log_guid(LOG_GUID);
        // Older entries, which were written to their places, some of another time.
        let stale = vec![Change::Data(0, vec![0xbb; 4096])];
        patch.put_log((start + (256 << 10)) % ring, LOG_GUID, 3, (start + (256 << 10)) % ring, &stale);
        patch.put_log((start + (300 << 10)) % ring, *b"another log guid", 99, 0, &stale);
        let mut at = start;
        for (number, changes) in (7..).zip(&steps) {
            at += patch.put_log(at % ring, LOG_GUID, number, start, changes);
        }
        assert_eq!(patch.bytes.len(), written);
        patch.write();
        let image = Image::open(&path, &Backing::Deny).unwrap();
        assert!(image.layers()[0].text.contains("3 log entries replayed"), "{:?}", image.layers());
        conformance::read(&image.into_disk(), &content(0));
        assert!(fs::read(&path).unwrap() == patch.bytes, "the file stays as it is");
        // Without the last entry, which was torn: what was before it.
        let mut torn = Patch::of(&path);
        torn.bytes.clone_from(&patch.bytes);
        let last = at - 3 * 4096;
        torn.put(torn.log().0 + (last + 8192) % ring, &[1; 100]);
        let layers = Image::of(Disk::new(Memory::new(torn.bytes.clone()))).unwrap().layers();
        assert!(layers[0].text.contains("2 log entries replayed"), "{layers:?}");
    }
}

/// QEMU makes logs of one entry, and takes no others for what they are.
#[test]
fn a_log_of_one_entry_is_replayed_as_qemu_does() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = made(folder.path(), "disk", &content(0), "block_size=1M") else { return };
    let (mut patch, steps) = with_log(&path);
    patch.set_log_guid(LOG_GUID);
    let start = patch.log().1 - 8192;
    patch.put_log(start, LOG_GUID, 7, start, &steps.concat());
    patch.write();
    let ours = opened(&path).read_vec(0, content(0).len()).unwrap();
    judge::run(Command::new("qemu-img").args(["check", "-q", "-r", "all", "-f", "vhdx"]).arg(&path));
    judge::qemu_img_compare((&path, "vhdx"), (&path.with_extension("raw"), "raw"));
    assert!(ours == content(0));
}

#[test]
fn what_cannot_be_replayed_is_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = made(folder.path(), "disk", &content(0), "block_size=1M") else { return };
    let (clean, steps) = with_log(&path);
    let refused = |change: &dyn Fn(&mut Patch), text: &str| {
        let mut patch = Patch::of(&path);
        patch.bytes.clone_from(&clean.bytes);
        patch.set_log_guid(LOG_GUID);
        let mut at = 0;
        for (number, changes) in (7..).zip(&steps) {
            at += patch.put_log(at, LOG_GUID, number, 0, changes);
        }
        change(&mut patch);
        let error = of(&patch.bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{text}: {error}");
        assert!(error.to_string().contains(text), "{error}");
    };
    let log = clean.log().0;
    refused(&|patch| patch.put(log, &[0; MIB]), "no whole sequence");
    // The oldest entry is gone.
    refused(&|patch| patch.put(log + 5000, &[9; 8]), "no whole sequence");
    refused(&|patch| patch.set_log_guid([7; 16]), "no whole sequence");
    refused(&|patch| patch.bytes.truncate(6 * MIB), "cut off");
    refused(
        &|patch| _ = patch.put_log(0, LOG_GUID, 20, 0, &[Change::Zero(1 << 50, 4096)]),
        "outside the file",
    );
    refused(&|patch| _ = patch.put_log(0, LOG_GUID, 20, 0, &[Change::Zero(8, 4096)]), "not of that entry");
}

#[test]
fn damaged_copies_and_fields_that_contradict_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = made(folder.path(), "disk", &content(0), "block_size=1M") else { return };
    let good = || Patch::of(&path);
    // One copy of each will do.
    for at in [64 << 10, 128 << 10, 192 << 10, 256 << 10] {
        let mut patch = good();
        patch.put(at + 5, &[0xff]);
        conformance::read(&of(&patch.bytes).unwrap(), &content(0));
    }
    let refused = |change: &dyn Fn(&mut Patch), kind: ErrorKind, text: &str| {
        let mut patch = good();
        change(&mut patch);
        let disk = of(&patch.bytes);
        let error = match disk {
            Err(error) => error,
            Ok(disk) => {
                let mut blocks = (0..disk.size()).step_by(MIB);
                blocks.find_map(|at| disk.read_vec(at, 512).err()).unwrap()
            }
        };
        assert_eq!((error.kind(), error.layer()), (kind, "vhdx"), "{text}: {error}");
        assert!(error.to_string().contains(text), "{error}");
    };
    use ErrorKind::{Corrupt, Unsupported};
    let both = |patch: &mut Patch, places: [usize; 2], len: usize, at: usize, bytes: &[u8]| {
        for place in places {
            patch.put(place + at, bytes);
            patch.seal(place, len);
        }
    };
    let header = |at: usize, bytes: &'static [u8]| {
        move |patch: &mut Patch| both(patch, [64 << 10, 128 << 10], 4096, at, bytes)
    };
    let region = |at: usize, bytes: &'static [u8]| {
        move |patch: &mut Patch| both(patch, [192 << 10, 256 << 10], 64 << 10, at, bytes)
    };
    refused(&|patch| patch.put(0, b"x"), Corrupt, "identifier");
    refused(&|patch| patch.bytes.truncate(1000), Corrupt, "shorter than its headers");
    refused(
        &|patch| [64 << 10, 128 << 10].into_iter().for_each(|at| patch.put(at, b"x")),
        Corrupt,
        "both copies of the header",
    );
    refused(&header(66, &[2, 0]), Unsupported, "version 2");
    refused(&header(72, &[1]), Corrupt, "the log does not lie");
    refused(
        &|patch| [192 << 10, 256 << 10].into_iter().for_each(|at| patch.put(at, b"x")),
        Corrupt,
        "both copies of the region table",
    );
    refused(&region(8, &[0xff, 0xff]), Corrupt, "both copies of the region table");
    refused(&region(16, &[0xab]), Corrupt, "no region for the blocks");
    let unknown = [&[0xab; 16][..], &[0; 12], &[1, 0, 0, 0]].concat();
    refused(&|patch| both(patch, [192 << 10, 256 << 10], 64 << 10, 16, &unknown), Unsupported, "the region");
    refused(&region(32, &[0xff; 8]), Corrupt, "does not lie in the file");
    let metadata = Patch::of(&path).metadata();
    for (item, field, kind, text) in [
        (0, &0x0001_8000_u32.to_le_bytes()[..], Corrupt, "blocks of"),
        (4, &2_u32.to_le_bytes(), Corrupt, "locator"),
        (8, &[0xff; 8], Corrupt, "a disk of"),
        (8, &[1, 2, 0], Corrupt, "a disk of"),
        (8, &(1_u64 << 44).to_le_bytes(), Corrupt, "table is too short"),
        (32, &[0, 4], Corrupt, "sectors of 1024"),
    ] {
        refused(&|patch| patch.put(metadata + (64 << 10) + item, field), kind, text);
    }
    refused(&|patch| patch.put(metadata, b"x"), Corrupt, "table of the metadata");
    refused(&|patch| patch.put(metadata + 10, &[0, 0]), Corrupt, "do not tell");
    refused(&|patch| patch.put(metadata + 32, &[1]), Unsupported, "required item");
    refused(&|patch| patch.put(metadata + 32 + 16, &[0xff; 4]), Corrupt, "their region");
    for (entry, text) in [
        (4, "state 4"),
        (7, "no parent"),
        (6, "lies at 0x0"),
        (0x10_0016, "by the entry"),
        (0x7fff_ffff_fff0_0006, "past the end"),
    ] {
        refused(&|patch| patch.set_entry(0, entry), Corrupt, text);
    }
    refused(&|patch| patch.bytes.truncate(patch.bytes.len() - MIB), Corrupt, "past the end");
}
