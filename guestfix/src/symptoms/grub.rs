//! What GRUB says it cannot do, in a line `error: …`, with the place in its source before it in some builds.
//! Its messages are too plain to be looked for anywhere else.

use super::{GRUB_2, Symptom, at};
use crate::bootwalk::HopKind::{Initramfs, Kernel, Loader, Menu};

const FILES: &str = "refloat check names the file that is meant: put it back on the machine (reinstall the \
                     package it is of), then take a new snapshot";

/// What the words behind `error: ` mean.
pub(super) static TABLE: &[Symptom] = &[
    at(Menu, 2, "GRUB does not find the file system it was told to search for, or cannot read it")
        .see(
            &["linux.grub.root-device", "linux.boot.next-upgrade"],
            "compare the UUID in grub.cfg with refloat inspect IMAGE; grub-install and update-grub on the \
             machine write both anew",
            GRUB_2,
        )
        .hints(&["no such device", "no such disk", "disk `", "no such partition", "unknown filesystem"]),
    at(Menu, 2, "GRUB cannot read the disk where it was told to")
        .see(
            &["disk.partition-table", "disk.size-limit"],
            "see that the copy of the disk is whole: refloat verify compares it with its source",
            GRUB_2,
        )
        .hints(&[
            "attempt to read or write outside of",
            "failure reading sector",
            "read error",
            "out of disk",
        ]),
    at(Menu, 3, "GRUB cannot understand its configuration")
        .see(&[], "write grub.cfg anew on the machine (update-grub), then take a new snapshot", GRUB_2)
        .hints(&["syntax error", "Incorrect command", "unknown command", "unexpected end of file"]),
    at(Loader, 2, "a module of GRUB is missing, or is of another version than its core")
        .see(
            &["linux.boot.next-upgrade"],
            "install GRUB anew on the machine (grub-install), so that core and modules are of one version",
            GRUB_2,
        )
        .hints(&[
            "symbol `",
            "symbol '",
            "can't find command `",
            "can't find command '",
            "ELF magic",
            "ELF header",
        ]),
    at(Kernel, 3, "the kernel's file is no kernel that GRUB can start").see(&[], FILES, GRUB_2).hints(&[
        "invalid magic number",
        "bad shim signature",
        "bad shim loader signature",
        "has invalid signature",
        "cannot load image",
        "kernel too old",
        "cannot read the Linux header",
        "not a Linux",
        "kernel doesn't support",
        "start_image() returned",
    ]),
    at(Kernel, 1, "GRUB found no kernel")
        .see(&[], FILES, GRUB_2)
        .hints(&["you need to load the kernel first"]),
    at(Initramfs, 2, "GRUB has no memory for the kernel or the initramfs")
        .see(
            &[],
            "choose a size with more memory, or make the initramfs smaller (MODULES=dep, hostonly)",
            GRUB_2,
        )
        .hints(&["out of memory"]),
];
