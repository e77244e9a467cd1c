//! `refloat inspect`: what is in an image.

use anyhow::Result;
use guestfix::bootwalk::{self, Start};
use guestfix::device::Logical;
use guestfix::facts::{DataDisk, Facts, Lvm, Machine, SignatureKind, Volume, VolumeGroup};
use guestfix::report::{Ink, Line, Page};
use guestfix::text::bytes;
use guestfix::{Device, View, inspect};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::{Answer, Outcome};
use crate::cli::ImageArgs;
use crate::context::Context;
use crate::document::Document;
use crate::image::{self, Image, Takes};
use crate::present::{self, size};

#[derive(Serialize, JsonSchema)]
pub(crate) struct Layer {
    name: &'static str,
    text: String,
}

/// What was found, for `--json`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Inspection {
    image: String,
    format: String,
    layers: Vec<Layer>,
    machine: Machine,
    /// Absent where there is no root file system.
    guest: Option<Facts>,
    /// The first steps of the boot walk, as far as the menu, for each firmware that finds something to start;
    /// `check` walks the whole way.
    starts: Vec<Start>,
}

impl Document for Inspection {
    const SCHEMA: &'static str = "refloat.inspect/1";
}

pub(crate) fn run(context: &Context, args: &ImageArgs) -> Outcome {
    let image = image::open_part(context, &args.image, Takes::Volume)?;
    let inspection = look(&image)?;
    context.answer(&inspection, || Ok(render(&inspection)))?;
    Ok(Answer::Yes)
}

fn look(image: &Image) -> Result<Inspection> {
    let tree = image.tree()?;
    let (mut guest, mut starts) = (None, Vec::new());
    if tree.has_root() {
        let facts = inspect::gather(&tree)?;
        starts = bootwalk::starts(&tree, &facts)?;
        guest = Some(facts);
    }
    let layers = image.machine.disks().iter().flat_map(|disk| &disk.layers);
    let layers = layers.map(|layer| Layer { name: layer.name, text: layer.text.clone() });
    Ok(Inspection {
        image: bytes::shown(&image.name).into_owned(),
        format: image.machine.os_disk().origin.format().to_string(),
        layers: layers.collect(),
        machine: tree.machine().clone(),
        guest,
        starts,
    })
}

fn render(inspection: &Inspection) -> Page {
    let mut page = Page::new();
    let Machine { size: disk, table, table_faults, data_disks, bios, uefi, volumes, lvm, remote: _ } =
        &inspection.machine;
    page.line(Line::default().ink(Ink::Heading, &inspection.image));
    page.gap();
    page.line(Line::new("layers"));
    for Layer { name, text } in &inspection.layers {
        page.line(Line::new(format!("  {name:<10} {text}")).hang(13));
    }
    page.gap();
    let starts = match (bios.is_empty(), uefi.is_empty()) {
        (false, false) => "BIOS and UEFI",
        (false, true) => "BIOS",
        (true, false) => "UEFI",
        (true, true) => "no boot loader found",
    };
    field(&mut page, "disk", format!("{}, partition table {table}, {starts}", size(*disk)));
    let paravirtual = paravirtual(inspection);
    table_faults.iter().for_each(|fault| field(&mut page, "", fault.to_string()));
    bios.iter().chain(uefi).chain(&paravirtual).for_each(|line| field(&mut page, "", line));
    for DataDisk { name, device, size: bytes, table, table_faults, unreadable } in data_disks {
        let device = device.as_ref().map(|device| format!(", {device} on its machine")).unwrap_or_default();
        field(&mut page, name, format!("{}, partition table {table}{device}", size(*bytes)));
        table_faults.iter().for_each(|fault| field(&mut page, "", fault.to_string()));
        unreadable.iter().for_each(|why| field(&mut page, "", why));
    }
    let width = volumes.iter().map(|volume| volume.name.len()).max().unwrap_or(0).max(5);
    for volume in volumes {
        page.line(Line::new(format!("  {}", volume_line(volume, width))).hang(4));
    }
    render_lvm(&mut page, lvm);
    match &inspection.guest {
        Some(facts) => render_guest(&mut page, facts, &inspection.starts),
        None => {
            page.gap();
            page.line(Line::new("no known operating system"));
        }
    }
    page
}

/// A line with a name in its first column.
fn field(page: &mut Page, name: &str, text: impl AsRef<str>) {
    page.line(Line::new(format!("{name:<12} ")).text(text.as_ref()).hang(13));
}

/// What a disk is that no firmware starts, with the menu of PV-GRUB, and what can become of it.
fn paravirtual(inspection: &Inspection) -> Option<String> {
    let loader = inspection.guest.as_ref()?.boot.loader;
    inspection.machine.is_paravirtual(loader).then(|| {
        let plan = present::command(["plan", &inspection.image, "--for", "azure-gen1"]);
        format!("a paravirtual AMI, which EC2's PV-GRUB started; {plan} adds a boot loader")
    })
}

fn volume_line(volume: &Volume, width: usize) -> String {
    let Volume { name, device, kind, uuid, label, mounted_at, type_name, .. } = volume;
    let length = size(device.size());
    let kind = kind.map_or("unknown", SignatureKind::name);
    let mut line = format!("{name:<width$} {length:>10}  {kind:<8}");
    for (key, value) in [("", mounted_at), ("UUID=", uuid), ("LABEL=", label), ("", type_name)] {
        if let Some(value) = value {
            line += &format!("  {key}{value}");
        }
    }
    match &volume.unrecoverable {
        Some(why) => line += &format!("  (its journal cannot be replayed: {why})"),
        None if volume.needs_recovery => line += "  (its journal must be replayed)",
        None => {}
    }
    if let Some(why) = &volume.unreadable {
        line += &format!("  (not opened: {why})");
    }
    if let Device::Logical(Logical { refused: Some(why), .. }) = device {
        line += &format!("  (cannot be opened: {why})");
    }
    line
}

fn render_lvm(page: &mut Page, lvm: &Lvm) {
    for VolumeGroup { name, uuid, on } in &lvm.groups {
        page.line(Line::new(format!("volume group {name} on {}  UUID={uuid}", on.join(", "))).hang(13));
    }
    lvm.problems.iter().for_each(|problem| field(page, "LVM", problem));
}

fn joined(names: &[impl ToString]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn render_guest(page: &mut Page, facts: &Facts, starts: &[Start]) {
    page.gap();
    if let Some(os) = facts.os.as_ref() {
        field(page, "system", format!("{} ({})", os.pretty_name, os.arch.unwrap_or("unknown processor")));
    }
    field(page, "host name", facts.hostname.as_deref().unwrap_or("none"));
    for kernel in facts.kernels.iter() {
        let image = kernel.image.as_deref().unwrap_or("no image");
        let initramfs = kernel.initramfs.as_deref().unwrap_or("no initramfs");
        field(page, "kernel", format!("{}: {image}, {initramfs}", kernel.version));
    }
    for start in starts {
        let mut name = format!("by {}", start.firmware.name());
        let stops = start.routes.iter().flat_map(|route| &route.hops);
        for hop in start.loader.iter().chain(stops) {
            field(page, &name, hop.to_string());
            name.clear();
        }
    }
    field(page, "boot loader", format!("{:?}", facts.boot.loader));
    for entry in &facts.boot.entries {
        let mark = if entry.default { "*" } else { " " };
        page.line(Line::new(format!("  {mark} {}  {}", entry.title, entry.place)).hang(6));
        page.line(Line::new(format!("      {} {}", entry.kernel, entry.cmdline)).hang(8));
    }
    for mount in facts.fstab.iter() {
        let volume = mount.volume.as_deref().unwrap_or("not on this machine");
        field(page, "mount", format!("{} on {} ({volume})", mount.spec, mount.target));
    }
    field(page, "network", joined(&facts.network));
    field(page, "agents", joined(&facts.agents));
    if let Some(mode) = facts.selinux.as_ref() {
        field(page, "SELinux", mode);
    }
    facts.unread.iter().for_each(|unread| field(page, "not read", unread.to_string()));
}
