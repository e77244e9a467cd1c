//! VMDK images of every kind that qemu-img makes, and of others, compared with what qemu-img reads.

use std::path::{Path, PathBuf};
use std::process::Command;

use block::testing::conformance;
use block::{Disk, ErrorKind, ExtentKind, FileDisk, Memory};
use image::Backing;
use image::vmdk::Image;
use testimages::{dissect, judge};

const GRAIN: usize = 64 << 10;
const SECTOR: usize = 512;

/// Data that compress well, data that do not, and holes; the last grain is not whole.
fn content() -> Vec<u8> {
    let mut bytes = vec![0; (40 * GRAIN) + 3 * SECTOR];
    let mut state = 0x5eed_u64;
    for (at, unit) in bytes.chunks_mut(24 << 10).enumerate() {
        match at % 7 {
            0 | 3 => unit.iter_mut().for_each(|byte| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (state >> 33) as u8;
            }),
            1 => unit.iter_mut().zip(0_usize..).for_each(|(byte, n)| *byte = (n / 97 + at) as u8),
            2 => unit[..SECTOR].fill(at as u8 | 1),
            _ => {}
        }
    }
    bytes[12 * GRAIN..20 * GRAIN].fill(0);
    bytes
}

/// A folder with `disk.raw` in it; `None` without QEMU's programs.
fn folder() -> Option<(tempfile::TempDir, PathBuf)> {
    if !judge::need_all(&["qemu-img", "qemu-io"]) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("disk.raw");
    std::fs::write(&raw, content()).unwrap();
    Some((folder, raw))
}

fn theirs(image: &Path) -> Vec<u8> {
    let out = image.with_extension("theirs");
    judge::qemu_img_convert((image, "vmdk"), (&out, "raw"), "");
    std::fs::read(out).unwrap()
}

fn allowed(path: &Path) -> Backing {
    Backing::AllowIn(path.parent().unwrap().to_owned())
}

fn open(path: &Path) -> Disk {
    Image::open(path, &allowed(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display())).disk()
}

fn alone(bytes: Vec<u8>) -> block::Result<Image> {
    Image::open_alone(Disk::new(Memory::new(bytes)))
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

fn le32(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

#[test]
fn every_subformat_of_qemu_img() {
    let Some((folder, raw)) = folder() else { return };
    for (options, files) in [
        ("subformat=monolithicSparse", 1),
        ("subformat=monolithicSparse,zeroed_grain=on,adapter_type=lsilogic", 1),
        ("subformat=monolithicFlat", 2),
        ("subformat=twoGbMaxExtentSparse", 2),
        ("subformat=twoGbMaxExtentFlat", 2),
        ("subformat=streamOptimized", 1),
        ("subformat=streamOptimized,compat6=on", 1),
    ] {
        let path = folder.path().join("disk.vmdk");
        judge::qemu_img_convert((&raw, "raw"), (&path, "vmdk"), options);
        let image = Image::open(&path, &allowed(&path)).unwrap();
        let expected = theirs(&path);
        assert!(expected.starts_with(&content()), "{options}");
        conformance::read(&image.disk(), &expected);
        dissect::reads("vmdk", &path, None, &expected);
        assert_eq!(image.files().len(), files, "{options}");
        let text = &image.layers().last().unwrap().text;
        assert!(options.contains(text.split(',').next().unwrap()), "{options}: {text}");
        // The hole of many grains is known to be one, whatever the kind.
        let hole = image.disk().extent_at(12 * GRAIN as u64..20 * GRAIN as u64).unwrap();
        assert_eq!((hole.kind, hole.len), (ExtentKind::Zero, 8 * GRAIN as u64), "{options}");
        let denied = Image::open(&path, &Backing::Deny);
        match files {
            1 => assert!(denied.is_ok()),
            _ => assert_eq!(denied.unwrap_err().kind(), ErrorKind::Refused),
        }
    }
}

/// All tables of a large disk are there from the start: those in a hole of the file are not read one by one.
#[test]
fn a_large_disk_takes_no_longer_than_its_data() {
    let Some((folder, _)) = folder() else { return };
    let path = folder.path().join("large.vmdk");
    judge::run(Command::new("qemu-img").args(["create", "-q", "-f", "vmdk"]).arg(&path).arg("4T"));
    let write = ["-c", "write -P 0x55 0 64k", "-c", "write -P 0x66 2199023255552 64k"];
    judge::run(Command::new("qemu-io").args(["-f", "vmdk"]).args(write).arg(&path));
    let disk = open(&path);
    let extents: Vec<_> = disk.extents(0..disk.size()).map(|run| run.unwrap()).collect();
    assert!(extents.len() <= 6, "{} runs", extents.len());
    let data: Vec<_> =
        extents.iter().filter(|(_, kind)| *kind != ExtentKind::Zero).map(|(at, _)| at.clone()).collect();
    assert_eq!(data, [0..GRAIN as u64, 1 << 41..(1 << 41) + GRAIN as u64]);
    assert_eq!(disk.read_vec(1 << 41, 512).unwrap(), [0x66; 512]);
    let mut runs = 0;
    let mut at = GRAIN as u64;
    while at < 1 << 41 {
        at += disk.extent_at(at..disk.size()).unwrap().len;
        runs += 1;
    }
    assert!(runs <= 4, "{runs} looks at a hole of 2 TiB");
}

/// A disk of more than 2 GiB is in several files, and is the same as its raw image.
#[test]
fn split_disks() {
    let Some((folder, _)) = folder() else { return };
    let raw = folder.path().join("large.raw");
    let file = std::fs::File::create(&raw).unwrap();
    file.set_len((5 << 30) + 3 * SECTOR as u64).unwrap();
    for place in [0, (2 << 30) - 40_000, (4 << 30) - 100, (5 << 30) - 1000] {
        std::os::unix::fs::FileExt::write_all_at(&file, &content()[..100_000.min(GRAIN)], place).unwrap();
    }
    let size = file.metadata().unwrap().len();
    for kind in ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat"] {
        let path = folder.path().join(format!("{kind}.vmdk"));
        judge::qemu_img_convert((&raw, "raw"), (&path, "vmdk"), &format!("subformat={kind}"));
        let image = Image::open(&path, &allowed(&path)).unwrap();
        assert_eq!(image.files().len(), 4);
        let disk = image.disk();
        // What does not fit into a grain is what qemu-img makes of it.
        assert!(disk.size() >= size);
        let (ours, theirs) = (disk.slice(0..size).unwrap(), FileDisk::open(&raw).unwrap().disk());
        let found = block::compare(&ours, &theirs, &block::CopyOptions::default(), &block::Silent);
        assert_eq!(found.unwrap(), None);

        // Of a piece alone nobody knows what it is a piece of.
        let piece = folder.path().join(format!("{kind}-s001.vmdk"));
        if piece.exists() {
            let error = Image::open(&piece, &Backing::Deny).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert!(error.to_string().contains("a piece of a split disk"), "{error}");
        }
    }
}

#[test]
fn a_disk_on_another_one_is_read_behind_the_gate() {
    let Some((folder, raw)) = folder() else { return };
    let [base, child] = ["base.vmdk", "child.vmdk"].map(|name| folder.path().join(name));
    judge::qemu_img_convert((&raw, "raw"), (&base, "vmdk"), "");
    let create = |parent: &Path, path: &Path| {
        let mut qemu_img = Command::new("qemu-img");
        qemu_img.args(["create", "-q", "-f", "vmdk", "-F", "vmdk", "-b"]).args([parent, path]);
        judge::run(&mut qemu_img);
    };
    let write = |path: &Path, commands: &[&str]| {
        let mut qemu_io = Command::new("qemu-io");
        qemu_io.args(["-f", "vmdk"]);
        commands.iter().for_each(|command| {
            qemu_io.args(["-c", *command]);
        });
        judge::run(qemu_io.arg(path));
    };
    create(&base, &child);
    write(&child, &["write -P 0x11 100k 70k", "write -P 0x22 800k 1k", "write -P 0 2M 64k"]);
    let grandchild = folder.path().join("grandchild.vmdk");
    create(&child, &grandchild);
    write(&grandchild, &["write -P 0x33 130k 4k"]);
    for path in [&child, &grandchild] {
        let expected = theirs(path);
        conformance::read(&open(path), &expected);
        dissect::reads("vmdk", path, None, &expected);
    }
    let image = Image::open(&grandchild, &allowed(&child)).unwrap();
    assert_eq!((image.files().len(), image.layers().len()), (3, 5));
    for gate in [Backing::Deny, Backing::AllowIn("/usr".into())] {
        assert_eq!(Image::open(&child, &gate).unwrap_err().kind(), ErrorKind::Refused);
    }
    // In an archive there is no other file.
    let error = alone(std::fs::read(&child).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");

    let good = std::fs::read(&base).unwrap();
    write(&base, &["write -P 0x44 0 1k"]);
    let error = Image::open(&child, &allowed(&child)).unwrap_err();
    assert!(
        error.to_string().contains("written since") && error.to_string().contains("base.vmdk"),
        "{error}"
    );
    std::fs::write(&base, good).unwrap();
    assert!(Image::open(&child, &allowed(&child)).is_ok());
    // A chain that comes back to where it was.
    std::fs::copy(&grandchild, &base).unwrap();
    let error = Image::open(&child, &allowed(&child)).unwrap_err();
    assert!(error.to_string().contains("loop"), "{error}");
}

#[test]
fn extents_of_several_kinds_in_one_disk() {
    let Some((folder, raw)) = folder() else { return };
    let path = |name: &str| folder.path().join(name);
    // Whole grains: of others QEMU reads more than the extent has.
    let whole = content()[..40 * GRAIN].to_vec();
    std::fs::write(&raw, &whole).unwrap();
    judge::qemu_img_convert((&raw, "raw"), (&path("two.vmdk"), "vmdk"), "subformat=twoGbMaxExtentSparse");
    let sectors = whole.len() / SECTOR;
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=1234abcd\nparentCID=ffffffff\ncreateType=\"twoGbMaxExtentSparse\"\n\
         RW 100 FLAT \"disk.raw\" 7\nRW {sectors} SPARSE \"two-s001.vmdk\"\nRW 9 ZERO\nRW 3 FLAT \"disk.raw\" 0\n"
    );
    let descriptor = path("custom.vmdk");
    std::fs::write(&descriptor, &text).unwrap();
    let expected =
        [&whole[7 * SECTOR..107 * SECTOR], &whole, &[0; 9 * SECTOR], &whole[..3 * SECTOR]].concat();
    conformance::read(&open(&descriptor), &expected);
    // QEMU does not know extents of zeros; of the others it reads the same.
    std::fs::write(&descriptor, text.replace("RW 9 ZERO\n", "")).unwrap();
    conformance::read(&open(&descriptor), &theirs(&descriptor));

    let secret = tempfile::NamedTempFile::new().unwrap();
    let outside = format!("\"{}\"", secret.path().display());
    for (name, kind, why) in [
        ("\"../none.raw\"", ErrorKind::Io, "cannot find"),
        (outside.as_str(), ErrorKind::Refused, "outside the allowed folder"),
        ("\"nbd://host/disk\"", ErrorKind::Unsupported, "no plain file"),
        ("\"none.raw\"", ErrorKind::Io, "none.raw"),
    ] {
        std::fs::write(&descriptor, text.replace("\"disk.raw\"", name)).unwrap();
        let error = Image::open(&descriptor, &allowed(&descriptor)).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    for (from, to, why) in [
        ("RW 100 FLAT", "RW 1000000 FLAT", "does not fit into"),
        ("RW 9 ZERO", "RW 18014398509481983 ZERO", "together"),
        (&*format!("RW {sectors} SPARSE"), "RW 999999 SPARSE", "an extent has"),
    ] {
        std::fs::write(&descriptor, text.replace(from, to)).unwrap();
        let error = Image::open(&descriptor, &allowed(&descriptor)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
}

/// A stream as VMware writes it, its directory and its header's copy at the end, after the specification.
struct Stream {
    bytes: Vec<u8>,
    directory: Vec<u32>,
    /// Pack the last grain whole, or what the disk has of it.
    whole: bool,
}

impl Stream {
    const TABLE: usize = 512;

    fn of(content: &[u8], whole: bool) -> Vec<u8> {
        let mut header = vec![0; SECTOR];
        put(&mut header, 0, b"KDMV");
        for (at, field) in [(4, 3_u32), (8, 0x30001), (44, Self::TABLE as u32)] {
            put(&mut header, at, &field.to_le_bytes());
        }
        let sectors = (content.len() / SECTOR) as u64;
        for (at, field) in [(12, sectors), (20, 128), (28, 1), (36, 20), (56, u64::MAX), (64, 128)] {
            put(&mut header, at, &field.to_le_bytes());
        }
        put(&mut header, 73, b"\n \r\n\x01\0");
        let text = format!(
            "# Disk DescriptorFile\nversion=1\nCID=7b13ab2e\nparentCID=ffffffff\n\
             createType=\"streamOptimized\"\nRDONLY {sectors} SPARSE \"disk.vmdk\"\n"
        );
        let mut bytes = header.clone();
        bytes.extend(text.as_bytes());
        bytes.resize(128 * SECTOR, 0);
        let mut stream = Self { bytes, directory: Vec::new(), whole };
        for (number, span) in content.chunks(Self::TABLE * GRAIN).enumerate() {
            stream.span(span, number * Self::TABLE * 128);
        }
        let directory: Vec<u8> = stream.directory.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        let place = stream.marked(2, &directory);
        put(&mut header, 56, &u64::from(place).to_le_bytes());
        stream.marked(3, &header);
        stream.marked(0, &[]);
        stream.bytes
    }

    fn span(&mut self, span: &[u8], first: usize) {
        let mut table = Vec::new();
        for (grain, sector) in span.chunks(GRAIN).zip((first..).step_by(128)) {
            let mut grain = grain.to_vec();
            if self.whole {
                grain.resize(GRAIN, 0);
            }
            if grain.iter().all(|byte| *byte == 0) {
                table.extend([0; 4]);
                continue;
            }
            table.extend(((self.bytes.len() / SECTOR) as u32).to_le_bytes());
            let mut packer = libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
            let mut packed = vec![0; packer.zlib_compress_bound(grain.len())];
            let len = packer.zlib_compress(&grain, &mut packed).unwrap();
            self.bytes.extend((sector as u64).to_le_bytes());
            self.bytes.extend((len as u32).to_le_bytes());
            self.bytes.extend(&packed[..len]);
            self.pad();
        }
        table.resize(4 * Self::TABLE, 0);
        let place = self.marked(1, &table);
        self.directory.push(place);
    }

    /// A marker, and what it stands before; gives the sector of that.
    fn marked(&mut self, kind: u32, data: &[u8]) -> u32 {
        self.bytes.extend((data.len().div_ceil(SECTOR) as u64).to_le_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_le_bytes());
        self.pad();
        let place = self.bytes.len() / SECTOR;
        self.bytes.extend(data);
        self.pad();
        place as u32
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(SECTOR), 0);
    }
}

#[test]
fn streams_with_their_directory_at_the_end() {
    let Some((folder, _)) = folder() else { return };
    for whole in [true, false] {
        let stream = Stream::of(&content(), whole);
        let path = folder.path().join("stream.vmdk");
        std::fs::write(&path, &stream).unwrap();
        let expected = content();
        conformance::read(&open(&path), &expected);
        if whole {
            assert_eq!(theirs(&path), expected, "QEMU reads it so");
        }
        // With the footer lost, or the directory that it names, the grains are found by their markers.
        let end = stream.len();
        for damage in [end - 1024..end - 1020, end - 1024..end - 512] {
            let mut damaged = stream.clone();
            damaged[damage].fill(0xee);
            let image = alone(damaged).unwrap();
            assert!(image.layers()[0].text.contains("without a directory"), "{:?}", image.layers());
            conformance::read(&image.disk(), &expected);
        }
        // Cut short: what is missing is not known.
        for cut in [end - 512, end - 1024, end - 3000, end / 2, 70_000] {
            let error = alone(stream[..cut].to_vec()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains("cut short"), "{error}");
        }
    }
}

#[test]
fn what_a_stream_says_wrongly_is_told() {
    let stream = Stream::of(&content(), true);
    let first = 128 * SECTOR;
    let damaged = |at: usize, field: &[u8]| {
        let mut bytes = stream.clone();
        put(&mut bytes, at, field);
        bytes
    };
    let cases: [(usize, &[u8], &str); 4] = [
        (first, &[128], "is marked as that of sector 128, and is that of sector 0"),
        (first + 8, &[0xff; 4], "a compressed grain of 4294967295 bytes"),
        (first + 12, &[0xff; 8], "a compressed grain is damaged"),
        (first + 8, &[9, 0, 0, 0], "a compressed grain is damaged"),
    ];
    for (at, field, text) in cases {
        let disk = alone(damaged(at, field)).unwrap().disk();
        for read in [disk.read_vec(0, GRAIN), disk.read_vec(10, 10)] {
            let error = read.unwrap_err();
            assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(first as u64)), "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
        assert!(disk.read_vec(GRAIN as u64, GRAIN).is_ok(), "the others are whole");
    }
    let footer = stream.len() - 1024;
    let error = alone(damaged(footer + 12, &[1])).unwrap_err();
    assert!(error.to_string().contains("the footer contradicts the header"), "{error}");
    // A walk that meets what is no marker.
    let mut bytes = damaged(footer, &[0]);
    put(&mut bytes, first + 8, &[0; 8]);
    bytes[first + 12] = 9;
    let error = alone(bytes).unwrap_err();
    assert!(error.to_string().contains("of no known type"), "{error}");
}

#[test]
fn a_damaged_directory_is_replaced_by_its_copy() {
    let Some((folder, raw)) = folder() else { return };
    let path = folder.path().join("disk.vmdk");
    judge::qemu_img_convert((&raw, "raw"), (&path, "vmdk"), "");
    let (good, expected) = (std::fs::read(&path).unwrap(), theirs(&path));
    let (copy, directory) = (le32(&good, 48) * SECTOR, le32(&good, 56) * SECTOR);
    let table = le32(&good, directory) * SECTOR;
    let far = [0, 0, 0, 0x70];
    let cases: [(usize, &[u8]); 3] = [(directory, &far), (56, &far), (table + 8, &far)];
    for (at, field) in cases {
        let mut bytes = good.clone();
        put(&mut bytes, at, field);
        conformance::read(&alone(bytes.clone()).unwrap().disk(), &expected);
        // Both damaged, or no copy.
        let mut both = bytes.clone();
        put(&mut both, copy, &far);
        bytes[8] &= !2;
        for bytes in [both, bytes] {
            let error = alone(bytes).and_then(|image| image.disk().read_vec(0, SECTOR)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.to_string().contains("past the end of the file"), "{error}");
        }
    }
}

#[test]
fn fields_that_contradict_each_other_or_the_file_are_refused() {
    let Some((folder, raw)) = folder() else { return };
    let path = folder.path().join("disk.vmdk");
    judge::qemu_img_convert((&raw, "raw"), (&path, "vmdk"), "");
    let good = std::fs::read(&path).unwrap();
    type Case<'a> = (usize, &'a [u8], ErrorKind, &'a str);
    let cases: [Case<'_>; 19] = [
        (4, &[0], ErrorKind::Unsupported, "version 0"),
        (4, &[4], ErrorKind::Unsupported, "version 4"),
        (10, &[1], ErrorKind::Unsupported, "without markers"),
        (10, &[3], ErrorKind::Unsupported, "compression of type 0"),
        (12, &[0xff; 8], ErrorKind::Corrupt, "an extent of"),
        (12, &[0, 0, 0, 0, 0, 0, 0x20], ErrorKind::Unsupported, "a grain directory of"),
        (20, &[0; 8], ErrorKind::Corrupt, "grains of 0"),
        (20, &[127], ErrorKind::Corrupt, "grains of 127"),
        (20, &[0, 0x20], ErrorKind::Corrupt, "grains of 8192"),
        (28, &[0; 8], ErrorKind::Refused, "a piece of a split disk"),
        (28, &[0xff; 8], ErrorKind::Corrupt, "a descriptor of"),
        (28, &[0, 0, 0, 1], ErrorKind::Corrupt, "the descriptor lies past the end"),
        (36, &[0, 0, 1], ErrorKind::Corrupt, "a descriptor of"),
        (44, &[0; 4], ErrorKind::Corrupt, "tables of 0"),
        (44, &[0, 4], ErrorKind::Corrupt, "tables of 1024"),
        (
            48,
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            ErrorKind::Corrupt,
            "redundant grain directory",
        ),
        (56, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], ErrorKind::Corrupt, "the grain directory"),
        (64, &[0xff; 8], ErrorKind::Corrupt, "the first grain"),
        (73, b"\n \n\n", ErrorKind::Corrupt, "moved as text"),
    ];
    for (at, field, kind, text) in cases {
        let mut bytes = good.clone();
        put(&mut bytes, at, field);
        let error = alone(bytes).unwrap_err();
        assert_eq!(error.kind(), kind, "{at}: {error}");
        assert!(error.to_string().contains(text), "{at}: {error}");
    }
    for len in [0, 64, 511, 600] {
        assert_eq!(alone(good[..len].to_vec()).unwrap_err().kind(), ErrorKind::Corrupt, "{len}");
    }
    let mut unclean = good.clone();
    unclean[72] = 1;
    let image = alone(unclean).unwrap();
    assert!(image.layers()[0].text.contains("not closed cleanly"), "{:?}", image.layers());
    // The last grains are cut off.
    let disk = alone(good[..good.len() - 2 * GRAIN].to_vec()).unwrap().disk();
    let errors = disk.extents(0..disk.size()).filter_map(Result::err).collect::<Vec<_>>();
    assert!(matches!(&*errors, [error] if error.kind() == ErrorKind::Corrupt), "{errors:?}");
}
