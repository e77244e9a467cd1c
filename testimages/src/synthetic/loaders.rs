//! What boot loaders are, to whoever looks at their headers: programs for UEFI, GRUB's core image and its
//! modules, Syslinux. Our own bytes, and no code: only the fields that tell what a file is are alike.

use anyhow::Result;

use super::disk::{run, tool};
use super::tree::Tree;

/// What GRUB for BIOS has built in on these disks.
const CORE_MODULES: &[&str] =
    &["biosdisk", "part_msdos", "part_gpt", "fshelp", "ext2", "xfs", "diskfilter", "lvm"];
/// What GRUB for UEFI has built in, as distributions sign it.
const SIGNED_MODULES: &[&str] = &[
    "boot",
    "configfile",
    "ext2",
    "extcmd",
    "fat",
    "linux",
    "loadenv",
    "lvm",
    "normal",
    "part_gpt",
    "search",
    "search_fs_uuid",
    "search_label",
    "test",
    "xfs",
];
/// Modules below the prefix of GRUB for BIOS, each with those it needs.
const MODULES: &[(&str, &[&str])] = &[
    ("normal", &["boot", "extcmd", "gettext", "terminal"]),
    ("boot", &[]),
    ("extcmd", &[]),
    ("gettext", &[]),
    ("terminal", &[]),
    ("configfile", &["normal"]),
    ("linux", &["boot", "video", "relocator"]),
    ("linux16", &["boot", "relocator"]),
    ("video", &[]),
    ("relocator", &["mmap"]),
    ("mmap", &["boot"]),
    ("test", &[]),
    ("search", &["extcmd", "search_fs_file", "search_fs_uuid", "search_label"]),
    ("search_fs_file", &[]),
    ("search_fs_uuid", &[]),
    ("search_label", &[]),
    ("loadenv", &["disk", "extcmd"]),
    ("disk", &[]),
    ("blscfg", &["extcmd", "loadenv", "normal"]),
    ("gzio", &[]),
    ("part_msdos", &[]),
    ("part_gpt", &[]),
    ("ext2", &["fshelp"]),
    ("fshelp", &[]),
    ("all_video", &[]),
];
/// Which module has which command.
const COMMANDS: &str = "*blscfg: blscfg\n*load_env: loadenv\n*menuentry: normal\n*save_env: loadenv\n*search: search\n\
                        *submenu: normal\n.: configfile\n[: test\nconfigfile: configfile\nexport: normal\n\
                        initrd16: linux16\ninitrd: linux\nlinux16: linux16\nlinux: linux\nnormal: normal\n\
                        search.file: search_fs_file\nsearch.fs_label: search_label\n\
                        search.fs_uuid: search_fs_uuid\nsource: configfile\ntest: test\n";

const SECTOR: usize = 512;

/// A program for UEFI on x86-64 with these sections.
pub(super) fn program(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = vec![0_u8; 1024];
    file[..2].copy_from_slice(b"MZ");
    file[0x3c] = 0x80; // where the PE header is
    file[0x80..0x84].copy_from_slice(b"PE\0\0");
    file[0x84..0x86].copy_from_slice(&0x8664_u16.to_le_bytes());
    file[0x86] = sections.len() as u8;
    file[0x94] = 0xf0; // bytes of optional header
    file[0x96..0x98].copy_from_slice(&0x0206_u16.to_le_bytes());
    file[0x98..0x9a].copy_from_slice(&0x020b_u16.to_le_bytes()); // PE32+
    file[0xdc] = 10; // subsystem: EFI application
    for (index, (name, content)) in sections.iter().enumerate() {
        let header = 0x188 + 40 * index;
        file[header..header + name.len()].copy_from_slice(name.as_bytes());
        let (size, start) = (content.len() as u32, file.len() as u32);
        for (at, value) in [(8, size), (16, size), (20, start)] {
            file[header + at..header + at + 4].copy_from_slice(&value.to_le_bytes());
        }
        file.extend(*content);
    }
    file
}

/// No code, as much of it as a header says.
const TEXT: (&str, &[u8]) = (".text", &[0x90; 512]);

/// shim, or one of the programs that come with it.
pub(super) fn shim() -> Vec<u8> {
    program(&[TEXT, (".sbat", b"sbat,1,SBAT Version,sbat,1,none\nshim,4,UEFI shim,shim,1,none\n")])
}

pub(super) fn systemd_boot() -> Vec<u8> {
    program(&[TEXT, (".sdmagic", b"#### LoaderInfo: systemd-boot 257 ####")])
}

/// GRUB for UEFI with this prefix, and modules that not all have.
pub(super) fn grub_efi(prefix: &str, more: &[&str]) -> Vec<u8> {
    let objects = objects(&[SIGNED_MODULES, more].concat(), prefix);
    let mut mods = b"mimg\0\0\0\0".to_vec();
    mods.extend(24_u64.to_le_bytes());
    mods.extend((24 + objects.len() as u64).to_le_bytes());
    mods.extend(objects);
    program(&[TEXT, ("mods", &mods)])
}

/// The list of what is built in: modules and the prefix.
fn objects(modules: &[&str], prefix: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut object = |kind: u32, content: &[u8]| {
        let size = (8 + content.len()).next_multiple_of(8);
        out.extend(kind.to_le_bytes());
        out.extend((size as u32).to_le_bytes());
        out.extend(content);
        out.resize(out.len().next_multiple_of(8), 0);
    };
    for name in modules {
        object(0, &module(name, &[]));
    }
    object(3, format!("{prefix}\0").as_bytes());
    out
}

/// A module of GRUB: an object file of ELF for 32 bits with its name and those of the modules that it needs.
fn module(name: &str, needs: &[&str]) -> Vec<u8> {
    let names = b"\0.modname\0.moddeps\0.shstrtab\0";
    let needs: String = needs.iter().map(|name| format!("{name}\0")).collect();
    let name = format!("{name}\0");
    let contents: [(u32, &[u8]); 3] = [(1, name.as_bytes()), (10, needs.as_bytes()), (19, names)];
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let body: usize = contents.iter().map(|(_, content)| content.len()).sum();
    let table = (52 + body).next_multiple_of(4);
    for half in [1_u16, 3] {
        file.extend(half.to_le_bytes()); // relocatable, i386
    }
    for word in [1_u32, 0, 0, table as u32, 0] {
        file.extend(word.to_le_bytes()); // version, entry, programs, sections, flags
    }
    for half in [52_u16, 0, 0, 40, 4, 3] {
        file.extend(half.to_le_bytes());
    }
    let mut sections = vec![[0_u32; 10]];
    for (name, content) in contents {
        let kind = if name == 19 { 3 } else { 1 };
        let (start, size) = (file.len() as u32, content.len() as u32);
        sections.push([name, kind, 0, 0, start, size, 0, 0, 1, 0]);
        file.extend(content);
    }
    file.resize(table, 0);
    file.extend(sections.iter().flatten().flat_map(|word| word.to_le_bytes()));
    file
}

/// Adds the folder of modules of GRUB for BIOS.
pub(super) fn grub_modules(tree: &mut Tree, folder: &str) {
    for (name, needs) in MODULES {
        tree.file(&format!("{folder}/{name}.mod"), module(name, needs));
    }
    tree.file(&format!("{folder}/command.lst"), COMMANDS);
}

/// GRUB's core image for BIOS with this prefix, to be at this sector: whole sectors.
pub(super) fn grub_core(sector: u64, prefix: &str) -> Result<Vec<u8>> {
    let objects = objects(CORE_MODULES, prefix);
    let mut kernel = b"a synthetic kernel of GRUB\0\0".to_vec();
    kernel.extend(b"mimg");
    kernel.extend(12_u32.to_le_bytes());
    kernel.extend((12 + objects.len() as u32).to_le_bytes());
    kernel.extend(objects);
    let mut xz = tool("xz");
    xz.args(["--format=raw", "--lzma1=dict=64KiB,lc=3,lp=0,pb=2", "--stdout"]);
    let packed = run(&mut xz, &kernel)?;

    let mut core = vec![0_u8; 2 * SECTOR];
    core[..2].copy_from_slice(&[0x52, 0xe8]);
    core[0x208..0x20c].copy_from_slice(&(packed.len() as u32).to_le_bytes());
    core[0x20c..0x210].copy_from_slice(&(kernel.len() as u32).to_le_bytes());
    core.extend(packed);
    core.resize(core.len().next_multiple_of(SECTOR), 0);
    let others = (core.len() / SECTOR - 1) as u16;
    core[0x1f4..0x1fc].copy_from_slice(&(sector + 1).to_le_bytes());
    core[0x1fc..0x1fe].copy_from_slice(&others.to_le_bytes());
    core[0x1fe..0x200].copy_from_slice(&[0x20, 0x08]);
    Ok(core)
}

/// Adds what extlinux keeps beside its menu, in the folder /boot.
pub(super) fn extlinux(tree: &mut Tree) {
    let mut core = b"\r\nSYSLINUX 6.04 synthetic\r\n\x1a\0".to_vec();
    core.resize(core.len().next_multiple_of(4), 0);
    core.extend([0xfe, 0x02, 0xb2, 0x3e, 0, 0, 0, 0]);
    core.extend(16_u16.to_le_bytes());
    core.resize(16 * SECTOR, 0x90);
    tree.file("/boot/ldlinux.sys", core);
    for name in ["ldlinux", "libcom32", "libutil", "menu"] {
        tree.file(&format!("/boot/{name}.c32"), module(name, &[]));
    }
}

/// stage1_5 of GRUB before version 2, which reads ext2: the start of it.
pub(super) fn stage1_5() -> Vec<u8> {
    stage(16, 2, "/boot/grub/stage2")
}

/// stage2 of it.
pub(super) fn stage2() -> Vec<u8> {
    stage(200, 0, "/boot/grub/menu.lst")
}

fn stage(sectors: usize, kind: u8, config: &str) -> Vec<u8> {
    let mut stage = vec![0x90_u8; sectors * SECTOR];
    stage[SECTOR + 6..SECTOR + 8].copy_from_slice(&[3, 2]);
    stage[SECTOR + 0x10] = kind;
    let text = format!("0.97\0{config}\0");
    stage[SECTOR + 0x12..SECTOR + 0x12 + text.len()].copy_from_slice(text.as_bytes());
    stage
}
