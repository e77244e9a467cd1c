//! The files of a Windows: programs and drivers that are headers and no code, in their places.

use anyhow::Result;

use super::super::tree::Tree;
use super::{Dress, Firmware, Version, drivers};

/// What starts before anybody logs in.
const PROGRAMS: &[&str] = &[
    "ntoskrnl.exe",
    "winload.exe",
    "winload.efi",
    "winresume.exe",
    "winresume.efi",
    "smss.exe",
    "autochk.exe",
    "csrss.exe",
    "wininit.exe",
    "winlogon.exe",
    "services.exe",
    "lsass.exe",
    "svchost.exe",
    "userinit.exe",
    "LogonUI.exe",
    "cmd.exe",
];

/// What those are linked with.
const LIBRARIES: &[&str] = &[
    "hal.dll",
    "kdcom.dll",
    "ci.dll",
    "pshed.dll",
    "bootvid.dll",
    "mcupdate_GenuineIntel.dll",
    "ntdll.dll",
    "kernel32.dll",
    "KernelBase.dll",
    "csrsrv.dll",
    "basesrv.dll",
    "winsrv.dll",
    "lsasrv.dll",
    "termsrv.dll",
    "rpcss.dll",
    "rpcrt4.dll",
    "RpcEpMap.dll",
    "bfe.dll",
    "dhcpcore.dll",
    "mpssvc.dll",
    "nsisvc.dll",
    "umpnpmgr.dll",
    "profsvc.dll",
    "lsm.dll",
    "msv1_0.dll",
    "user32.dll",
    "gdi32.dll",
    "advapi32.dll",
    "sechost.dll",
];

/// What a program is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subsystem {
    Native = 1,
    Console = 3,
    Efi = 10,
}

/// A program for x86-64: headers that hold together, two sections and the checksum over all (*PE Format*,
/// Microsoft Learn).
pub(super) fn program(name: &str, subsystem: Subsystem, library: bool) -> Vec<u8> {
    const HEADERS: usize = 1024;
    const SECTION: usize = 512;
    let mut file = vec![0_u8; HEADERS];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &[0x80]);
    put(0x80, b"PE\0\0");
    put(0x84, &0x8664_u16.to_le_bytes());
    put(0x86, &[2]);
    put(0x88, &0x6554_0d80_u32.to_le_bytes());
    put(0x94, &[0xf0]);
    put(0x96, &if library { 0x2022_u16 } else { 0x0022 }.to_le_bytes());
    let optional = 0x98;
    put(optional, &0x020b_u16.to_le_bytes());
    for (at, word) in [
        (4, SECTION),  // code
        (8, SECTION),  // data
        (16, 0x1000),  // entry
        (20, 0x1000),  // where code is loaded
        (32, 0x1000),  // alignment in memory
        (36, 512),     // and in the file
        (56, 0x3000),  // all of it in memory
        (60, HEADERS), // headers
        (108, 16),     // directories
    ] {
        put(optional + at, &(word as u32).to_le_bytes());
    }
    put(optional + 24, &0x1_4000_0000_u64.to_le_bytes());
    put(optional + 40, &[6, 0, 1]);
    put(optional + 48, &[6, 0, 1]);
    put(optional + 68, &(subsystem as u16).to_le_bytes());
    put(optional + 72, &0x4_0000_u64.to_le_bytes());
    put(optional + 80, &0x1000_u64.to_le_bytes());
    put(optional + 88, &0x10_0000_u64.to_le_bytes());
    put(optional + 96, &0x1000_u64.to_le_bytes());
    for (index, (section, flags)) in
        [(".text", 0x6000_0020_u32), (".rdata", 0x4000_0040)].into_iter().enumerate()
    {
        let header = optional + 0xf0 + 40 * index;
        put(header, section.as_bytes());
        for (at, word) in
            [(8, SECTION), (12, 0x1000 * (index + 1)), (16, SECTION), (20, HEADERS + SECTION * index)]
        {
            put(header + at, &(word as u32).to_le_bytes());
        }
        put(header + 36, &flags.to_le_bytes());
    }
    file.extend([0xcc; SECTION]);
    let mut data = format!("synthetic {name}\0").into_bytes();
    data.resize(SECTION, 0x20);
    file.extend(data);
    let sum = file.chunks(2).fold(0_u32, |sum, word| {
        let sum = sum + u32::from(word[0]) + (u32::from(word[1]) << 8);
        (sum & 0xffff) + (sum >> 16)
    });
    let sum = sum + file.len() as u32;
    file[optional + 64..optional + 68].copy_from_slice(&sum.to_le_bytes());
    file
}

/// The Windows volume, but for its hives.
pub(super) fn windows(version: &Version, dress: &Dress) -> Tree {
    let mut tree = Tree::default();
    let system = "/Windows/System32";
    for name in PROGRAMS {
        let subsystem = match *name {
            name if name.ends_with(".efi") => Subsystem::Efi,
            "svchost.exe" | "cmd.exe" => Subsystem::Console,
            _ => Subsystem::Native,
        };
        tree.file(&format!("{system}/{name}"), program(name, subsystem, false));
    }
    for name in LIBRARIES {
        tree.file(&format!("{system}/{name}"), program(name, Subsystem::Native, true));
    }
    for driver in drivers::in_the_box(version.line).iter().chain(dress.drivers.iter().copied().flatten()) {
        let path = format!("{system}/{}", driver.file.replace('\\', "/"));
        tree.file(&path, program(driver.name, Subsystem::Native, false));
    }
    for name in ["pciidex", "ataport", "storport", "hal", "winhv", "vmbkmcl", "classpnp", "ndiscap"] {
        tree.file(&format!("{system}/drivers/{name}.sys"), program(name, Subsystem::Native, false));
    }
    for name in ["C_1252.NLS", "C_437.NLS", "l_intl.nls", "locale.nls"] {
        tree.file(&format!("{system}/{name}"), [0x5a; 2048]);
    }
    tree.file("/Windows/Fonts/vgaoem.fon", [0; 1024]);
    tree.file("/Windows/INF/wvmbus.inf", "[Version]\r\nSignature=\"$WINDOWS NT$\"\r\nClass=System\r\n");
    tree.file("/Windows/explorer.exe", program("explorer.exe", Subsystem::Console, false));
    tree.directory("/Windows/Microsoft.NET/Framework64/v4.0.30319");
    tree.directory("/Windows/Temp");
    tree.directory("/Windows/WinSxS");
    tree.directory("/Program Files");
    tree.directory("/ProgramData/Microsoft");
    tree.directory("/Users/Administrator/Desktop");
    tree.file("/pagefile.sys", vec![0; 64 << 10]);
    for file in dress.files {
        tree.file(file, program(file, Subsystem::Console, false));
    }
    tree
}

/// What the partition that the machine starts from has, but for the store: bootmgr, or the loaders of UEFI.
pub(super) fn system_partition(firmware: Firmware, fallback: bool) -> Result<Tree> {
    let mut tree = Tree::default();
    match firmware {
        Firmware::Bios => {
            tree.file(
                "/bootmgr",
                [&[0xe9, 0xd5, 1, 0][..], &program("bootmgr", Subsystem::Native, false)].concat(),
            );
            tree.file("/BOOTNXT", [0x31]);
            tree.file("/Boot/memtest.exe", program("memtest.exe", Subsystem::Native, false));
            tree.file("/Boot/Fonts/segoe_slboot.ttf", [0; 1024]);
        }
        Firmware::Uefi => {
            let manager = program("bootmgfw.efi", Subsystem::Efi, false);
            tree.file("/EFI/Microsoft/Boot/bootmgfw.efi", &manager);
            tree.file("/EFI/Microsoft/Boot/memtest.efi", program("memtest.efi", Subsystem::Efi, false));
            if fallback {
                tree.file("/EFI/Boot/bootx64.efi", &manager);
            }
        }
    }
    Ok(tree)
}
