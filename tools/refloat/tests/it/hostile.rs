//! Images, plans and guests that were made to cost time or memory: the program answers within both, and says
//! what it did not read.
//!
//! Time is that of the processor, for the machine may be busy; memory is the most that was resident. To the
//! kernel a new process has held what the one that started it holds, so the tests hold little themselves.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use testimages::judge;
use wait4::Wait4;

use crate::program::command;

/// For one run of the program.
const PATIENCE: Duration = Duration::from_secs(5);
/// For one run, in bytes.
const CEILING: u64 = 256 << 20;
/// What an initramfs unpacks to that is nothing but zeros, where a large one costs nothing to make.
const BOMB: u64 = 10 << 30;

const UUID: &str = "11111111-2222-4333-8444-555555555555";
const INITRD: &str = "boot/initrd.img-6.1.0";
const GRUB_CFG: &str = "menuentry 'x' {\n linux /boot/vmlinuz-6.1.0 root=UUID=11111111-2222-4333-8444-555555555555\n \
    initrd /boot/initrd.img-6.1.0\n}\n";
const MODULES: &str = "kernel/drivers/hv/hv_vmbus.ko:\nkernel/drivers/scsi/hv_storvsc.ko:\n\
    kernel/drivers/net/hyperv/hv_netvsc.ko:\nkernel/drivers/hv/hv_utils.ko:\n";

/// What a run said.
struct Told {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Told {
    /// Insists on this exit code, and that all of these words were said.
    #[track_caller]
    fn with(&self, code: i32, words: &[&str]) {
        let Self { out, err, .. } = self;
        assert_eq!(self.code, Some(code), "{out}{err}");
        let all = format!("{out}{err}").split_whitespace().collect::<Vec<_>>().join(" ");
        words.iter().for_each(|word| assert!(all.contains(word), "no {word:?} in {all}"));
    }
}

/// Runs the program and insists on the limits.
#[track_caller]
fn run(at: &Path, line: &str) -> Told {
    let files = ["out", "err"].map(|name| File::create(at.join(name)).unwrap());
    let [out, err] = files.map(Stdio::from);
    let child = command(at, line).stdout(out).stderr(err).spawn().unwrap();
    let used = child.wait4().unwrap();
    let (time, held) = (used.rusage.utime + used.rusage.stime, used.rusage.maxrss);
    #[expect(clippy::print_stderr, reason = "figures, for who reads the output")]
    {
        eprintln!("{:6} ms {:4} MiB  refloat {line}", time.as_millis(), held >> 20);
    }
    assert!(time < PATIENCE, "refloat {line} took {time:?}");
    assert!(held < CEILING, "refloat {line} held {} MiB", held >> 20);
    let [out, err] = ["out", "err"].map(|name| {
        let mut start = vec![0; 1 << 16];
        let len = File::open(at.join(name)).unwrap().read_at(&mut start, 0).unwrap();
        String::from_utf8_lossy(&start[..len]).into_owned()
    });
    Told { code: used.status.code(), out, err }
}

/// The folder `tree` with a small Debian, to make an image of.
fn debian(at: &Path) -> Option<()> {
    judge::need_all(&["mke2fs", "debugfs"]).then_some(())?;
    for folder in ["etc", "boot/grub", "boot/loader/entries", "lib/modules/6.1.0", "usr/bin", "bin"] {
        fs::create_dir_all(at.join("tree").join(folder)).unwrap();
    }
    put(at, "etc/os-release", "ID=debian\nVERSION_ID=12\nPRETTY_NAME=Debian\n");
    put(at, "etc/fstab", format!("UUID={UUID} / ext4 defaults 0 1\n"));
    put(at, "boot/vmlinuz-6.1.0", "kernel");
    put(at, INITRD, "initramfs");
    put(at, "lib/modules/6.1.0/modules.dep", MODULES);
    put(at, "boot/grub/grub.cfg", GRUB_CFG);
    Some(())
}

fn put(at: &Path, path: &str, content: impl AsRef<[u8]>) {
    fs::write(at.join("tree").join(path), content).unwrap();
}

/// The same, written piece by piece.
fn writer(at: &Path, path: &str) -> BufWriter<File> {
    BufWriter::new(File::create(at.join("tree").join(path)).unwrap())
}

/// Makes `disk.raw` of the folder `tree`.
fn pack(at: &Path) {
    let disk = at.join("disk.raw");
    File::create(&disk).unwrap().set_len(400 << 20).unwrap();
    let mut make = judge::tool("mke2fs");
    make.args(["-q", "-F", "-t", "ext4", "-b", "4096"]);
    make.args(["-O", "^metadata_csum,^dir_index,^has_journal", "-U", UUID, "-d"]);
    judge::run(make.arg(at.join("tree")).arg(disk));
}

fn debugfs(at: &Path, line: &str) -> String {
    let mut debugfs = judge::tool("debugfs");
    let output = judge::run(debugfs.current_dir(at).args(["-w", "-R", line, "disk.raw"]));
    String::from_utf8(output.stdout).unwrap()
}

/// Makes a directory of very many names in `disk.raw`, each for what is at `target`: a file that was written
/// as its blocks are, and became a directory.
fn crowd(at: &Path, path: &str, count: usize, target: &str, name: impl Fn(usize) -> String) {
    let shown = debugfs(at, &format!("stat {target}"));
    let inode: u32 = shown.split_whitespace().nth(1).unwrap().parse().unwrap();
    let kind = if shown.contains("Type: directory") { 2 } else { 1 };
    let (mut blocks, mut block) = (Vec::new(), Vec::<u8>::new());
    let mut last = 0;
    for index in 0..count {
        let name = name(index);
        let len = (8 + name.len()).next_multiple_of(4);
        if block.len() + len > 4096 {
            stretch(&mut block, last);
            blocks.append(&mut block);
        }
        last = block.len();
        block.extend(inode.to_le_bytes());
        block.extend(u16::try_from(len).unwrap().to_le_bytes());
        block.extend([u8::try_from(name.len()).unwrap(), kind]);
        block.extend(name.as_bytes());
        block.resize(last + len, 0);
    }
    stretch(&mut block, last);
    blocks.append(&mut block);
    fs::write(at.join("blocks"), blocks).unwrap();
    debugfs(at, &format!("unlink {path}"));
    debugfs(at, &format!("write blocks {path}"));
    debugfs(at, &format!("sif {path} mode 040755"));
}

/// The last name of a directory's block has the rest of it.
fn stretch(block: &mut Vec<u8>, last: usize) {
    let len = u16::try_from(4096 - last).unwrap();
    block[last + 4..last + 6].copy_from_slice(&len.to_le_bytes());
    block.resize(4096, 0);
}

const CHECK: &str = "check disk.raw --for azure-gen1 -v";

/// What a program makes of so many zeros.
fn packed(program: &str, arguments: &[&str], zeros: u64) -> Vec<u8> {
    let mut packer = judge::tool(program);
    packer.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = packer.spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    let feeder =
        std::thread::spawn(move || std::io::copy(&mut std::io::repeat(0).take(zeros), &mut to).unwrap());
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert!(output.status.success(), "{program}");
    output.stdout
}

/// Puts an initramfs of [`BOMB`] zeros in its place: `head`, and `piece` again and again, which unpacks to
/// `unpacked` bytes.
fn put_bomb(at: &Path, head: &[u8], piece: &[u8], unpacked: u64) {
    let mut out = writer(at, INITRD);
    out.write_all(head).unwrap();
    (0..BOMB / unpacked).for_each(|_| out.write_all(piece).unwrap());
    out.flush().unwrap();
}

/// What `check` says of the guest, which must name its initramfs and this.
#[track_caller]
fn refused(at: &Path, why: &str) {
    pack(at);
    run(at, CHECK).with(1, &[INITRD, why, "not ready"]);
}

/// An initramfs of 10 GiB of zeros (of 1 GiB where no piece of the packed form can be used again), in every
/// form that a kernel unpacks.
#[test]
fn an_initramfs_that_unpacks_without_end() {
    const MIB: u64 = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    if !judge::need_all(&["xz", "lz4", "bzip2"]) {
        return;
    }
    let Some(()) = debian(at) else { return };
    let much = "unpacked bytes";
    // A frame of zstd whose window is 64 MiB; blocks of 128 KiB that are one byte, repeated.
    put_bomb(at, &[0x28, 0xb5, 0x2f, 0xfd, 0, 0x80], &[0x02, 0, 0x10, 0], 128 << 10);
    refused(at, much);
    // A block of a legacy frame of lz4, after the magic.
    let lz4 = packed("lz4", &["-q", "-l", "-1", "-c"], 8 * MIB);
    put_bomb(at, &lz4[..4], &lz4[4..], 8 * MIB);
    refused(at, much);
    // Ten bytes of gzip's header; a piece that ends at a byte.
    let mut piece = Vec::with_capacity(1 << 16);
    let mut deflate = flate2::Compress::new(flate2::Compression::best(), false);
    deflate.compress_vec(&[0; 1 << 20], &mut piece, flate2::FlushCompress::Full).unwrap();
    put_bomb(at, &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], &piece, MIB);
    refused(at, much);
    // Twelve bytes of xz's header; blocks that stand alone. The index behind them is not reached.
    let xz = packed("xz", &["-0", "--check=crc32", "-T1", "--block-size=1MiB", "-c"], 2 * MIB);
    let (head, blocks) = xz.split_at(12);
    let second = blocks.windows(12).skip(1).position(|start| start == &blocks[..12]).unwrap() + 1;
    put_bomb(at, head, &blocks[..second], MIB);
    refused(at, much);
    for (program, arguments) in [("bzip2", &["-9", "-c"][..]), ("xz", &["--format=lzma", "-0", "-c"])] {
        put(at, INITRD, packed(program, arguments, 1 << 30));
        refused(at, much);
    }
    // One that a kernel unpacks and we do not.
    put(at, INITRD, [b"\x89LZO\0\r\n\x1a\n".to_vec(), vec![0; 1 << 20]].concat());
    refused(at, "lzop data");
}

/// An archive of a million members.
#[test]
fn an_initramfs_of_very_many_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let Some(()) = debian(at) else { return };
    let mut archive = writer(at, INITRD);
    for index in 0..1_000_000 {
        // 110 bytes of header and 8 of name, up to a multiple of four.
        write!(archive, "070701{index:08x}000081A4{:072}{:08x}{:08x}{index:07}\0\0\0", 0, 8, 0).unwrap();
    }
    archive.flush().unwrap();
    refused(at, "more than 100000 files");
}

#[test]
fn folders_of_very_many_names() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let Some(()) = debian(at) else { return };
    put(at, "boot/entry", "title x\nlinux /boot/vmlinuz-6.1.0\noptions root=/dev/xvda1\n");
    fs::create_dir_all(at.join("tree/etc/many")).unwrap();
    pack(at);
    crowd(at, "/boot/loader/entries", 100_000, "/boot/entry", |index| format!("{index:06}.conf"));
    debugfs(at, "rm /boot/grub/grub.cfg");
    fs::write(at.join("menu"), "blscfg\n").unwrap();
    debugfs(at, "write menu /boot/grub/grub.cfg");
    run(at, CHECK).with(1, &["/boot/loader/entries", "100000 names are more than", "not ready"]);

    crowd(at, "/etc/many", 1_000_000, "/etc/fstab", |index| format!("{index:07}"));
    for line in ["fs ls disk.raw#/etc/many", "fs ls disk.raw#/etc/many --json", "fs diff disk.raw disk.raw"] {
        run(at, line).with(2, &["/etc/many", "1000000 names are more than"]);
    }
    crowd(at, "/etc/many", 200_000, "/etc/fstab", |index| format!("{index:07}"));
    let listed = run(at, "fs ls disk.raw#/etc/many");
    listed.with(0, &["/etc/many/0000000", "/etc/many/0000100"]);
    run(at, "fs ls disk.raw#/etc/many --json").with(0, &[]);

    crowd(at, "/lib/modules/6.1.0", 100_000, "/etc", |index| format!("6.1.{index}"));
    run(at, CHECK);
    fs::remove_dir_all(at.join("tree/lib/modules/6.1.0")).unwrap();
    pack(at);
    crowd(at, "/lib/modules", 100_000, "/etc", |index| format!("6.1.{index}"));
    run(at, CHECK).with(1, &["/lib/modules", "100000 names are more than", "not ready"]);
    crowd(at, "/lib/modules", 60_000, "/etc", |index| format!("6.1.{index}"));
    run(at, CHECK).with(1, &["/lib/modules", "kernels are more than", "not ready"]);
}

#[test]
fn texts_without_end_and_links_that_lead_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let Some(()) = debian(at) else { return };
    let mut fstab = writer(at, "etc/fstab");
    (0..1_000_000).for_each(|_| fstab.write_all(b"/dev/xvdb /mnt ext4 defaults 0 0\n").unwrap());
    fstab.flush().unwrap();
    pack(at);
    run(at, CHECK).with(1, &["/etc/fstab", "bytes are more than", "not ready"]);
    put(at, "etc/fstab", "a /b c d 0 0\n".repeat(80_000));
    pack(at);
    run(at, CHECK).with(1, &["/etc/fstab", "lines are more than", "not ready"]);
    put(at, "etc/fstab", format!("UUID={UUID} / ext4 defaults 0 1\n"));

    let deep = "submenu x {\n".repeat(100_000) + &"linux /k\n".repeat(60_000) + &"}\n".repeat(100_000);
    put(at, "boot/grub/grub.cfg", &deep);
    pack(at);
    run(at, CHECK).with(1, &["/boot/grub/grub.cfg", "not ready"]);
    put(at, "boot/grub/grub.cfg", GRUB_CFG);

    // A chain as long as a name can be told apart, and one that turns back.
    fs::remove_file(at.join("tree/etc/fstab")).unwrap();
    for index in 0..2_000 {
        std::os::unix::fs::symlink(format!("l{}", index + 1), at.join(format!("tree/etc/l{index}"))).unwrap();
    }
    std::os::unix::fs::symlink("l0", at.join("tree/etc/fstab")).unwrap();
    fs::remove_file(at.join("tree/boot/grub/grub.cfg")).unwrap();
    std::os::unix::fs::symlink("../grub/grub.cfg", at.join("tree/boot/grub/grub.cfg")).unwrap();
    pack(at);
    run(at, CHECK).with(1, &["/etc/fstab", "/boot/grub/grub.cfg", "symbolic links", "not ready"]);
}

/// A file of a TiB that holds next to nothing.
#[test]
fn holes_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let Some(()) = debian(at) else { return };
    let sparse = File::create(at.join("tree/etc/sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    sparse.write_all_at(b"here", 1 << 39).unwrap();
    pack(at);
    fs::copy(at.join("disk.raw"), at.join("same.raw")).unwrap();
    sparse.write_all_at(b"elsewhere", 1 << 38).unwrap();
    pack(at);
    run(at, "fs diff disk.raw same.raw").with(1, &["changed /etc/sparse"]);
    run(at, "fs diff same.raw same.raw").with(0, &[]);
    run(at, "fs ls disk.raw#/etc").with(0, &["1099511627776", "/etc/sparse"]);
    // Zeros that are stored are equal to a hole.
    sparse.set_len(1 << 20).unwrap();
    pack(at);
    fs::copy(at.join("disk.raw"), at.join("same.raw")).unwrap();
    put(at, "etc/sparse", vec![0; 1 << 20]);
    pack(at);
    run(at, "fs diff disk.raw same.raw#/").with(0, &[]);
}

#[test]
fn plans_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let plan = |by_hand: &str| {
        format!(
            "{{\"schema\":\"refloat.plan/3\",\"refloat\":\"0\",\"source\":[{{\"path\":\"none\",\"size\":1,\
             \"sha256\":\"0\"}}],\"goal\":{{\"target\":\"azure-gen1\",\"cloud_init\":\"disable\"}},\"time\":0,\
             \"steps\":[],\"by_hand\":[{{\"rule\":\"a\",\"severity\":\"note\",{by_hand}}}],\"unknown\":[],\
             \"boot\":{{\"arrives\":false,\"reached\":[]}},\
             \"boot_after\":{{\"arrives\":false,\"reached\":[]}},\
             \"totals\":{{\"edits\":0,\"bytes\":0}}}}"
        )
    };
    // Each: what the plan has in place of `@`, so often that it is so long, and why it is refused.
    let text = plan("\"evidence\":[],\"what\":\"@\"");
    let many = plan("\"what\":\"\",\"evidence\":[@{\"place\":{\"kind\":\"platform\"},\"what\":\"\"}]");
    let one = "{\"place\":{\"kind\":\"platform\"},\"what\":\"\"},";
    for (document, piece, len, why) in [
        (&text, "AAAA", 256 << 20, "refloat reads 117440512 of a plan"),
        (&text, "AAAA", 110 << 20, "error:"),
        (&text, "\\n", 110 << 20, "one text in it is longer"),
        (&many, one, 100 << 20, "values"),
        (&"{\"schema\":@".to_owned(), "[", 100 << 20, "values"),
    ] {
        let mut out = BufWriter::new(File::create(at.join("plan.json")).unwrap());
        let (before, behind) = document.split_once('@').unwrap();
        out.write_all(before.as_bytes()).unwrap();
        (0..len / piece.len()).for_each(|_| out.write_all(piece.as_bytes()).unwrap());
        out.write_all(behind.as_bytes()).unwrap();
        out.flush().unwrap();
        for line in ["apply plan.json -o out.qcow2", "plan --show plan.json"] {
            run(at, line).with(2, &[why]);
        }
        assert!(!at.join("out.qcow2").exists(), "{why}");
    }
    std::os::unix::fs::symlink("/dev/zero", at.join("endless.json")).unwrap();
    run(at, "apply endless.json -o out.qcow2").with(2, &["not a regular file"]);
}

/// Sizes in the headers of images and of volumes that no file has.
#[test]
fn sizes_that_nothing_has() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    if !judge::need_all(&["qemu-img", "sgdisk"]) {
        return;
    }
    let patched = |from: &Path, name: &str, patches: &[(u64, &[u8])]| {
        fs::copy(from, at.join(name)).unwrap();
        let file = File::options().write(true).open(at.join(name)).unwrap();
        patches.iter().for_each(|(place, bytes)| file.write_all_at(bytes, *place).unwrap());
    };
    let sound = at.join("sound.qcow2");
    judge::run(judge::tool("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&sound).arg("1T"));
    let max = &[0xff; 4][..];
    for (name, patches) in [
        // The number of entries of the L1 table; with a place past the end of the file.
        ("l1-entries.qcow2", vec![(36, max)]),
        ("l1-place.qcow2", vec![(40, &[0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0][..])]),
        // The size of the disk, with clusters of 2 GiB; of 512 bytes.
        ("size.qcow2", vec![(24, &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..])]),
        ("clusters.qcow2", vec![(20, &31_u32.to_be_bytes()[..])]),
        ("small-clusters.qcow2", vec![(20, &9_u32.to_be_bytes()[..])]),
        ("refcounts.qcow2", vec![(56, max), (96, &6_u32.to_be_bytes()[..])]),
        ("snapshots.qcow2", vec![(60, max)]),
        ("header.qcow2", vec![(100, max)]),
        ("backing.qcow2", vec![(8, &64_u64.to_be_bytes()[..]), (16, max)]),
    ] {
        patched(&sound, name, &patches);
        for line in [format!("inspect {name}"), format!("check {name} --for azure-gen1")] {
            let told = run(at, &line);
            assert!(matches!(told.code, Some(0 | 2)), "{line}: {:?} {}{}", told.code, told.out, told.err);
        }
    }

    let disk = at.join("gpt.raw");
    File::create(&disk).unwrap().set_len(64 << 20).unwrap();
    judge::run(judge::tool("sgdisk").args(["-n", "1:2048:4095"]).arg(&disk));
    // The number and the size of the entries, in both headers, with checksums that are right.
    for (name, field, value) in
        [("entries.raw", 80, max), ("entry-size.raw", 84, &0x8000_0000_u32.to_le_bytes()[..])]
    {
        let mut patches = Vec::new();
        let headers: Vec<(u64, Vec<u8>)> = [512, (64 << 20) - 512]
            .map(|place| {
                let mut header = vec![0; 92];
                File::open(&disk).unwrap().read_exact_at(&mut header, place).unwrap();
                header[field..field + 4].copy_from_slice(value);
                header[16..20].fill(0);
                let sum = crc32fast::hash(&header);
                header[16..20].copy_from_slice(&sum.to_le_bytes());
                (place, header)
            })
            .into();
        patches.extend(headers.iter().map(|(place, header)| (*place, header.as_slice())));
        patched(&disk, name, &patches);
        for line in [format!("inspect {name}"), format!("check {name} --for azure-gen1")] {
            run(at, &line).with(2, &["gpt"]);
        }
    }
}

/// Metadata of LVM as large as their area can be, all of it names of volumes.
#[test]
fn metadata_of_lvm_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let disk = at.join("lvm.raw");
    File::create(&disk).unwrap().set_len(64 << 20).unwrap();
    let file = File::options().write(true).open(&disk).unwrap();
    let sum = |bytes: &[u8]| {
        // That of LVM begins with a number of its own and is not turned over at the end.
        let mut hasher = crc32fast::Hasher::new_with_initial(!0xf597_a6cf);
        hasher.update(bytes);
        !hasher.finalize()
    };
    for len in [1_usize << 20, 16 << 20] {
        let mut text = String::from("vg0 { id = \"x\"\nseqno = 1\nlogical_volumes {\n");
        while text.len() < len - 200 {
            text += &format!("l{} {{ id = \"x\" }}\n", text.len());
        }
        text += "}\n}\ncontents = \"Text Format Volume Group\"\nversion = 1\n\0";
        let mut area = vec![0; 512];
        area[4..20].copy_from_slice(b" LVM2 x[5A%r0N*>");
        area[20..24].copy_from_slice(&1_u32.to_le_bytes());
        area[24..32].copy_from_slice(&4096_u64.to_le_bytes());
        area[32..40].copy_from_slice(&(20_u64 << 20).to_le_bytes());
        area[40..48].copy_from_slice(&512_u64.to_le_bytes());
        area[48..56].copy_from_slice(&(text.len() as u64).to_le_bytes());
        area[56..60].copy_from_slice(&sum(text.as_bytes()).to_le_bytes());
        let of_the_area = sum(&area[4..]);
        area[..4].copy_from_slice(&of_the_area.to_le_bytes());
        let mut label = vec![0; 512];
        label[..8].copy_from_slice(b"LABELONE");
        label[8..16].copy_from_slice(&1_u64.to_le_bytes());
        label[20..24].copy_from_slice(&32_u32.to_le_bytes());
        label[24..32].copy_from_slice(b"LVM2 001");
        label[32..64].copy_from_slice(&[b'a'; 32]);
        label[64..72].copy_from_slice(&(64_u64 << 20).to_le_bytes());
        label[72..80].copy_from_slice(&(32_u64 << 20).to_le_bytes());
        // Behind the list of data areas, that of metadata areas.
        label[104..112].copy_from_slice(&4096_u64.to_le_bytes());
        label[112..120].copy_from_slice(&(20_u64 << 20).to_le_bytes());
        let of_the_label = sum(&label[20..]);
        label[16..20].copy_from_slice(&of_the_label.to_le_bytes());
        file.write_all_at(&label, 512).unwrap();
        file.write_all_at(&area, 4096).unwrap();
        file.write_all_at(text.as_bytes(), 4096 + 512).unwrap();
        run(at, "inspect lvm.raw").with(0, &["LVM2_member"]);
        run(at, "check lvm.raw --for azure-gen1").with(2, &["no operating system found", "LVM: "]);
    }
}
