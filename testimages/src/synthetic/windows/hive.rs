//! Registry hives: the smallest there is, by hand after the *Windows registry file format specification*
//! (M. Suhanov), and what is in it by `hivexregedit`.

use std::fs;

use anyhow::{Context, Result};

use super::super::disk::{run, tool};
use super::reg::{ROOT, Reg};

/// One page: the base block, and a hive bin of the same size behind it.
const PAGE: usize = 4096;
/// The time of keys and of the hive, in 100 ns since 1601: 14 November 2023.
const TIME: u64 = 133_444_736_000_000_000;
/// Where the cells of the root key and of its security descriptor are in the bin.
const ROOT_CELL: u32 = 0x20;
const SECURITY_CELL: u32 = 0x78;
const NONE: u32 = u32::MAX;

/// Owner and group Administrators and SYSTEM; both may do all, users may read: self-relative, MS-DTYP 2.4.6.
fn descriptor() -> Vec<u8> {
    let system: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
    let administrators: &[u8] = &[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 32, 2, 0, 0];
    let users: &[u8] = &[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 33, 2, 0, 0];
    let mut entries = Vec::new();
    for (mask, who) in [(0x000f_003f_u32, system), (0x000f_003f, administrators), (0x0002_0019, users)] {
        entries.extend([0, 2]); // allowed, inherited by keys below
        entries.extend(((8 + who.len()) as u16).to_le_bytes());
        entries.extend(mask.to_le_bytes());
        entries.extend(who);
    }
    let list = 8 + entries.len();
    let owner = 20 + list;
    let mut out = vec![1, 0];
    out.extend(0x8004_u16.to_le_bytes());
    for word in [owner, owner + administrators.len(), 0, 20] {
        out.extend((word as u32).to_le_bytes());
    }
    out.extend([2, 0]);
    out.extend((list as u16).to_le_bytes());
    out.extend([3, 0, 0, 0]);
    out.extend(entries);
    out.extend(administrators);
    out.extend(system);
    out
}

/// A hive with a root key and nothing in it; `minor` is 3 up to Windows 7, 5 from 8.1 on.
fn empty(name: &str, minor: u32) -> Vec<u8> {
    let mut base = vec![0; PAGE];
    base[..4].copy_from_slice(b"regf");
    for (at, word) in [(4, 1), (8, 1), (0x14, 1), (0x18, minor), (0x20, 1), (0x24, ROOT_CELL), (0x2c, 1)] {
        base[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    base[0x28..0x2c].copy_from_slice(&(PAGE as u32).to_le_bytes());
    base[0x0c..0x14].copy_from_slice(&TIME.to_le_bytes());
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    base[0x30..0x30 + name.len()].copy_from_slice(&name);
    let sum = base[..508].chunks(4).fold(0, |sum, word| sum ^ u32::from_le_bytes(word.try_into().unwrap()));
    base[508..512].copy_from_slice(&sum.to_le_bytes());

    let mut bin = vec![0; PAGE];
    bin[..4].copy_from_slice(b"hbin");
    bin[8..12].copy_from_slice(&(PAGE as u32).to_le_bytes());
    bin[0x14..0x1c].copy_from_slice(&TIME.to_le_bytes());
    let mut key = Vec::new();
    key.extend(b"nk");
    key.extend(0x2c_u16.to_le_bytes()); // the root, not to be deleted, its name in Latin-1
    key.extend(TIME.to_le_bytes());
    // access bits, parent, keys below (on disk, in memory), their lists, values, their list, security, class
    for word in [0, NONE, 0, 0, NONE, NONE, 0, NONE, SECURITY_CELL, NONE, 0, 0, 0, 0, 0] {
        key.extend(word.to_le_bytes());
    }
    key.extend(4_u16.to_le_bytes());
    key.extend(0_u16.to_le_bytes());
    key.extend(b"ROOT");
    cell(&mut bin, ROOT_CELL as usize, SECURITY_CELL - ROOT_CELL, &key);
    let mut security = Vec::new();
    let descriptor = descriptor();
    security.extend(b"sk\0\0");
    for word in [SECURITY_CELL, SECURITY_CELL, 1, descriptor.len() as u32] {
        security.extend(word.to_le_bytes());
    }
    security.extend(descriptor);
    let size = (4 + security.len()).next_multiple_of(8) as u32;
    cell(&mut bin, SECURITY_CELL as usize, size, &security);
    let free = SECURITY_CELL + size;
    bin[free as usize..free as usize + 4].copy_from_slice(&(PAGE as u32 - free).to_le_bytes());
    [base, bin].concat()
}

/// Puts a cell in use of `size` bytes at `at`.
fn cell(bin: &mut [u8], at: usize, size: u32, content: &[u8]) {
    bin[at..at + 4].copy_from_slice(&(size as i32).wrapping_neg().to_le_bytes());
    bin[at + 4..at + 4 + content.len()].copy_from_slice(content);
}

/// A hive with all of `reg` in it.
pub(super) fn make(name: &str, minor: u32, reg: &Reg) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("hive");
    fs::write(&path, empty(name, minor))?;
    let mut merge = tool("hivexregedit");
    merge.args(["--merge", "--prefix", ROOT]).arg(&path);
    run(&mut merge, reg.render().as_bytes()).with_context(|| format!("the hive {name}"))?;
    Ok(fs::read(path)?)
}
