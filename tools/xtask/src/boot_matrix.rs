//! `cargo xtask boot-matrix`: boots that take too long for every submission.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::top;

/// Boots the real guest as it came and as it was migrated, on stock QEMU's devices and on the Hyper-V laboratory's, and
/// prints how far each came.
pub(crate) fn run() -> Result<()> {
    crate::run("cargo", &["build", "--release", "--package", "refloat"])?;
    let refloat = top().join("target/release/refloat").canonicalize()?;
    let image = testimages::real::debian().context("the real guest cannot be built here")?;
    let folder = tempfile::tempdir_in(testimages::cache::directory())?;
    let fixed = folder.path().join("azure.vhd");
    let migrated = Command::new(&refloat)
        .args(["migrate", "--quiet", "--for", "azure-gen1"])
        .args([&image, &fixed])
        .status()
        .context("refloat cannot be started")?;
    ensure!(migrated.success(), "refloat migrate: {migrated}");
    let laboratory = testimages::lab::qemu();
    // Stock QEMU's emulated disk needs drivers that the guest came without, as Hyper-V's does: neither boots it.
    let mut machines = vec![("stock QEMU", None)];
    machines.extend(laboratory.as_ref().map(|qemu| ("Hyper-V laboratory", Some(qemu))));
    let mut surprises = Vec::new();
    for (name, qemu) in machines {
        for (state, disk, expected) in [("as it came", &image, false), ("migrated", &fixed, true)] {
            let boots = boot(&refloat, folder.path(), disk, qemu)?;
            println!("{name}, {state}: {}", if boots { "login" } else { "no login" });
            if boots != expected {
                surprises.push(format!("{name}, {state}"));
            }
        }
    }
    ensure!(surprises.is_empty(), "not as expected: {}", surprises.join("; "));
    Ok(())
}

fn boot(refloat: &Path, folder: &Path, disk: &Path, qemu: Option<&PathBuf>) -> Result<bool> {
    let mut command = Command::new(refloat);
    command.current_dir(folder).args(["boot", "--for", "azure-gen1"]).arg(disk);
    if let Some(qemu) = qemu {
        command.arg("--qemu").arg(qemu);
    }
    let status = command.status().context("refloat cannot be started")?;
    ensure!(matches!(status.code(), Some(0 | 1)), "refloat boot {}: {status}", disk.display());
    Ok(status.success())
}
