//! VHDs, judged by qemu-img.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use block::testing::conformance;
use block::{Chunk, Disk, ErrorKind, FileDisk, Memory, Sink};
use image::vhd::{self, FixedSink, Identity};
use image::{Backing, Format, Output};
use testimages::judge;

const IDENTITY: Identity = Identity { uuid: *b"refloat identity", timestamp: 800_000_000 };

/// A VHD of a disk of `size` bytes that is empty but for its first and last bytes.
fn write(path: &Path, size: u64) {
    let sink = FixedSink::create(&Output::new(path), size, IDENTITY).unwrap();
    sink.put(Chunk::Data { offset: 0, bytes: b"first" }).unwrap();
    sink.put(Chunk::Data { offset: size - 4, bytes: b"last" }).unwrap();
    assert!(!path.exists(), "must not look finished");
    let receipt = Box::new(sink).finish(None).unwrap();
    assert_eq!(receipt.written, 9);
}

fn file(path: &Path) -> Disk {
    Disk::new(FileDisk::open(path).unwrap())
}

/// Sizes that are not whole cylinders and not whole MiB, past every branch of the geometry, and beyond its
/// 127 GiB.
const SIZES: [u64; 10] = [
    1,
    (20 << 20) + 512,
    (64 << 20) - 512,
    64 << 20,
    (511 << 20) + 12345,
    1 << 30,
    (127 << 30) + 7,
    2040 << 30,
    (2 << 40) + (5 << 20),
    32 << 40,
];

#[test]
fn qemu_sees_the_whole_disk_whatever_its_size() {
    // tmpfs: ext4 has no files of 32 TiB.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    for size in SIZES.into_iter().filter(|size| *size > 8) {
        let path = folder.path().join("disk.vhd");
        write(&path, size);
        let padded = size.next_multiple_of(1 << 20);
        assert_eq!(path.metadata().unwrap().size(), padded + 512);
        assert!(path.metadata().unwrap().blocks() < 64, "must be sparse");

        let disk = vhd::open(file(&path)).unwrap();
        assert_eq!(disk.size(), padded);
        let mut last = [0; 4];
        disk.read_at(&mut last, size - 4).unwrap();
        assert_eq!(&last, b"last");
        assert_eq!(vhd::check(&path).unwrap().findings.iter().filter(|f| !f.ok && f.id != "size").count(), 0);

        // Larger ones than 2040 GiB qemu does not open.
        if padded <= 2040 << 30 && judge::need("qemu-img").is_some() {
            let info = judge::qemu_img_info(&path, "vpc");
            assert_eq!(info["virtual-size"].as_u64(), Some(padded), "size {size}");
            assert_eq!(info["format"].as_str(), Some("vpc"));
        }
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn qemu_reads_the_same_content() {
    if judge::need("qemu-img").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (vhd, raw) = (folder.path().join("disk.vhd"), folder.path().join("disk.raw"));
    let size = (37 << 20) + 4096;
    write(&vhd, size);
    let mut bytes = vec![0; 38 << 20];
    bytes[..5].copy_from_slice(b"first");
    bytes[size as usize - 4..size as usize].copy_from_slice(b"last");
    std::fs::write(&raw, bytes).unwrap();
    judge::qemu_img_compare((&vhd, "vpc"), (&raw, "raw"));
}

#[test]
fn our_footer_differs_from_qemus_in_identity_and_geometry_only() {
    if judge::need("qemu-img").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (raw, theirs) = (folder.path().join("disk.raw"), folder.path().join("theirs.vhd"));
    for size in [64_u64 << 20, 513 << 20, 5 << 30, 127 << 30] {
        std::fs::File::create(&raw).unwrap().set_len(size).unwrap();
        judge::qemu_img_convert((&raw, "raw"), (&theirs, "vpc"), "subformat=fixed,force_size=on");
        assert!(vhd::check(&theirs).unwrap().well_formed());
        let ours = folder.path().join(format!("ours-{size}.vhd"));
        write(&ours, size);
        let footer = |path: &Path| {
            let mut footer = file(path).read_vec(size, 512).unwrap();
            footer[24..28].fill(0); // time
            footer[32..36].fill(0); // creator version
            footer[56..60].fill(0); // geometry: with force_size, qemu always writes the largest
            footer[64..84].fill(0); // checksum, id
            footer
        };
        assert_eq!(footer(&ours), footer(&theirs));
    }
}

#[test]
fn our_geometry_is_qemus() {
    if judge::need("qemu-img").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (raw, theirs) = (folder.path().join("disk.raw"), folder.path().join("theirs.vhd"));
    for size in [1_u64 << 20, 64 << 20, 200 << 20, 513 << 20, 5 << 30, 60 << 30, 127 << 30] {
        std::fs::File::create(&raw).unwrap().set_len(size).unwrap();
        // Without force_size, qemu rounds the disk up to whole cylinders.
        judge::qemu_img_convert((&raw, "raw"), (&theirs, "vpc"), "subformat=fixed");
        let theirs = vhd::Image::read(file(&theirs)).unwrap();
        assert_eq!(vhd::Geometry::of_size(theirs.footer().size()), theirs.footer().geometry());
    }
}

/// Blocks of data, of zeros, and a last one of which the disk has but a part.
fn content(seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; (9 << 20) + 3072];
    for (block, unit) in bytes.chunks_mut(1 << 20).enumerate() {
        if block % 4 != 2 && block % 4 != 3 {
            unit.iter_mut().zip(0_usize..).for_each(|(byte, at)| *byte = (at / 97 + block) as u8 ^ seed);
        }
    }
    bytes
}

/// A dynamic VHD of `content` that qemu-img made; `None` without qemu-img.
fn dynamic(folder: &Path, name: &str, content: &[u8], options: &str) -> Option<PathBuf> {
    judge::need("qemu-img")?;
    let [raw, path] = ["raw", "vhd"].map(|kind| folder.join(format!("{name}.{kind}")));
    std::fs::write(&raw, content).unwrap();
    judge::qemu_img_convert((&raw, "raw"), (&path, "vpc"), options);
    Some(path)
}

fn open(path: &Path, backing: &Backing) -> Result<Disk, block::Error> {
    Ok(vhd::FORMAT.open(path, backing, &block::Silent)?.disk)
}

#[test]
fn dynamic_disks_are_read_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = dynamic(folder.path(), "disk", &content(0), "subformat=dynamic,force_size=on") else {
        return;
    };
    conformance::read(&vhd::open(file(&path)).unwrap(), &content(0));
    let layers = vhd::FORMAT.open(&path, &Backing::Deny, &block::Silent).unwrap().layers;
    assert_eq!(layers[0].text, r#"dynamic, blocks of 2048 KiB, made by "qem2""#);
    assert!(!vhd::FORMAT.is_flat(&path), "must not be changed in place");
    let report = vhd::check(&path).unwrap();
    assert!(report.findings.iter().any(|f| f.id == "type" && !f.ok && f.text.contains("dynamic")));

    // Whole cylinders: the disk has grown.
    dynamic(folder.path(), "disk", &content(0), "subformat=dynamic").unwrap();
    let disk = open(&path, &Backing::Deny).unwrap();
    assert!(disk.size() > content(0).len() as u64);
    assert!(disk.read_vec(0, content(0).len()).unwrap() == content(0));
}

/// What Windows writes and QEMU does not: sectors that were never written, in blocks that were.
#[test]
fn sectors_that_were_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = dynamic(folder.path(), "disk", &content(0), "subformat=dynamic,force_size=on") else {
        return;
    };
    let mut image = Sparse::of(&path);
    let mut expected = content(0);
    // The highest bit is for the first sector.
    let block = image.block(0);
    image.bytes[block..block + 2].copy_from_slice(&[0b0111_1111, 0b1111_1110]);
    expected[..512].fill(0);
    expected[15 * 512..16 * 512].fill(0);
    conformance::read(&vhd::open(Disk::new(Memory::new(image.bytes))).unwrap(), &expected);
}

#[test]
fn differencing_disks_read_from_their_parent() {
    let folder = tempfile::tempdir().unwrap();
    let (base, top) = (content(0), content(0x55));
    let options = "subformat=dynamic,force_size=on";
    let Some(parent) = dynamic(folder.path(), "base", &base, options) else { return };
    let child = dynamic(folder.path(), "top", &top, options).unwrap();
    let id = Sparse::of(&parent).id();
    let mut image = Sparse::of(&child);
    let mut expected = top.clone();
    // The second block is nowhere, and so is the parent's; of the first, every other 4 KiB.
    let block = image.block(0);
    image.bytes[block..block + 512].copy_from_slice(&[0xff, 0].repeat(256));
    image.set_block(1, u32::MAX);
    for unit in (0..2 << 20).step_by(8192) {
        expected[unit + 4096..unit + 8192].copy_from_slice(&base[unit + 4096..unit + 8192]);
    }
    expected[2 << 20..4 << 20].copy_from_slice(&base[2 << 20..4 << 20]);
    image.differ_from(id, r".\base.vhd");
    std::fs::write(&child, &image.bytes).unwrap();

    let allowed = Backing::AllowIn(folder.path().to_owned());
    let content = vhd::FORMAT.open(&child, &allowed, &block::Silent).unwrap();
    let names: Vec<_> = content.layers.iter().map(|layer| layer.name).collect();
    assert_eq!(names, ["vhd", "parent", "vhd"]);
    assert_eq!(content.files.len(), 2);
    conformance::read(&content.disk, &expected);

    let refused = |backing: &Backing| open(&child, backing).unwrap_err();
    assert_eq!(refused(&Backing::Deny).kind(), ErrorKind::Refused);
    let elsewhere = tempfile::tempdir().unwrap();
    assert_eq!(refused(&Backing::AllowIn(elsewhere.path().to_owned())).kind(), ErrorKind::Refused);
    assert_eq!(vhd::open(file(&child)).unwrap_err().kind(), ErrorKind::Refused);
    // Another parent, none, and itself.
    dynamic(folder.path(), "base", &base, options).unwrap();
    assert_eq!(refused(&allowed).kind(), ErrorKind::Corrupt);
    std::fs::remove_file(&parent).unwrap();
    assert_eq!(refused(&allowed).kind(), ErrorKind::Io);
    image.differ_from(image.id(), "top.vhd");
    std::fs::write(&child, &image.bytes).unwrap();
    assert_eq!(refused(&allowed).kind(), ErrorKind::Corrupt);
}

#[test]
fn headers_and_tables_that_contradict_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = dynamic(folder.path(), "disk", &content(0), "subformat=dynamic,force_size=on") else {
        return;
    };
    let refused = |change: &dyn Fn(&mut Sparse), text: &str| {
        let mut image = Sparse::of(&path);
        change(&mut image);
        let error = match vhd::open(Disk::new(Memory::new(image.bytes))) {
            Err(error) => error,
            Ok(disk) => disk.read_vec(0, disk.size() as usize).unwrap_err(),
        };
        assert_eq!((error.kind(), error.layer()), (ErrorKind::Corrupt, "vhd"), "{text}: {error}");
        assert!(error.to_string().contains(text), "{error}");
    };
    refused(&|image| image.bytes[512] = 0, "no header where");
    refused(&|image| image.bytes[600] ^= 1, "header checksum");
    refused(&|image| image.set_header(16, &[0xff; 8]), "the table does not lie");
    refused(&|image| image.set_header(28, &4_u32.to_be_bytes()), "has 5 blocks, the table 4");
    refused(&|image| image.set_header(32, &[0, 1, 0, 1]), "blocks of 65537");
    refused(&|image| image.set_block(0, 0xffff_fffe), "past the end");
    refused(&|image| image.bytes.truncate(3 << 20), "past the end");
}

/// A dynamic VHD in memory, to be changed.
struct Sparse {
    bytes: Vec<u8>,
}

impl Sparse {
    fn of(path: &Path) -> Self {
        Self { bytes: std::fs::read(path).unwrap() }
    }

    fn id(&self) -> [u8; 16] {
        self.bytes[68..84].try_into().unwrap()
    }

    fn entry(&self, block: usize) -> usize {
        u64::from_be_bytes(self.bytes[528..536].try_into().unwrap()) as usize + block * 4
    }

    /// Where the bitmap of a block is.
    fn block(&self, block: usize) -> usize {
        let at = self.entry(block);
        u32::from_be_bytes(self.bytes[at..at + 4].try_into().unwrap()) as usize * 512
    }

    fn set_block(&mut self, block: usize, entry: u32) {
        let at = self.entry(block);
        self.bytes[at..at + 4].copy_from_slice(&entry.to_be_bytes());
    }

    fn set_header(&mut self, at: usize, field: &[u8]) {
        let header = &mut self.bytes[512..1536];
        header[at..at + field.len()].copy_from_slice(field);
        fix_checksum(header, 36);
    }

    fn set_footer(&mut self, at: usize, field: &[u8]) {
        let end = self.bytes.len() - 512;
        for place in [0, end] {
            let footer = &mut self.bytes[place..place + 512];
            footer[at..at + field.len()].copy_from_slice(field);
            fix_checksum(footer, 64);
        }
    }

    /// Makes it differ from the disk with this id, which is called so.
    fn differ_from(&mut self, id: [u8; 16], relative: &str) {
        let name: Vec<u8> = relative.encode_utf16().flat_map(u16::to_le_bytes).collect();
        // Before the footer.
        let place = self.bytes.len() - 512;
        let footer = self.bytes.split_off(place);
        self.bytes.extend(&name);
        self.bytes.resize(place + 512, 0);
        self.bytes.extend(footer);
        self.set_footer(60, &4_u32.to_be_bytes());
        self.set_header(40, &id);
        let plain: Vec<u8> = r"C:\absent.vhd".encode_utf16().flat_map(u16::to_be_bytes).collect();
        self.set_header(64, &plain);
        self.set_header(576, b"W2ru");
        self.set_header(584, &(name.len() as u32).to_be_bytes());
        self.set_header(592, &(place as u64).to_be_bytes());
    }
}

/// The sum of all bytes but those of the sum itself, which is at `at`, inverted.
fn fix_checksum(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].fill(0);
    let sum = bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    bytes[at..at + 4].copy_from_slice(&(!sum).to_be_bytes());
}

#[test]
fn equal_sources_make_equal_files() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a.vhd"), folder.path().join("b.vhd"));
    write(&a, 3 << 20);
    write(&b, 3 << 20);
    assert_eq!(std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
}

#[test]
fn an_unfinished_vhd_is_no_vhd() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhd");
    let sink = FixedSink::create(&Output::new(&path), 3 << 20, IDENTITY).unwrap();
    sink.put(Chunk::Data { offset: 0, bytes: &[1; 4096] }).unwrap();
    // As after a crash: the file is there under its other name, and has no footer.
    let partial = file(&folder.path().join("disk.vhd.partial"));
    assert!(vhd::open(partial).is_err());
    drop(sink);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn chunks_outside_the_disk_and_sizes_outside_the_format_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhd");
    for size in [0, (32 << 40) + 1, u64::MAX] {
        let error = FixedSink::create(&Output::new(&path), size, IDENTITY).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    let sink = FixedSink::create(&Output::new(&path), 1 << 20, IDENTITY).unwrap();
    for offset in [(1 << 20) - 1, 1 << 20, u64::MAX] {
        let error = sink.put(Chunk::Data { offset, bytes: b"xy" }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfRange);
    }
}

/// One bit of the footer at a time: it is told, and the disk is all before the footer.
#[test]
fn every_damaged_footer_is_told_and_nothing_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhd");
    write(&path, 1 << 20);
    let bytes = std::fs::read(&path).unwrap();
    let of = |bytes: Vec<u8>| vhd::Image::read(Disk::new(Memory::new(bytes)));
    assert_eq!(of(bytes.clone()).unwrap().faults(), []);
    for bit in 0..512 * 8 {
        let mut bytes = bytes.clone();
        bytes[(1 << 20) + bit / 8] ^= 1 << (bit % 8);
        match of(bytes.clone()) {
            Ok(image) => {
                let faults = image.faults();
                let is_told =
                    matches!(faults, [vhd::Fault::Checksum(_)]) && bit >= 64 || faults == [vhd::Fault::Mark];
                assert!(is_told, "bit {bit}: {image:?}");
                assert_eq!(image.footer().size(), 1 << 20);
                assert!(vhd::open(Disk::new(Memory::new(bytes))).unwrap().size() == 1 << 20);
            }
            // Another type or version.
            Err(error) => {
                assert!([12..16, 60..64].iter().any(|field| field.contains(&(bit / 8))), "{error}")
            }
        }
    }
    for cut in [0, 1, 511, 512, 513, 1 << 20] {
        assert!(of(bytes[..cut].to_vec()).is_err(), "cut at {cut}");
    }
    // As programs before Virtual PC 2004 wrote it.
    let short = bytes[..bytes.len() - 1].to_vec();
    let image = of(short.clone()).unwrap();
    assert_eq!((image.faults(), image.footer().size()), (&[vhd::Fault::Short][..], 1 << 20));
    conformance::read(&vhd::open(Disk::new(Memory::new(short))).unwrap(), &bytes[..1 << 20]);
    // Bytes behind it, and none of its marks where they are looked for.
    for behind in [1, 512, 4096, 10_000] {
        let longer = Disk::new(Memory::new([bytes.clone(), vec![7; behind]].concat()));
        assert_eq!(vhd::footer_before_end(&longer).unwrap(), Some(1 << 20), "{behind}");
        let error = Format::probe_named(Path::new("disk.vhd"), &longer).unwrap_err();
        assert!(error.to_string().contains("truncate -s 1049088"), "{error}");
    }
}

/// A name that promises a format, and no mark of it: never a raw disk.
#[test]
fn a_file_without_the_marks_that_its_name_promises() {
    let file = Disk::new(Memory::new(vec![7; 4096]));
    for name in ["a.qcow2", "a.vmdk", "a.VHDX", "a.vdi", "a.ova", "a.raw.gz", "a.raw.zst"] {
        let error = Format::probe_named(Path::new(name), &file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("raw:FILE"), "{error}");
    }
    // What is not read at all, marked or not.
    for name in ["a.img.br", "a.LZMA", "a.lz4", "a.zip", "a.Z"] {
        let error = Format::probe_named(Path::new(name), &file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(
            error.to_string().contains("unpack it first") && error.to_string().contains("raw:FILE"),
            "{error}"
        );
    }
    for name in ["a.raw", "a.img", "a", "a.vhd", "a-flat.vmdk", "a.bin"] {
        assert_eq!(Format::probe_named(Path::new(name), &file).unwrap().name, "raw", "{name}");
    }
}

/// Files whose length is not what their footer says, as a resize or an interrupted copy leaves them.
#[test]
fn files_that_are_too_long_or_too_short() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.vhd");
    write(&path, 1 << 20);
    let whole = std::fs::read(&path).unwrap();
    let (payload, footer) = whole.split_at(1 << 20);
    let longer = [payload, &[7; 700], footer].concat();
    let image = vhd::Image::read(Disk::new(Memory::new(longer.clone()))).unwrap();
    assert_eq!(image.faults(), [vhd::Fault::Longer { told: 1 << 20, found: (1 << 20) + 700 }]);
    let disk = vhd::open(Disk::new(Memory::new(longer.clone()))).unwrap();
    assert_eq!(disk.read_vec(1 << 20, 1024).unwrap(), [vec![7; 700], vec![0; 324]].concat());
    std::fs::write(&path, longer).unwrap();
    assert!(!vhd::FORMAT.is_flat(&path));
    let shorter = [&payload[512..], footer].concat();
    assert_eq!(vhd::open(Disk::new(Memory::new(shorter))).unwrap_err().kind(), ErrorKind::Corrupt);
}

/// A dynamic disk whose end was never written, or was overwritten, has its footer at the start, too.
#[test]
fn a_dynamic_disk_is_known_by_the_copy_of_its_footer() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = dynamic(folder.path(), "disk", &content(0), "subformat=dynamic,force_size=on") else {
        return;
    };
    let whole = std::fs::read(&path).unwrap();
    let end = whole.len() - 512;
    let mut damaged = whole.clone();
    damaged[end + 100] ^= 1;
    for bytes in [whole[..end].to_vec(), damaged] {
        let image = vhd::Image::read(Disk::new(Memory::new(bytes.clone()))).unwrap();
        assert!(matches!(image.faults(), [vhd::Fault::Footer(_)]), "{image:?}");
        conformance::read(&vhd::open(Disk::new(Memory::new(bytes))).unwrap(), &content(0));
    }
}
