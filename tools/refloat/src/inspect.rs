//! `refloat inspect`: what is in an image.

use std::fmt::Write;

use anyhow::Result;
use guestfix::device::Logical;
use guestfix::facts::{Facts, Lvm, Machine, Volume, VolumeGroup};
use guestfix::{Device, View, inspect};
use serde::Serialize;

use crate::answer::{self, Answer, Outcome};
use crate::cli::{Global, ImageArgs};
use crate::image::{self, Image};
use crate::progress::size;

#[derive(Serialize)]
struct Layer {
    name: &'static str,
    text: String,
}

/// What was found, for `--json`.
#[derive(Serialize)]
struct Inspection {
    image: String,
    format: String,
    layers: Vec<Layer>,
    machine: Machine,
    /// Absent where there is no root file system.
    guest: Option<Facts>,
}

pub(crate) fn run(global: &Global, args: &ImageArgs) -> Outcome {
    let image = image::open(global, &args.image)?;
    let inspection = look(&image)?;
    if global.json {
        answer::json("refloat.inspect/1", &inspection)?;
    } else {
        answer::text(&render(&inspection)?)?;
    }
    Ok(Answer::Yes)
}

fn look(image: &Image) -> Result<Inspection> {
    let tree = image.tree()?;
    let guest = if tree.has_root() { Some(inspect::gather(&tree)?) } else { None };
    let layers = image.opened.layers.iter().map(|layer| Layer { name: layer.name, text: layer.text.clone() });
    Ok(Inspection {
        image: image.name.clone(),
        format: image.opened.format.to_string(),
        layers: layers.collect(),
        machine: tree.machine().clone(),
        guest,
    })
}

fn render(inspection: &Inspection) -> Result<String> {
    let mut out = String::new();
    let Machine { size: disk, table, table_faults, bios, uefi, volumes, lvm } = &inspection.machine;
    writeln!(out, "{}\n\nlayers", inspection.image)?;
    for Layer { name, text } in &inspection.layers {
        writeln!(out, "  {name:<10} {text}")?;
    }
    let starts = match (bios.is_empty(), uefi.is_empty()) {
        (false, false) => "BIOS and UEFI",
        (false, true) => "BIOS",
        (true, false) => "UEFI",
        (true, true) => "nothing that starts",
    };
    writeln!(out, "\ndisk         {}, partition table {table}, {starts}", size(*disk))?;
    for fault in table_faults {
        writeln!(out, "             {fault}")?;
    }
    for line in bios.iter().chain(uefi) {
        writeln!(out, "             {line}")?;
    }
    if let Some(line) = paravirtual(inspection) {
        writeln!(out, "             {line}")?;
    }
    let width = volumes.iter().map(|volume| volume.name.len()).max().unwrap_or(0).max(5);
    for volume in volumes {
        writeln!(out, "  {}", volume_line(volume, width))?;
    }
    render_lvm(&mut out, lvm)?;
    let Some(facts) = &inspection.guest else {
        writeln!(out, "\nno operating system that refloat knows")?;
        return Ok(out);
    };
    render_guest(&mut out, facts)?;
    Ok(out)
}

/// What a disk is that no firmware starts, with the menu of PV-GRUB, and what can become of it.
fn paravirtual(inspection: &Inspection) -> Option<String> {
    let loader = inspection.guest.as_ref()?.boot.loader;
    inspection.machine.is_paravirtual(loader).then(|| {
        let image = &inspection.image;
        format!("a paravirtual AMI, which EC2's PV-GRUB started; refloat plan {image} --for azure-gen1 makes a disk that starts of it")
    })
}

fn volume_line(volume: &Volume, width: usize) -> String {
    let Volume { name, device, kind, uuid, label, mounted_at, type_name, .. } = volume;
    let length = size(device.size());
    let kind = kind.as_deref().unwrap_or("unknown");
    let mut line = format!("{name:<width$} {length:>10}  {kind:<8}");
    for (key, value) in [("", mounted_at), ("UUID=", uuid), ("LABEL=", label), ("", type_name)] {
        if let Some(value) = value {
            line += &format!("  {key}{value}");
        }
    }
    if volume.needs_recovery {
        line += "  (its journal must be replayed)";
    }
    if let Device::Logical(Logical { refused: Some(why), .. }) = device {
        line += &format!("  (cannot be opened: {why})");
    }
    line
}

fn render_lvm(out: &mut String, lvm: &Lvm) -> Result<()> {
    for VolumeGroup { name, uuid, on } in &lvm.groups {
        writeln!(out, "volume group {name} on {}  UUID={uuid}", on.join(", "))?;
    }
    for problem in &lvm.problems {
        writeln!(out, "LVM          {problem}")?;
    }
    Ok(())
}

fn render_guest(out: &mut String, facts: &Facts) -> Result<()> {
    if let Some(os) = &facts.os {
        writeln!(out, "\nsystem       {} ({})", os.pretty_name, os.arch.unwrap_or("unknown processor"))?;
    }
    writeln!(out, "host name    {}", facts.hostname.as_deref().unwrap_or("none"))?;
    for kernel in &facts.kernels {
        let image = kernel.image.as_deref().unwrap_or("no image");
        let initramfs = kernel.initramfs.as_deref().unwrap_or("no initramfs");
        writeln!(out, "kernel       {}: {image}, {initramfs}", kernel.version)?;
    }
    writeln!(out, "boot loader  {:?}", facts.boot.loader)?;
    for entry in &facts.boot.entries {
        let mark = if entry.default { "*" } else { " " };
        writeln!(out, "  {mark} {}  {}\n      {} {}", entry.title, entry.place, entry.kernel, entry.cmdline)?;
    }
    for mount in &facts.fstab {
        let volume = mount.volume.as_deref().unwrap_or("not on this disk");
        writeln!(out, "mount        {} on {} ({volume})", mount.spec, mount.target)?;
    }
    writeln!(out, "network      {}", facts.network.join(", "))?;
    writeln!(out, "agents       {}", facts.agents.join(", "))?;
    if let Some(mode) = &facts.selinux {
        writeln!(out, "SELinux      {mode}")?;
    }
    Ok(())
}
