//! qcow2 images of every kind that qemu-img makes, read and compared with what qemu-img reads.

use std::path::{Path, PathBuf};
use std::process::Command;

use block::testing::conformance;
use block::{Disk, ErrorKind, ExtentKind};
use image::Output;
use image::qcow2::{self, Backing, BackingFile, Image, write_overlay};
use testimages::judge;

const SIZE: usize = (5 << 18) + 512 * 3;

/// A disk with data that compress well, data that do not, and holes of all sizes.
fn content() -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    let mut state = 0x5eed;
    for (at, unit) in bytes.chunks_mut(20 << 10).enumerate() {
        match at % 7 {
            0 | 3 => unit.iter_mut().for_each(|byte| *byte = random(&mut state) as u8),
            1 => unit.iter_mut().zip(0..).for_each(|(byte, n)| *byte = (n / 97 + at) as u8),
            2 => unit[..512].fill(at as u8 | 1),
            _ => {}
        }
    }
    let len = bytes.len();
    bytes[len - 5..].copy_from_slice(b"tail!");
    bytes
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn qemu_img(args: &[&str], paths: &[&Path]) {
    judge::run(Command::new("qemu-img").args(args).args(paths));
}

fn qemu_io(image: &Path, commands: &[&str]) {
    let mut qemu_io = Command::new("qemu-io");
    qemu_io.args(["-f", "qcow2"]);
    commands.iter().for_each(|command| {
        qemu_io.args(["-c", command]);
    });
    judge::run(qemu_io.arg(image));
}

/// A folder with `raw` in it; `None` without qemu.
fn folder() -> Option<(tempfile::TempDir, PathBuf)> {
    if !judge::need_all(&["qemu-img", "qemu-io"]) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    std::fs::write(&raw, content()).unwrap();
    Some((folder, raw))
}

/// What qemu-img reads.
fn theirs(image: &Path) -> Vec<u8> {
    let out = image.with_extension("theirs");
    judge::qemu_img_convert((image, "qcow2"), (&out, "raw"), "");
    std::fs::read(out).unwrap()
}

fn open(path: &Path, gate: &Backing) -> Disk {
    Disk::new(Image::open(path, gate).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// Compares all that a reader can ask with what qemu-img reads.
fn agree(path: &Path, gate: &Backing) -> Disk {
    let disk = open(path, gate);
    conformance::read(&disk, &theirs(path));
    disk
}

#[test]
fn every_layout_that_qemu_img_makes() {
    let Some((folder, raw)) = folder() else { return };
    let variants: [(&str, &[&str]); 17] = [
        ("plain", &[]),
        ("zlib", &["-c"]),
        ("zstd", &["-c", "-o", "compression_type=zstd"]),
        ("v2", &["-o", "compat=0.10"]),
        ("v2-zlib", &["-c", "-o", "compat=0.10"]),
        ("c512", &["-o", "cluster_size=512"]),
        ("c512-zlib", &["-c", "-o", "cluster_size=512"]),
        ("c2m", &["-o", "cluster_size=2M"]),
        ("c2m-zlib", &["-c", "-o", "cluster_size=2M"]),
        ("c2m-zstd", &["-c", "-o", "cluster_size=2M,compression_type=zstd"]),
        ("el2", &["-o", "extended_l2=on,cluster_size=128k"]),
        ("el2-16k", &["-o", "extended_l2=on,cluster_size=16k"]),
        ("el2-zstd", &["-c", "-o", "extended_l2=on,cluster_size=64k,compression_type=zstd"]),
        ("metadata", &["-o", "preallocation=metadata"]),
        ("full", &["-o", "preallocation=full"]),
        ("lazy", &["-o", "lazy_refcounts=on,refcount_bits=64"]),
        ("bits1", &["-o", "refcount_bits=1"]),
    ];
    for (name, options) in variants {
        let path = folder.path().join(name).with_extension("qcow2");
        qemu_img(&[&["convert", "-f", "raw", "-O", "qcow2"], options].concat(), &[&raw, &path]);
        agree(&path, &Backing::Deny);
    }
}

#[test]
fn external_data_files_are_behind_the_gate() {
    let Some((folder, raw)) = folder() else { return };
    let gate = Backing::AllowIn(folder.path().to_owned());
    for (name, raw_data) in [("data", "off"), ("rawdata", "on")] {
        let path = folder.path().join(name).with_extension("qcow2");
        let data = folder.path().join(name).with_extension("data");
        let options = format!("data_file={},data_file_raw={raw_data}", data.display());
        qemu_img(&["create", "-q", "-f", "qcow2", "-o", &options], &[&path, Path::new(&SIZE.to_string())]);
        qemu_img(&["convert", "-n", "-f", "raw", "-O", "qcow2"], &[&raw, &path]);
        agree(&path, &gate);
        assert_eq!(Image::open(&path, &Backing::Deny).unwrap_err().kind(), ErrorKind::Refused);
    }
}

/// raw <- base.qcow2 <- middle (extended L2) <- top, each with writes of its own.
fn chain(folder: &Path, raw: &Path) -> PathBuf {
    let at = |name: &str| folder.join(name);
    let base = at("base.qcow2");
    qemu_img(&["convert", "-c", "-f", "raw", "-O", "qcow2"], &[raw, &base]);
    let create = |name: &str, below: &str, options: &str, size: &str| {
        let mut args = vec!["create", "-q", "-f", "qcow2", "-b", below, "-F", "qcow2"];
        if !options.is_empty() {
            args.extend(["-o", options]);
        }
        qemu_img(&args, &[&at(name), Path::new(size)]);
        at(name)
    };
    let middle = create("middle.qcow2", "base.qcow2", "extended_l2=on,cluster_size=128k", "7M");
    qemu_io(
        &middle,
        &["write -P 1 10k 30k", "write -z 1M 100k", "write -P 2 6M 1k", "discard 2M 128k", "write -z 3M 4k"],
    );
    let top = create("top.qcow2", "middle.qcow2", "", "9M");
    qemu_io(&top, &["write -P 3 50k 1k", "write -z 128k 64k", "write -P 4 7M 200k", "discard 6M 64k"]);
    top
}

#[test]
fn chains_with_partial_zero_and_discarded_clusters() {
    let Some((folder, raw)) = folder() else { return };
    let top = chain(folder.path(), &raw);
    let disk = agree(&top, &Backing::AllowIn(folder.path().to_owned()));
    // Past the end of all backing files.
    assert_eq!(disk.extent_at(8 << 20..9 << 20).unwrap().kind, ExtentKind::Zero);
}

#[test]
fn internal_snapshots_bitmaps_and_dirty_images_read_as_their_active_state() {
    let Some((folder, raw)) = folder() else { return };
    let path = folder.path().join("snap.qcow2");
    qemu_img(&["convert", "-f", "raw", "-O", "qcow2", "-o", "lazy_refcounts=on"], &[&raw, &path]);
    qemu_img(&["snapshot", "-c", "one"], &[&path]);
    qemu_img(&["bitmap", "--add"], &[&path, Path::new("b0")]);
    qemu_io(&path, &["write -P 9 0 300k", "write -z 500k 100k", "discard 1M 64k"]);
    agree(&path, &Backing::Deny);
    // A dirty image is one whose refcounts may be wrong; qemu-img would repair it, so ask first.
    let expected = theirs(&path);
    set_feature(&path, 0);
    conformance::read(&open(&path, &Backing::Deny), &expected);
}

/// Each internal snapshot is read as qemu-img reads it, whatever has become of the active state, its size included.
#[test]
fn internal_snapshots_by_id_and_name() {
    let Some((folder, raw)) = folder() else { return };
    let layouts: [(&str, &[&str]); 4] = [
        ("plain", &[]),
        ("zstd", &["-c", "-o", "compression_type=zstd"]),
        ("subclusters", &["-o", "extended_l2=on,cluster_size=64k"]),
        ("old", &["-o", "compat=0.10"]),
    ];
    for (layout, options) in layouts {
        let path = folder.path().join(layout).with_extension("qcow2");
        qemu_img(&[&["convert", "-f", "raw", "-O", "qcow2"], options].concat(), &[&raw, &path]);
        qemu_img(&["snapshot", "-c", "first"], &[&path]);
        qemu_io(&path, &["write -P 9 0 300k", "write -P 8 777k 1k", "discard 1M 64k"]);
        qemu_img(&["snapshot", "-c", "second one"], &[&path]);
        if layout != "old" {
            qemu_img(&["resize", "-f", "qcow2"], &[&path, Path::new("3M")]);
            qemu_io(&path, &["write -P 7 2M 100k"]);
        }
        qemu_img(&["snapshot", "-c", "third"], &[&path]);
        qemu_io(&path, &["write -P 6 100k 1M", "write -z 1200k 64k"]);
        agree(&path, &Backing::Deny);

        let snapshots = qcow2::Snapshots::of(&path).unwrap();
        let info = judge::qemu_img_info(&path, "qcow2");
        let told = info["snapshots"].as_array().unwrap();
        assert_eq!(told.len(), snapshots.as_slice().len());
        for (told, ours) in told.iter().zip(snapshots.as_slice()) {
            assert_eq!((&told["id"], &told["name"]), (&ours.id.as_str().into(), &ours.name.as_str().into()));
            assert_eq!(told["date-sec"], ours.created);
            let out = path.with_extension("theirs");
            let name = format!("snapshot.name={}", ours.name);
            qemu_img(&["convert", "-l", &name, "-f", "qcow2", "-O", "raw"], &[&path, &out]);
            let mut theirs = std::fs::read(&out).unwrap();
            // qemu-img gives it the size of the active state.
            assert!(theirs.drain(ours.size as usize..).all(|byte| byte == 0), "{}", ours.name);
            for named in [&ours.id, &ours.name] {
                let content = qcow2::open_snapshot(&path, named, &Backing::Deny).unwrap();
                let text = &content.layers.last().unwrap().text;
                assert!(
                    text.contains(&format!("its internal snapshot {} {:?}", ours.id, ours.name)),
                    "{text}"
                );
                assert_eq!(content.disk.size(), ours.size);
                if *named == ours.name {
                    conformance::read(&content.disk, &theirs);
                }
            }
        }
        let error = qcow2::open_snapshot(&path, "fourth", &Backing::Deny).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfRange);
        assert!(error.to_string().contains(r#"1 "first", 2 "second one", 3 "third""#), "{error}");
    }
}

/// Two snapshots of one name are told apart by their IDs; a table that is damaged leaves the active state alone.
#[test]
fn doubtful_snapshots() {
    let Some((folder, raw)) = folder() else { return };
    let path = folder.path().join("twice.qcow2");
    qemu_img(&["convert", "-f", "raw", "-O", "qcow2"], &[&raw, &path]);
    for name in ["a", "b"] {
        qemu_img(&["snapshot", "-c", name], &[&path]);
    }
    let table = u64::from_be_bytes(std::fs::read(&path).unwrap()[64..72].try_into().unwrap()) as usize;
    let change = |at: usize, to: &[u8]| {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
        std::fs::write(&path, bytes).unwrap();
    };
    let open = |name: &str| qcow2::open_snapshot(&path, name, &Backing::Deny).map_err(|error| error.kind());
    let len = 40
        + u32::from_be_bytes(std::fs::read(&path).unwrap()[table + 36..table + 40].try_into().unwrap())
            as usize;
    change((table + len + 2).next_multiple_of(8) + len + 1, b"a");
    assert_eq!(open("a").unwrap_err(), ErrorKind::Refused);
    assert!(open("1").is_ok() && open("2").is_ok());
    // An L1 table past the end of the file, and lengths past it.
    change(table, &(1_u64 << 40).to_be_bytes());
    assert_eq!(open("1").unwrap_err(), ErrorKind::Corrupt);
    change(table + 36, &u32::MAX.to_be_bytes());
    assert_eq!(open("2").unwrap_err(), ErrorKind::Corrupt);
    change(60, &u32::MAX.to_be_bytes());
    assert_eq!(open("2").unwrap_err(), ErrorKind::Corrupt);
    let image = Image::open(&path, &Backing::Deny).unwrap();
    assert!(
        image.layers().last().unwrap().text.contains("internal snapshots (qcow2: corrupt"),
        "{:?}",
        image.layers()
    );
    conformance::read(
        &Disk::new(image),
        &std::fs::read(&raw)
            .map(|mut bytes| {
                bytes.resize(SIZE, 0);
                bytes
            })
            .unwrap(),
    );
}

/// Sets an incompatible feature bit.
fn set_feature(path: &Path, bit: u32) {
    let mut bytes = std::fs::read(path).unwrap();
    let features = u64::from_be_bytes(bytes[72..80].try_into().unwrap()) | 1 << bit;
    bytes[72..80].copy_from_slice(&features.to_be_bytes());
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn what_is_not_handled_is_refused_by_name() {
    let Some((folder, raw)) = folder() else { return };
    let path = folder.path().join("x.qcow2");
    let make = |options: &[&str]| {
        qemu_img(&[&["convert", "-f", "raw", "-O", "qcow2"], options].concat(), &[&raw, &path]);
    };
    let refused = |kind: ErrorKind, text: &str| {
        let error = Image::open(&path, &Backing::Deny).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    };
    // Now and then qemu-img cannot tell how long its own key derivation takes, and gives up.
    let made = (0..5).any(|_| {
        let mut luks = Command::new("qemu-img");
        luks.args(["convert", "-f", "raw", "-O", "qcow2", "--object", "secret,id=s,data=x", "-o"]);
        luks.arg("encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10").args([&raw, &path]);
        luks.status().unwrap().success()
    });
    assert!(made, "qemu-img made no encrypted image");
    refused(ErrorKind::Unsupported, "LUKS");
    make(&[]);
    set_feature(&path, 1);
    refused(ErrorKind::Corrupt, "marked as corrupt");
    make(&[]);
    set_feature(&path, 17);
    refused(ErrorKind::Unsupported, "feature 17");
}

#[test]
fn a_file_that_was_cut_off_is_said_to_be_so() {
    let Some((folder, raw)) = folder() else { return };
    let path = folder.path().join("x.qcow2");
    qemu_img(&["convert", "-f", "raw", "-O", "qcow2"], &[&raw, &path]);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - (64 << 10)).unwrap();
    let disk = open(&path, &Backing::Deny);
    let error = disk.extents(0..disk.size()).find_map(Result::err).unwrap();
    assert_eq!((error.kind(), error.layer()), (ErrorKind::Corrupt, "qcow2"), "{error}");
    let error = disk.read_vec(0, content().len()).unwrap_err();
    assert!(error.to_string().contains("past the end of the file"), "{error}");
}

#[test]
fn the_gate() {
    let Some((folder, raw)) = folder() else { return };
    let top = chain(folder.path(), &raw);
    let elsewhere = tempfile::tempdir().unwrap();
    for gate in [Backing::Deny, Backing::AllowIn(elsewhere.path().to_owned())] {
        assert_eq!(Image::open(&top, &gate).unwrap_err().kind(), ErrorKind::Refused, "{gate:?}");
    }
    let gate = Backing::AllowIn(folder.path().to_owned());
    let rebase = |to: &str, format: &[&str]| {
        let path = folder.path().join("evil.qcow2");
        let _ = std::fs::remove_file(&path);
        qemu_img(&["create", "-q", "-f", "qcow2"], &[&path, Path::new("5M")]);
        qemu_img(&[&["rebase", "-u", "-b", to], format].concat(), &[&path]);
        Image::open(&path, &gate)
    };
    // Out of the folder: by dots, by an absolute name, by a link.
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
    for name in ["../../etc/passwd", "/etc/passwd", "link"] {
        assert_eq!(rebase(name, &["-F", "raw"]).unwrap_err().kind(), ErrorKind::Refused, "{name}");
    }
    assert_eq!(rebase("nbd:host:1", &["-F", "raw"]).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(
        rebase("json:{\"driver\":\"raw\"}", &["-F", "raw"]).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(rebase("raw", &["-F", "qed"]).unwrap_err().kind(), ErrorKind::Unsupported);
    let loops = rebase("evil.qcow2", &["-F", "qcow2"]).unwrap_err();
    assert_eq!(loops.kind(), ErrorKind::Corrupt);
    assert!(loops.to_string().contains("loop"), "{loops}");
    rebase("raw", &["-F", "raw"]).unwrap();
}

/// A source of `size` bytes with some data, and changes over it: data, zeros over data, the end of the disk.
fn changed(source: &Path, size: u64) -> (Disk, block::Sealed) {
    let base = Disk::new(block::FileDisk::open(source).unwrap());
    let overlay = block::Overlay::new(base.clone()).unwrap();
    let writer = overlay.writer();
    let mut state = 0x5eed;
    for _ in 0..60 {
        let at = random(&mut state) % (size - 40_000);
        let len = (random(&mut state) % 40_000) as usize;
        match random(&mut state) % 3 {
            0 => writer.zero_range(at..at + len as u64).unwrap(),
            _ => writer.write_at(&vec![random(&mut state) as u8; len], at).unwrap(),
        }
    }
    writer.zero_range(0..200_000).unwrap();
    writer.write_at(b"the end", size - 7).unwrap();
    (base, overlay.seal().unwrap())
}

#[test]
fn overlays_hold_only_what_changed_and_qemu_agrees() {
    let Some((folder, raw)) = folder() else { return };
    // 600 MiB: more than one L2 table.
    for size in [SIZE as u64, 600 << 20] {
        std::fs::OpenOptions::new().write(true).open(&raw).unwrap().set_len(size).unwrap();
        let (_, sealed) = changed(&raw, size);
        let path = folder.path().join(format!("overlay-{size}.qcow2"));
        let backing = BackingFile { path: Path::new("raw"), format: "raw" };
        write_overlay(&sealed, &Output::new(&path), &backing, &block::Silent).unwrap();
        judge::qemu_img_check(&path, "qcow2");
        assert!(path.metadata().unwrap().len() < 6 << 20);

        let expected = folder.path().join("expected");
        let sink = image::raw::RawSink::create(&Output::replacing(&expected), size).unwrap();
        block::copy(&sealed.disk(), Box::new(sink), &block::CopyOptions { threads: 2 }, &block::Silent)
            .unwrap();
        judge::qemu_img_compare((&path, "qcow2"), (&expected, "raw"));
        a_second_reader_agrees(&path, &expected);
        let gate = Backing::AllowIn(folder.path().to_owned());
        let digest = |disk: &Disk| block::digest(disk, &block::Silent).unwrap();
        assert_eq!(digest(&open(&path, &gate)), digest(&sealed.disk()));

        let again = folder.path().join("again.qcow2");
        write_overlay(&sealed, &Output::replacing(&again), &backing, &block::Silent).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&again).unwrap(), "must be deterministic");
    }
}

/// The crate imago reads the bytes of `raw` at both ends of an image.
fn a_second_reader_agrees(path: &Path, raw: &Path) {
    use imago::{FormatAccess, FormatDriverBuilder, PermissiveImplicitOpenGate};
    let builder = imago::qcow2::Qcow2::<imago::file::File>::builder_path(path);
    let theirs = FormatAccess::new(builder.open(PermissiveImplicitOpenGate::default()).unwrap());
    let raw = block::FileDisk::open(raw).unwrap().disk();
    assert_eq!(theirs.size(), raw.size());
    let len = raw.size().min(2 << 20);
    for offset in [0, raw.size() - len] {
        let mut found = vec![0xaa; len as usize];
        theirs.read(&mut found[..], offset).unwrap();
        assert!(found == raw.read_vec(offset, len as usize).unwrap(), "at {offset}");
    }
}

#[test]
fn standalone_images_are_as_qemu_wants_them() {
    let Some((folder, raw)) = folder() else { return };
    for size in [1, SIZE as u64, 700 << 20] {
        std::fs::OpenOptions::new().write(true).open(&raw).unwrap().set_len(size).unwrap();
        let source = Disk::new(block::FileDisk::open(&raw).unwrap());
        let copy = |name: &str, threads: usize| {
            let path = folder.path().join(name);
            let sink = qcow2::create(&Output::replacing(&path), size).unwrap();
            block::copy(&source, sink, &block::CopyOptions { threads }, &block::Silent).unwrap();
            path
        };
        let path = copy("ours.qcow2", 2);
        judge::qemu_img_check(&path, "qcow2");
        // No half sectors in qcow2.
        let whole = size.next_multiple_of(512);
        std::fs::OpenOptions::new().write(true).open(&raw).unwrap().set_len(whole).unwrap();
        judge::qemu_img_compare((&path, "qcow2"), (&raw, "raw"));
        a_second_reader_agrees(&path, &raw);
        std::fs::OpenOptions::new().write(true).open(&raw).unwrap().set_len(size).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(copy("again.qcow2", 1)).unwrap());
    }
    let huge = folder.path().join("huge.qcow2");
    let sink = qcow2::create(&Output::new(&huge), 64 << 40).unwrap();
    block::Sink::put(&*sink, block::Chunk::Data { offset: (64 << 40) - 3, bytes: b"end" }).unwrap();
    assert!(!huge.exists());
    block::Sink::finish(sink, None).unwrap();
    judge::qemu_img_check(&huge, "qcow2");
    let mut end = [0; 3];
    open(&huge, &Backing::Deny).read_at(&mut end, (64 << 40) - 3).unwrap();
    assert_eq!(&end, b"end");
}

/// What is compressed is packed, what is not stays as it is, and the same disk makes the same file by any number of
/// threads.
#[test]
fn compressed_images_are_as_qemu_wants_them() {
    let Some((folder, raw)) = folder() else { return };
    for size in [1, SIZE as u64, 700 << 20] {
        std::fs::OpenOptions::new().write(true).open(&raw).unwrap().set_len(size).unwrap();
        let whole = size.next_multiple_of(512);
        let source = Disk::new(block::FileDisk::open(&raw).unwrap());
        let copy = |threads: usize| {
            let path = folder.path().join(format!("{threads}.qcow2"));
            let sink = qcow2::create_compressed(&Output::replacing(&path), size).unwrap();
            let receipt =
                block::copy(&source, sink, &block::CopyOptions { threads }, &block::Silent).unwrap();
            assert_eq!((receipt.size, receipt.content.is_some()), (whole, true));
            path
        };
        let path = copy(3);
        judge::qemu_img_check(&path, "qcow2");
        let info = judge::qemu_img_info(&path, "qcow2");
        assert_eq!(info["format-specific"]["data"]["compression-type"], "zstd");
        assert_eq!(info["virtual-size"], whole);
        let bytes = std::fs::read(&path).unwrap();
        let twin = folder.path().join("twin.qcow2");
        qemu_img(
            &["convert", "-c", "-o", "compression_type=zstd", "-f", "raw", "-O", "qcow2"],
            &[&raw, &twin],
        );
        let theirs = twin.metadata().unwrap().len();
        assert!(
            bytes.len() as u64 <= theirs + theirs / 10 + (64 << 10),
            "{} bytes, {theirs} by qemu-img",
            bytes.len()
        );
        for threads in [1, 2, 8] {
            assert!(std::fs::read(copy(threads)).unwrap() == bytes, "{threads} threads make another file");
        }
        std::fs::OpenOptions::new().write(true).open(&raw).unwrap().set_len(whole).unwrap();
        judge::qemu_img_compare((&path, "qcow2"), (&raw, "raw"));
        agree(&path, &Backing::Deny);
    }
}
