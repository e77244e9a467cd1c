//! Addresses of images that qemu-img made, opened.

mod sfdisk;

use std::path::{Path, PathBuf};
use std::process::Command;

use libdisk::block::{self, Disk, ErrorKind};
use libdisk::image::qcow2::{self, Backing};
use libdisk::image::{raw, vhd};
use libdisk::{Address, FORMATS, MachineDisk, OpenOptions, open};
use testimages::judge;

const SIZE: u64 = 8 << 20;

/// A folder with the same partitioned disk in all formats: disk.raw, disk.vhd, disk.qcow2.
fn disks() -> Option<(tempfile::TempDir, PathBuf)> {
    if !judge::need_all(&["qemu-img", "sfdisk"]) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("disk.raw");
    let script = "label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\n\
        start=2048, size=4096, uuid=aaaaaaaa-2222-3333-4444-555555555555\n";
    sfdisk::partitioned(&raw, SIZE, script);
    let file = std::fs::OpenOptions::new().write(true).open(&raw).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"in the partition", 2048 * 512).unwrap();
    for format in FORMATS {
        let options = if *format == vhd::FORMAT { "subformat=fixed,force_size=on" } else { "" };
        if *format != raw::FORMAT {
            let path = raw.with_extension(format.name);
            let Some(name) = format.qemu_name else { continue };
            judge::qemu_img_convert((&raw, "raw"), (&path, name), options);
        }
    }
    Some((folder, raw))
}

fn address(path: &Path, place: &str) -> Address {
    format!("{}{place}", path.display()).parse().unwrap()
}

fn open_plain(address: &Address) -> block::Result<MachineDisk> {
    open(address, &OpenOptions::default())
}

#[test]
fn every_format_gives_the_same_disk_partition_and_identity() {
    let Some((_folder, raw)) = disks() else { return };
    let mut digests = Vec::new();
    for format in FORMATS.into_iter().filter(|format| format.qemu_name.is_some()) {
        let path = raw.with_extension(format.name);
        let opened = open_plain(&address(&path, "")).unwrap();
        assert_eq!((opened.origin.format(), opened.disk.size()), (format, SIZE));
        assert_eq!(opened.layers.first().map(|layer| layer.name), Some("file"));

        let partition = open_plain(&address(&path, "#p1")).unwrap();
        let mut bytes = [0; 16];
        partition.disk.read_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"in the partition");
        assert_eq!(partition.disk.size(), 4096 * 512);
        assert_eq!(partition.layers.last().map(|layer| layer.name), Some("partition"));

        digests.push((opened.identity().unwrap(), block::digest(&opened.disk, &block::Silent).unwrap()));
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn what_is_not_there_or_not_opened_yet_is_refused() {
    let Some((_folder, raw)) = disks() else { return };
    let error = open_plain(&address(&raw, "#p7")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfRange);
    assert!(error.to_string().contains("there are: 1"), "{error}");
    let error = open_plain(&address(&raw, "#vg0/root")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfRange);
    assert!(error.to_string().contains("vg0/root"), "{error}");
    assert_eq!(open_plain(&"azure:disk".parse().unwrap()).unwrap_err().kind(), ErrorKind::Unsupported);
    #[cfg(not(feature = "cloud"))]
    assert_eq!(open_plain(&"ebs:snap-0abc".parse().unwrap()).unwrap_err().kind(), ErrorKind::Unsupported);
    for (format, options, name) in [("parallels", "", "Parallels"), ("qed", "", "QED")] {
        let path = raw.with_extension(format!("{format}.img"));
        judge::qemu_img_convert((&raw, "raw"), (&path, format), options);
        let error = open_plain(&address(&path, "")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(name), "{error}");
    }
}

/// Packed by programs whose work is not opened: never taken for a raw disk, unless they say that it is one.
#[test]
fn packed_disks_are_refused_by_name() {
    let Some((folder, raw)) = disks() else { return };
    let programs: [(&str, &[&str], &str); 5] = [
        ("xz", &["-c", "--format=lzma", "disk.raw"], "lzma"),
        ("lz4", &["-c", "-q", "disk.raw"], "lz4"),
        ("tar", &["-c", "disk.raw"], "tar archive"),
        ("tar", &["-c", "--format=v7", "disk.raw"], "tar archive"),
        ("python3", &["-m", "zipfile", "-c", "packed", "disk.raw"], "zip archive"),
    ];
    for (program, options, name) in programs {
        if !judge::need_all(&[program]) {
            continue;
        }
        let path = folder.path().join("packed");
        let out = judge::run(Command::new(program).args(options).current_dir(folder.path()));
        if !out.stdout.is_empty() {
            std::fs::write(&path, out.stdout).unwrap();
        }
        let error = open_plain(&address(&path, "")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{program}: {error}");
        assert!(error.to_string().contains(name), "{program}: {error}");
        let forced: Address = format!("raw:{}", path.display()).parse().unwrap();
        assert!(open_plain(&forced).is_ok(), "{program}");
    }
    assert!(raw.exists());
}

/// What people pack is unpacked, and is the same disk.
#[test]
fn packed_disks_are_the_same() {
    let Some((folder, raw)) = disks() else { return };
    let expected = open_plain(&address(&raw, "")).unwrap().identity().unwrap();
    for (program, options) in [("gzip", "-1c"), ("zstd", "-qc"), ("xz", "-0c"), ("bzip2", "-1c")] {
        if !judge::need_all(&[program]) {
            continue;
        }
        let path = folder.path().join("packed");
        std::fs::write(&path, judge::run(Command::new(program).arg(options).arg(&raw)).stdout).unwrap();
        let opened = open_plain(&address(&path, "")).unwrap();
        assert_eq!((opened.identity().unwrap(), opened.disk.size()), (expected, SIZE), "{program}");
        assert_eq!(opened.files, std::slice::from_ref(&path));
        let names: Vec<_> = opened.layers.iter().map(|layer| layer.name).collect();
        assert_eq!(names, ["file", program, "raw"]);
        let forced = format!("{program}:{}#p1", path.display()).parse().unwrap();
        assert_eq!(open_plain(&forced).unwrap().disk.size(), 4096 * 512);
    }
}

const OVF: &str = r#"<Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
    <References><File ovf:href="disk.vmdk" ovf:id="1"/><File ovf:href="disk.raw" ovf:id="2"/></References>
    <DiskSection><Disk ovf:diskId="a" ovf:fileRef="1" ovf:format="vmdk"/><Disk ovf:diskId="b" ovf:fileRef="2"/>
    </DiskSection><VirtualSystem ovf:id="vm"/></Envelope>"#;

/// Two disks in one file are two disks of a machine, each with an address of its own.
#[test]
fn an_ova_is_a_machine() {
    let Some((folder, raw)) = disks() else { return };
    if !judge::need_all(&["tar"]) {
        return;
    }
    std::fs::write(folder.path().join("vm.ovf"), OVF).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["-cf", "vm.ova", "vm.ovf", "disk.vmdk", "disk.raw"]).current_dir(folder.path());
    judge::run(&mut tar);
    let path = folder.path().join("vm.ova");
    let machine = |place: &str| libdisk::open_machine(&[address(&path, place)], &OpenOptions::default());
    let whole = machine("").unwrap();
    let origins: Vec<_> = whole.disks().iter().map(|disk| disk.origin.to_string()).collect();
    let name = path.display().to_string();
    assert_eq!(origins, [name.clone(), format!("{name}#disk2")]);
    let expected = open_plain(&address(&raw, "")).unwrap().identity().unwrap();
    assert!(whole.disks().iter().all(|disk| disk.identity().unwrap() == expected));
    assert_eq!(machine("#disk2").unwrap().disks().len(), 1);
    assert_eq!(machine("#disk2p1").unwrap().os_disk().disk.size(), 4096 * 512);
    assert_eq!(machine("#disk3").unwrap_err().kind(), ErrorKind::OutOfRange);
    // The same file a second time is the same disks.
    let twice = [address(&path, ""), address(&path, "")];
    assert!(libdisk::open_machine(&twice, &OpenOptions::default()).is_err());
}

#[test]
fn a_forced_format_beats_the_probe() {
    let Some((_folder, raw)) = disks() else { return };
    let qcow2 = raw.with_extension("qcow2");
    let forced = open_plain(&format!("raw:{}", qcow2.display()).parse().unwrap()).unwrap();
    assert_eq!(
        (forced.origin.format(), forced.disk.size()),
        (&raw::FORMAT, qcow2.metadata().unwrap().len() & !511)
    );
    let options = OpenOptions { format: Some(&qcow2::FORMAT), ..OpenOptions::default() };
    assert!(open(&address(&raw, ""), &options).is_err());
    // A guest that writes the marks of qcow2 to its disk does not choose how it is read, once the format is
    // given.
    let file = std::fs::OpenOptions::new().write(true).open(raw.with_extension("vhd")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"QFI\xfb", 0).unwrap();
    assert_eq!(open_plain(&address(&raw.with_extension("vhd"), "")).unwrap_err().kind(), ErrorKind::Refused);
    let forced = format!("vhd:{}", raw.with_extension("vhd").display());
    assert_eq!(open_plain(&forced.parse().unwrap()).unwrap().disk.size(), SIZE);
}

#[test]
fn backing_files_need_leave() {
    let Some((folder, raw)) = disks() else { return };
    let top = folder.path().join("top.qcow2");
    judge::run(
        Command::new("qemu-img").args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(&raw).arg(&top),
    );
    assert_eq!(open_plain(&address(&top, "")).unwrap_err().kind(), ErrorKind::Refused);
    let options =
        OpenOptions { backing: Backing::AllowIn(folder.path().to_owned()), ..OpenOptions::default() };
    let opened = open(&address(&top, "#p1"), &options).unwrap();
    let names: Vec<_> = opened.layers.iter().map(|layer| layer.name).collect();
    assert_eq!(names, ["file", "backing file", "qcow2", "partition"]);
}

#[test]
fn identities_of_different_disks_differ() {
    let Some((_folder, raw)) = disks() else { return };
    let identity = |disk: &Disk| libdisk::identity(disk).unwrap();
    let disk = open_plain(&address(&raw, "")).unwrap().disk;
    let before = identity(&disk);
    // In the super block of the partition, and in the backup of the partition table.
    for place in [2048 * 512 + 1080, SIZE - 20] {
        let overlay = block::Overlay::new(disk.clone()).unwrap();
        overlay.writer().write_at(&[0xaa], place).unwrap();
        assert_ne!(identity(&overlay.disk()), before);
    }
    assert_eq!(identity(&disk), before);
}

#[test]
fn file_systems_are_chosen_by_what_is_there() {
    if !judge::need_all(&["mke2fs", "mkfs.vfat", "mkswap"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume.raw");
    let make = |program: &str, options: &[&str]| {
        std::fs::File::create(&path).unwrap().set_len(64 << 20).unwrap();
        let maker = judge::need(program).unwrap();
        judge::run(Command::new(maker).args(options).arg(&path));
        open_plain(&address(&path, "")).unwrap().disk
    };
    for (program, options, kind) in
        [("mke2fs", &["-q", "-t", "ext4"][..], "ext4"), ("mkfs.vfat", &["-F", "32"], "vfat")]
    {
        let disk = make(program, options);
        assert_eq!(libdisk::open_filesystem(&disk).unwrap().unwrap().info().unwrap().kind, kind);
        let overlay = block::Overlay::new(disk).unwrap();
        assert_eq!(
            libdisk::open_filesystem_mut(&overlay.writer()).unwrap().unwrap().info().unwrap().kind,
            kind
        );
    }
    let swap = make("mkswap", &["-q"]);
    let error = libdisk::open_filesystem(&swap).err().unwrap();
    assert!(error.to_string().contains("swap"), "{error}");
    let nothing = Disk::new(block::Zeros::new(1 << 20));
    assert!(libdisk::open_filesystem(&nothing).unwrap().is_none());
}

/// A block device of the kernel over a file; taken away when dropped.
struct Loop(String);

impl Loop {
    fn over(file: &Path) -> Self {
        let output = judge::run(judge::tool("losetup").args(["--find", "--show"]).arg(file));
        Self(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = judge::tool("losetup").args(["--detach", &self.0]).status();
    }
}

#[test]
fn a_block_device_opens_like_a_file() {
    let Some((_folder, raw)) = disks() else { return };
    if !judge::need_kernel_mounts() {
        return;
    }
    let device = Loop::over(&raw);
    let path = Path::new(&device.0);
    let [file, block] =
        [&raw, path].map(|path| open(&address(path, "#p1"), &OpenOptions::default()).unwrap().disk);
    block::testing::conformance::read(&block, &file.read_vec(0, 4096 * 512).unwrap());
    let disk = block::DiskMut::new(block::FileDisk::open_mut(path).unwrap());
    disk.zero_range(2048 * 512..2048 * 512 + 1000).unwrap();
    disk.write_at(b"written", 2048 * 512 + 3).unwrap();
    disk.flush().unwrap();
    assert_eq!(&std::fs::read(&raw).unwrap()[2048 * 512..][..16], b"\0\0\0written\0\0\0\0\0\0");
}
