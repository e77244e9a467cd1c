//! Disks made by the real tools: `mke2fs` and `debugfs`, `mkfs.vfat` and `mcopy`, `sfdisk`, `sgdisk`.
//!
//! Everything that tools would take from the clock or from chance is given, so that one recipe makes the same
//! bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write as _};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::loaders;
use super::tree::{Node, Tree};
use crate::judge;

/// The time stamped on every file: 14 November 2023, 22:13:20 UTC.
pub(super) const TIME: u32 = 1_700_000_000;
/// Bytes in a MiB.
pub(super) const MIB: u64 = 1 << 20;

/// The command of a tool, told to take no time from the clock.
pub(super) fn tool(program: &str) -> Command {
    let mut command = judge::tool(program);
    command
        .env("SOURCE_DATE_EPOCH", TIME.to_string())
        .env("E2FSPROGS_FAKE_TIME", TIME.to_string())
        .env("MTOOLS_SKIP_CHECK", "1");
    command
}

/// Runs `command` with `input`; its standard output.
pub(super) fn run(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output()
    })?;
    if !output.status.success() {
        let all = [output.stdout, output.stderr].concat();
        bail!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&all));
    }
    Ok(output.stdout)
}

/// An ext2, ext3 or ext4 file system to be made.
pub(super) struct Ext<'a> {
    /// `ext2`, `ext3` or `ext4`.
    pub(super) kind: &'a str,
    /// Bytes in a block.
    pub(super) block_size: u32,
    /// The file system's UUID.
    pub(super) uuid: &'a str,
    /// The volume's name; may be empty.
    pub(super) label: &'a str,
    /// Features beyond (or, after `^`, short of) mke2fs's own choice for this kind.
    pub(super) features: &'a str,
}

impl Ext<'_> {
    /// Makes the file system, with the files of `tree`, in the new file `image` of `size` bytes. Everything
    /// belongs to root.
    pub(super) fn make(&self, image: &Path, size: u64, tree: &Tree) -> Result<()> {
        File::create(image)?.set_len(size)?;
        let mut mke2fs = tool("mke2fs");
        mke2fs.args(["-q", "-F", "-t", self.kind, "-b", &self.block_size.to_string(), "-U", self.uuid]);
        mke2fs.args(["-L", self.label, "-m", "1", "-N", "2048"]);
        mke2fs.args(["-E", &format!("hash_seed={},root_owner=0:0", self.uuid)]);
        if !self.features.is_empty() {
            mke2fs.args(["-O", self.features]);
        }
        run(mke2fs.arg(image), &[])?;

        // `mke2fs -d` would copy owners and change times from the host; debugfs sets each field, and needs no
        // root.
        let sources = tempfile::tempdir()?;
        let mut script = String::new();
        for (number, (path, node)) in tree.iter().enumerate() {
            let (directory, name) = path.rsplit_once('/').context("an absolute path")?;
            writeln!(script, "cd {}", if directory.is_empty() { "/" } else { directory })?;
            let mode = match node {
                Node::Directory => {
                    writeln!(script, "mkdir \"{name}\"")?;
                    0o040_755
                }
                Node::Link(target) => {
                    writeln!(script, "symlink \"{name}\" \"{target}\"")?;
                    0o120_777
                }
                Node::File { mode, content } => {
                    let source = sources.path().join(number.to_string());
                    fs::write(&source, content)?;
                    writeln!(script, "write {} \"{name}\"", source.display())?;
                    0o100_000 | mode
                }
            };
            writeln!(script, "sif \"{name}\" mode 0{mode:o}")?;
            for (field, value) in [("uid", 0), ("gid", 0), ("generation", 0)] {
                writeln!(script, "sif \"{name}\" {field} {value}")?;
            }
            for field in ["atime", "ctime", "mtime", "crtime"] {
                writeln!(script, "sif \"{name}\" {field} @{TIME}")?;
            }
        }
        let mut labels = BTreeMap::new();
        for (path, label) in tree.labels() {
            let next = sources.path().join(format!("label{}", labels.len()));
            let file = labels.entry(label).or_insert(next);
            // with a zero at the end, as the kernel keeps them
            fs::write(&*file, format!("{label}\0"))?;
            writeln!(script, "ea_set -f {} \"{path}\" security.selinux", file.display())?;
        }
        let commands = sources.path().join("commands");
        fs::write(&commands, script)?;
        let mut debugfs = tool("debugfs");
        debugfs.args(["-w", "-f"]).arg(&commands).arg(image);
        let output = debugfs.output()?;
        let complaints = String::from_utf8_lossy(&output.stderr);
        // Its only word when all is well is its version, and its status says nothing.
        let unexpected: Vec<_> = complaints.lines().filter(|line| !line.starts_with("debugfs ")).collect();
        ensure!(output.status.success() && unexpected.is_empty(), "debugfs: {}", unexpected.join("\n"));
        Ok(())
    }
}

/// Makes an XFS of `size` bytes with the files of `tree` in the new file `image`. Everything belongs to root.
/// mkfs.xfs takes the times from the clock.
pub(super) fn make_xfs(image: &Path, size: u64, uuid: &str, tree: &Tree) -> Result<()> {
    File::create(image)?.set_len(size)?;
    let sources = tempfile::tempdir()?;
    let mut prototype = "/dev/null\n0 0\nd--755 0 0\n".to_owned();
    prototype_of("", tree, sources.path(), &mut prototype)?;
    let path = sources.path().join("prototype");
    fs::write(&path, prototype)?;
    let mut mkfs = tool("mkfs.xfs");
    mkfs.args(["-q", "-f", "-m", &format!("uuid={uuid},rmapbt=1,reflink=1")]).arg("-p").arg(path);
    if size < 300 * MIB {
        // What tells mkfs.xfs that it is part of a test, where volumes may be this small; the log must fit
        // into one group.
        mkfs.envs([("TEST_DIR", "x"), ("TEST_DEV", "x"), ("QA_CHECK_FS", "x")]);
        mkfs.args(["-d", "agcount=2", "-l", "size=14m"]);
    }
    run(mkfs.arg(image), &[]).map(drop)
}

/// The lines of mkfs.xfs's prototype for what is in a directory, up to its end.
fn prototype_of(directory: &str, tree: &Tree, sources: &Path, out: &mut String) -> Result<()> {
    let inside =
        tree.iter().filter(|(path, _)| path.rsplit_once('/').is_some_and(|(dir, _)| dir == directory));
    for (path, node) in inside {
        let name = &path[directory.len() + 1..];
        match node {
            Node::Directory => {
                writeln!(out, "{name} d--755 0 0")?;
                prototype_of(path, tree, sources, out)?;
            }
            Node::Link(target) => writeln!(out, "{name} l--777 0 0 {target}")?,
            Node::File { mode, content } => {
                let source = sources.join(path[1..].replace('/', ","));
                fs::write(&source, content)?;
                writeln!(out, "{name} ---{mode:o} 0 0 {}", source.display())?;
            }
        }
    }
    writeln!(out, "$")?;
    Ok(())
}

/// Makes a FAT file system of `size` bytes with the files of `tree` in the new file `image`.
pub(super) fn make_vfat(image: &Path, size: u64, label: &str, tree: &Tree) -> Result<()> {
    File::create(image)?.set_len(size)?;
    run(tool("mkfs.vfat").args(["--invariant", "-i", "EC2AE5B0", "-n", label]).arg(image), &[])?;
    let sources = tempfile::tempdir()?;
    tree.write_below(sources.path())?;
    run(
        tool("find")
            .arg(sources.path())
            .args(["-exec", "touch", "-d"])
            .arg(format!("@{TIME}"))
            .args(["{}", "+"]),
        &[],
    )?;
    for (path, node) in tree.iter() {
        let on_disk = format!("::{path}");
        match node {
            Node::Directory => run(tool("mmd").arg("-i").arg(image).arg(on_disk), &[])?,
            Node::File { .. } => {
                let source = sources.path().join(&path[1..]);
                run(tool("mcopy").arg("-m").arg("-i").arg(image).arg(source).arg(on_disk), &[])?
            }
            Node::Link(_) => bail!("FAT has no symbolic links"),
        };
    }
    Ok(())
}

/// Copies the file system image `from` to byte `offset` of the disk image `to`; holes and zeros stay holes.
pub(super) fn place(from: &Path, to: &Path, offset: u64) -> Result<()> {
    let mut from = File::open(from)?;
    let to = File::options().write(true).open(to)?;
    let mut block = vec![0; 64 << 10];
    let mut at = 0;
    loop {
        // What is not stored is not looked at: a volume may be far larger than what is on it.
        at = match rustix::fs::seek(&from, rustix::fs::SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let count = from.read(&mut block)?;
        if block[..count].iter().any(|byte| *byte != 0) {
            to.write_all_at(&block[..count], offset + at)?;
        }
        at += count as u64;
    }
}

/// A DOS partition table by `sfdisk`; `partitions` are its script's lines.
pub(super) fn make_mbr(disk: &Path, size: u64, id: &str, partitions: &str) -> Result<()> {
    File::create(disk)?.set_len(size)?;
    let script = format!("label: dos\nlabel-id: {id}\n{partitions}\n");
    run(tool("sfdisk").args(["--quiet", "--no-tell-kernel"]).arg(disk), script.as_bytes()).map(drop)
}

/// A GPT by `sgdisk`; `arguments` make the partitions.
pub(super) fn make_gpt(disk: &Path, size: u64, guid: &str, arguments: &[&str]) -> Result<()> {
    File::create(disk)?.set_len(size)?;
    run(
        tool("sgdisk").args(["--clear", "--set-alignment=1", "--disk-guid", guid]).args(arguments).arg(disk),
        &[],
    )
    .map(drop)
}

/// Puts what looks like GRUB for BIOS into the boot sector and the sectors at `core`, with its prefix: enough
/// for whoever looks what is there, and nothing that would boot.
pub(super) fn place_synthetic_grub(disk: &Path, core: u64, prefix: &str) -> Result<()> {
    let sector = core / 512;
    let mut boot = boot_code(0x63);
    boot[0x5c..0x64].copy_from_slice(&sector.to_le_bytes());
    write(disk, &[(0, &boot), (core, &loaders::grub_core(sector, prefix)?)])
}

/// Puts what looks like GRUB before version 2 into the boot sector and those behind it.
pub(super) fn place_synthetic_stage1(disk: &Path) -> Result<()> {
    let mut boot = boot_code(0x48);
    boot[0x44..0x48].copy_from_slice(&1_u32.to_le_bytes());
    write(disk, &[(0, &boot), (512, &loaders::stage1_5())])
}

/// Puts what looks like Syslinux into the boot sector, and into that of the partition at `volume`.
pub(super) fn place_synthetic_extlinux(disk: &Path, volume: u64) -> Result<()> {
    let mut boot = [0x90_u8; 440];
    boot[..2].copy_from_slice(&[0x33, 0xc0]);
    let mut sector = [0x90_u8; 512];
    sector[..11].copy_from_slice(b"\xeb\x58\x90SYSLINUX");
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    write(disk, &[(0, &boot), (volume, &sector)])
}

/// Boot code of GRUB: a jump over its fields, and what it says.
fn boot_code(jump: u8) -> [u8; 440] {
    let mut boot = [0x90_u8; 440];
    boot[..3].copy_from_slice(&[0xeb, jump, 0x90]);
    boot[0x180..0x19c].copy_from_slice(b"GRUB \0Geom\0Hard Disk\0Read\0 E");
    boot
}

fn write(disk: &Path, pieces: &[(u64, &[u8])]) -> Result<()> {
    let mut disk = File::options().write(true).open(disk)?;
    for (at, bytes) in pieces {
        disk.seek(SeekFrom::Start(*at))?;
        disk.write_all(bytes)?;
    }
    Ok(())
}
