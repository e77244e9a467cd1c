//! Images that the usual programs have compressed, unpacked by us.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use block::testing::conformance;
use block::{Disk, ErrorKind, Event, EventKind, ExtentKind, Memory, Observer, Silent};
use image::packed::{BZIP2, GZIP, XZ, ZSTD, is_packed};
use image::{Backing, Content, FORMATS, Format};
use testimages::judge;

/// Data, a long hole, data, and a part of a sector.
fn content() -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    bytes[500_000..2_500_000].fill(0);
    bytes
}

/// Hears how much was read, and stops the work after so many bytes.
struct Patience {
    bytes: u64,
    heard: AtomicU64,
}

impl Observer for Patience {
    fn on(&self, event: Event) {
        if let EventKind::Advanced { bytes } = event.kind {
            self.heard.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn cancelled(&self) -> bool {
        self.heard.load(Ordering::Relaxed) > self.bytes
    }
}

#[test]
fn unpacking_is_watched_and_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let raw = raw(folder.path(), &content());
    for (format, program) in [(&GZIP, "gzip"), (&ZSTD, "zstd"), (&XZ, "xz"), (&BZIP2, "bzip2")] {
        if !judge::need_all(&[program]) {
            continue;
        }
        let path = folder.path().join("packed");
        std::fs::write(&path, packed(program, &["-1"], &raw)).unwrap();
        for bytes in [0, u64::MAX] {
            let observer = Patience { bytes, heard: AtomicU64::new(0) };
            let opened = format.open(&path, &Backing::Deny, &observer);
            let heard = observer.heard.into_inner();
            match bytes {
                0 => assert_eq!(opened.unwrap_err().kind(), ErrorKind::Cancelled, "{program}"),
                _ => assert_eq!((opened.is_ok(), heard), (true, path.metadata().unwrap().len()), "{program}"),
            }
        }
    }
}

/// What a program writes on its standard output.
fn packed(program: &str, options: &[&str], file: &Path) -> Vec<u8> {
    judge::run(Command::new(program).args(options).arg("-c").arg(file)).stdout
}

fn open(path: &Path) -> block::Result<Content> {
    let format = Format::probe(&block::open_file(path).unwrap()).unwrap();
    assert!(is_packed(format), "{format}");
    format.open(path, &Backing::Deny, &Silent)
}

fn raw(folder: &Path, content: &[u8]) -> PathBuf {
    let raw = folder.join("disk.raw");
    std::fs::write(&raw, content).unwrap();
    raw
}

#[test]
fn what_the_usual_programs_pack() {
    let folder = tempfile::tempdir().unwrap();
    let content = content();
    let raw = raw(folder.path(), &content);
    let expected = [&content[..], &[0; 512 - 3_000_000 % 512]].concat();
    let kinds: [(&Format, &str, &[&str]); 7] = [
        (&GZIP, "gzip", &["-1"]),
        (&ZSTD, "zstd", &["-q"]),
        (&ZSTD, "zstd", &["-q", "--long=27", "--no-check"]),
        (&XZ, "xz", &["-0"]),
        (&XZ, "xz", &["-0", "-T2", "--block-size=500000"]),
        (&XZ, "xz", &["-9", "--check=sha256"]),
        (&BZIP2, "bzip2", &["-1"]),
    ];
    for (format, program, options) in kinds {
        if !judge::need_all(&[program]) {
            continue;
        }
        let path = folder.path().join("packed");
        let whole = packed(program, options, &raw);
        std::fs::write(&path, &whole).unwrap();
        let opened = open(&path).unwrap();
        conformance::read(&opened.disk, &expected);
        assert_eq!(opened.layers[0].name, format.name);
        let text = &opened.layers[0].text;
        assert!(text.contains("3000000 bytes, of which") && !text.contains("of which 3000000"), "{text}");
        let hole = opened.disk.extent_at(600_000..2_000_000).unwrap();
        assert_eq!((hole.kind, hole.len), (ExtentKind::Zero, 1_400_000));
        assert_eq!(opened.files, std::slice::from_ref(&path));

        // Two of them, one after the other, are one.
        let twice = [&whole[..], &whole[..]].concat();
        std::fs::write(&path, twice).unwrap();
        assert_eq!(open(&path).unwrap().disk.size(), 6_000_128, "{program}");

        // Cut short, damaged, or with something behind it.
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 0x55;
        for bytes in [&whole[..whole.len() - 3], &whole[..whole.len() / 2], &damaged] {
            if options.contains(&"--no-check") && bytes.len() == whole.len() {
                continue;
            }
            std::fs::write(&path, bytes).unwrap();
            let error = open(&path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{program}: {error}");
        }
    }
}

/// What is sound, but asks for more memory than it is worth, is not called damaged.
#[test]
fn windows_that_are_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let raw = raw(folder.path(), &content());
    let kinds: [(&str, &[&str]); 2] = [
        ("xz", &["--lzma2=preset=0,dict=512MiB"]),
        ("zstd", &["-q", "--ultra", "--long=31", "--no-content-size"]),
    ];
    for (program, options) in kinds {
        if !judge::need_all(&[program]) {
            continue;
        }
        let path = folder.path().join("packed");
        // From a pipe: where the size is known, the window is no larger.
        let input = std::fs::File::open(&raw).unwrap();
        let output = judge::run(Command::new(program).args(options).arg("-c").stdin(input));
        std::fs::write(&path, output.stdout).unwrap();
        let error = open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{program}: {error}");
        assert!(error.to_string().contains("unpack it first"), "{error}");
    }
}

/// Zeros behind a stream are padding, as its own program has it; anything else is damage.
#[test]
fn padding_behind_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let raw = raw(folder.path(), &content());
    for program in ["gzip", "xz"] {
        if !judge::need_all(&[program]) {
            continue;
        }
        let path = folder.path().join("packed");
        let whole = packed(program, &["-1"], &raw);
        for (behind, is_sound) in [
            (vec![0; 4], true),
            (vec![0; 1 << 20], true),
            (b"more".to_vec(), false),
            (b"\0\0\0\0more".to_vec(), false),
        ] {
            std::fs::write(&path, [&whole[..], &behind].concat()).unwrap();
            let judged =
                Command::new(program).args(["-d", "-c"]).stdin(std::fs::File::open(&path).unwrap()).output();
            let judged = judged.unwrap();
            // gzip warns of what is no zero, and goes on: then a disk that was appended would be lost unseen.
            assert_eq!(judged.status.success(), is_sound, "{program} itself");
            let told = open(&path).map(drop).map_err(|error| error.to_string());
            assert_eq!(told.is_ok(), is_sound, "{program}");
            if let Err(told) = told {
                let wanted =
                    if program == "gzip" { "no gzip is behind" } else { "followed by something else" };
                assert!(told.contains(wanted), "{told}");
            }
        }
    }
}

/// 2 GiB of zeros in 2 MiB: it takes no room.
#[test]
fn zeros_take_no_room() {
    if !judge::need_all(&["zstd"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("disk.raw");
    std::fs::File::create(&raw).unwrap().set_len(2 << 30).unwrap();
    let path = folder.path().join("packed");
    std::fs::write(&path, packed("zstd", &["-q", "-1"], &raw)).unwrap();
    let opened = open(&path).unwrap();
    assert!(opened.layers[0].text.ends_with("of which 0 are kept there"), "{:?}", opened.layers);
    assert_eq!(opened.disk.extent_at(0..2 << 30).unwrap(), block::Extent::zero(2 << 30));
}

/// What is packed may be an image, if it needs no other file.
#[test]
fn images_within() {
    if !judge::need_all(&["qemu-img", "gzip"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let content = content()[..2_998_272].to_vec();
    let raw = raw(folder.path(), &content);
    for (format, options, is_opened) in [
        ("vmdk", "subformat=streamOptimized", true),
        ("vpc", "subformat=fixed,force_size=on", true),
        ("vdi", "", true),
        ("qcow2", "", false),
        ("vmdk", "subformat=monolithicFlat", false),
    ] {
        let image = folder.path().join("image");
        judge::qemu_img_convert((&raw, "raw"), (&image, format), options);
        let path = folder.path().join("packed");
        std::fs::write(&path, packed("gzip", &["-1"], &image)).unwrap();
        match open(&path) {
            Ok(opened) => {
                assert!(is_opened, "{format}");
                let size = content.len() as u64;
                let found = opened.disk.slice(0..size).unwrap();
                conformance::read(&found, &content);
            }
            Err(error) => {
                assert!(!is_opened, "{format}: {error}");
                let told = error.to_string();
                assert!(told.contains("within another file") || told.contains("in an archive"), "{told}");
            }
        }
    }
}

/// Whether a machine is in an archive that is packed, nobody looks.
#[test]
fn a_packed_tar_is_an_archive() {
    if !judge::need_all(&["tar", "gzip"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("disk.raw"), [1; 5000]).unwrap();
    let path = folder.path().join("d.tar.gz");
    let made =
        Command::new("tar").arg("-czf").arg(&path).arg("-C").arg(folder.path()).arg("disk.raw").status();
    assert!(made.unwrap().success());
    let told = open(&path).unwrap_err().to_string();
    assert!(told.contains("a tar archive within another file") && !told.contains("ova"), "{told}");
}

#[test]
fn formats_are_told_by_their_marks() {
    for (format, start) in
        [(&GZIP, &b"\x1f\x8b\x08"[..]), (&ZSTD, b"\x28\xb5\x2f\xfd"), (&XZ, b"\xfd7zXZ\0"), (&BZIP2, b"BZh9")]
    {
        let bytes = [start, &[0; 600]].concat();
        assert_eq!(Format::probe(&Disk::new(Memory::new(bytes))).unwrap(), format);
        assert!(FORMATS.contains(&format) && format.qemu_name.is_none());
    }
}
