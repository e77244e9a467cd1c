//! `cargo xtask boot-matrix`: boots that take too long for every submission.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use testimages::real;

use crate::top;

/// A guest as it came out of EC2, and the machine it is for.
struct Guest {
    name: &'static str,
    target: &'static str,
    image: PathBuf,
}

/// What a guest is booted on.
struct Machine {
    name: &'static str,
    /// `None` for the QEMU that is installed.
    qemu: Option<PathBuf>,
}

/// Boots every real guest as it came and as it was migrated, on stock QEMU's devices and on the Hyper-V
/// laboratory's, and prints how far each came.
pub(crate) fn run() -> Result<()> {
    let refloat = build()?;
    let folder = tempfile::tempdir_in(testimages::cache::directory())?;
    let guest = |name, target, image: Option<PathBuf>| {
        Ok::<_, anyhow::Error>(Guest {
            name,
            target,
            image: image.context("a real guest cannot be built here")?,
        })
    };
    let image = |guest: real::OnXfs| guest.image;
    let bios = guest("Debian, BIOS", "azure-gen1", real::debian())?;
    let busy = guest("Debian, BIOS, copied while it ran", "azure-gen1", real::debian_busy())?;
    let uefi = guest("Debian, UEFI", "azure-gen2", real::debian_uefi())?;
    let lvm = guest("dracut, LVM, BIOS", "azure-gen1", real::dracut_lvm().map(image))?;
    let lvm_uefi = guest("dracut, LVM, UEFI", "azure-gen2", real::dracut_lvm_uefi().map(image))?;
    let xfs = guest("dracut, XFS, BIOS", "azure-gen1", real::dracut_xfs().map(image))?;
    let stock = Machine { name: "stock QEMU", qemu: None };
    let laboratory =
        testimages::lab::qemu().map(|qemu| Machine { name: "Hyper-V laboratory", qemu: Some(qemu) });

    // Migrated, the BIOS guests have drivers for Hyper-V's disk and none for stock QEMU's, which could prove
    // nothing. The laboratory's storage is out of UEFI's reach.
    let mut boots = vec![(&bios, &stock, "as it came")];
    for guest in [&uefi, &lvm_uefi] {
        boots.extend([(guest, &stock, "as it came"), (guest, &stock, "migrated")]);
    }
    if let Some(laboratory) = &laboratory {
        for guest in [&bios, &lvm, &xfs] {
            boots.extend([(guest, laboratory, "as it came"), (guest, laboratory, "migrated")]);
        }
        boots.push((&busy, laboratory, "migrated"));
    }
    let mut surprises = Vec::new();
    for (guest, machine, state) in boots {
        let migrated = state == "migrated";
        let disk = if migrated { migrate(&refloat, folder.path(), guest)? } else { guest.image.clone() };
        let outcome = boot(&refloat, folder.path(), guest, machine, &disk)?;
        let line = format!("{}, {state}, on {}: {}", guest.name, machine.name, describe(&outcome));
        println!("{line}");
        let expected = if migrated { "login" } else { "stopped" };
        if outcome["verdict"] != expected {
            surprises.push(line);
        }
    }
    ensure!(surprises.is_empty(), "not as expected:\n{}", surprises.join("\n"));
    Ok(())
}

/// Builds the program; where it is.
pub(crate) fn build() -> Result<PathBuf> {
    crate::run("cargo", &["build", "--release", "--package", "refloat"])?;
    program("release")
}

/// The program that was built by this profile, wherever cargo builds.
pub(crate) fn program(profile: &str) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| top().join("target"), PathBuf::from);
    let program = target.join(profile).join("refloat");
    program.canonicalize().with_context(|| format!("{} was not built", program.display()))
}

fn migrate(refloat: &Path, folder: &Path, guest: &Guest) -> Result<PathBuf> {
    let vhd = folder.join(guest.target).with_extension("vhd");
    let status = Command::new(refloat)
        .args(["migrate", "--quiet", "--force", "--for", guest.target])
        .args([&guest.image, &vhd])
        .stdout(Stdio::null())
        .status()
        .context("refloat cannot be started")?;
    ensure!(status.success(), "refloat migrate {}: {status}", guest.image.display());
    Ok(vhd)
}

/// The answer of `refloat boot`. Exit code 2 stands for no verdict where there is an answer, and for an error
/// where not.
fn boot(refloat: &Path, folder: &Path, guest: &Guest, machine: &Machine, disk: &Path) -> Result<Value> {
    let mut command = Command::new(refloat);
    command.current_dir(folder).args(["boot", "--json", "--for", guest.target]).arg(disk);
    if let Some(qemu) = &machine.qemu {
        command.arg("--qemu").arg(qemu);
    }
    let output = command.stderr(Stdio::inherit()).output().context("refloat cannot be started")?;
    let answered = matches!(output.status.code(), Some(0..=2)) && !output.stdout.is_empty();
    if !answered {
        bail!("refloat boot {}: {}", disk.display(), output.status);
    }
    serde_json::from_slice(&output.stdout).context("refloat boot does not answer in JSON")
}

/// How far a machine came, and how long it took in all.
fn describe(outcome: &Value) -> String {
    let text = |field: &str| outcome[field].as_str().unwrap_or_default().to_owned();
    let seconds = &outcome["seconds"];
    match outcome["verdict"].as_str() {
        Some("login") => format!("login, in {seconds} s"),
        Some("stopped") => format!("stopped at {}, in {seconds} s: {}", text("hop"), text("evidence")),
        _ => format!("no verdict, in {seconds} s: {}", text("why")),
    }
}
