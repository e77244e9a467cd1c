//! Disks with NTFS: `mkntfs`, and the files by a mount of `ntfs-3g`, which is a program and no part of the
//! kernel.

use std::fs::File;
use std::path::Path;

use anyhow::{Result, bail};

use super::super::disk::{run, tool};
use super::super::tree::{Node, Tree};

/// What the first sectors of an NTFS that Windows starts from say; no code.
const BOOT_TEXT: &[u8] =
    b"\r\nA disk read error occurred\0\r\nBOOTMGR is missing\0\r\nBOOTMGR is compressed\0\r\nPress Ctrl+Alt+Del to restart\r\n\0";

/// An NTFS volume to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ntfs<'a> {
    /// The volume's name.
    pub(super) label: &'a str,
    /// Where on its disk it starts, in sectors of 512 bytes.
    pub(super) start: u64,
    /// Whether bootmgr starts from it by BIOS.
    pub(super) boots: bool,
    /// Bytes that others have got between any two files, as on a volume that was in use for years.
    pub(super) between: Option<usize>,
}

impl Ntfs<'_> {
    /// Makes the volume, with the files of `tree`, in the new file `image` of `size` bytes. Windows leaves
    /// the last sector of a partition to a copy of the first, and so does mkntfs.
    pub(super) fn make(&self, image: &Path, size: u64, tree: &Tree) -> Result<()> {
        File::create(image)?.set_len(size)?;
        let mut mkntfs = tool("mkntfs");
        mkntfs.args(["--force", "--fast", "--quiet", "--cluster-size", "4096", "--sector-size", "512"]);
        mkntfs.args(["--heads", "255", "--sectors-per-track", "63", "--label", self.label]);
        mkntfs.args(["--partition-start", &self.start.to_string()]).arg(image);
        run(&mut mkntfs, &[])?;
        if self.boots {
            put_boot_code(image, size)?;
        }
        mounted(image, |root| write(tree, root, self.between))
    }
}

/// What `fill` does to the files of a volume.
fn mounted(image: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let point = tempfile::tempdir()?;
    // With security ids of its own for each file, as Windows has them.
    let mut mount = tool("ntfs-3g");
    mount.args(["-o", "permissions,windows_names,hide_dot_files"]).arg(image).arg(point.path());
    run(&mut mount, &[])?;
    let filled = fill(point.path());
    run(tool("umount").arg(point.path()), &[])?;
    filled
}

/// Puts files onto the first partition of a disk, which has a DOS table.
pub(super) fn add(disk: &Path, tree: &Tree) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let file = File::options().read(true).write(true).open(disk)?;
    let mut entry = [0; 8];
    file.read_exact_at(&mut entry, 446 + 8)?;
    let number =
        |at: usize| u64::from(u32::from_le_bytes(entry[at..at + 4].try_into().expect("four bytes"))) * 512;
    let (start, size) = (number(0), number(4));
    let volume = crate::judge::cut(disk, start..start + size);
    mounted(volume.path(), |root| tree.write_below(root))?;
    let mut piece = vec![0; 1 << 20];
    for at in (0..size).step_by(piece.len()) {
        let len = piece.len().min((size - at) as usize);
        volume.as_file().read_exact_at(&mut piece[..len], at)?;
        file.write_all_at(&piece[..len], start + at)?;
    }
    Ok(())
}

fn write(tree: &Tree, root: &Path, between: Option<usize>) -> Result<()> {
    if tree.iter().any(|(_, node)| matches!(node, Node::Link(_))) {
        bail!("a Windows guest has no symbolic links");
    }
    let Some(between) = between else { return tree.write_below(root) };
    let others = root.join("Users/Public");
    std::fs::create_dir_all(&others)?;
    for (number, (path, node)) in tree.iter().enumerate() {
        let place = root.join(&path[1..]);
        let Node::File { content, .. } = node else {
            std::fs::create_dir_all(place)?;
            continue;
        };
        // Zeros that are written take room on the volume, and none in the image that becomes of it.
        std::fs::write(others.join(format!("{number}.bin")), vec![0; between])?;
        std::fs::write(place, content)?;
    }
    Ok(())
}

/// The boot sector's code and the sector behind it, where Windows names what it looks for.
fn put_boot_code(image: &Path, size: u64) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let file = File::options().read(true).write(true).open(image)?;
    let mut sector = [0; 512];
    file.read_exact_at(&mut sector, 0)?;
    sector[0x54..0x1fe].fill(0x90);
    sector[0x54..0x56].copy_from_slice(&[0xfa, 0x33]);
    let at = 0x1f0 - BOOT_TEXT.len();
    sector[at..at + BOOT_TEXT.len()].copy_from_slice(BOOT_TEXT);
    let mut second = [0x90; 512];
    let name: Vec<u8> = [7].into_iter().chain("BOOTMGR".encode_utf16()).flat_map(u16::to_le_bytes).collect();
    second[..name.len()].copy_from_slice(&name);
    file.write_all_at(&sector, 0)?;
    file.write_all_at(&second, 512)?;
    // mkntfs keeps the copy in the last sector.
    file.write_all_at(&sector, size / 512 * 512 - 512)?;
    Ok(())
}

/// The code that Windows has in the first sector of a disk, as far as its words go.
pub(super) fn put_master_boot_code(disk: &Path) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let mut code = [0x90_u8; 440];
    code[..4].copy_from_slice(&[0x33, 0xc0, 0x8e, 0xd0]);
    let text = b"Invalid partition table\0Error loading operating system\0Missing operating system\0";
    code[0x163..0x163 + text.len()].copy_from_slice(text);
    File::options().write(true).open(disk)?.write_all_at(&code, 0)?;
    Ok(())
}
