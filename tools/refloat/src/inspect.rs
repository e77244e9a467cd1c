//! `refloat inspect`: what is in an image.

use anyhow::Result;
use guestfix::bootwalk::{self, Start};
use guestfix::device::Logical;
use guestfix::facts::windows::{DriveLetter, StaticAddress, Windows};
use guestfix::facts::{DataDisk, Facts, Lvm, Machine, SignatureKind, Volume, VolumeGroup};
use guestfix::registry::filters::Filters;
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

fn render_windows(page: &mut Page, windows: &Windows) {
    let build = windows.build.map_or("unknown".to_owned(), |build| build.to_string());
    let edition = windows.edition.as_deref().unwrap_or("unknown edition");
    field(page, "build", format!("{build}, {edition}"));
    let sets = &windows.control_sets;
    let starts = sets.default.as_deref().unwrap_or("none");
    field(page, "control sets", format!("{}; {starts} starts", joined(&sets.all)));
    for service in
        windows.services.iter().filter(|service| Some(&service.control_set) == sets.default.as_ref())
    {
        let start = service.start.map_or("no start".to_owned(), |start| format!("start {start}"));
        let overrides: Vec<_> = service
            .overrides
            .iter()
            .map(|(machine, start)| format!("{start} on machine {machine}"))
            .collect();
        let overrides =
            if overrides.is_empty() { String::new() } else { format!(" ({})", overrides.join(", ")) };
        let file = if service.has_file { "" } else { ", without its file" };
        field(page, "service", format!("{}: {start}{overrides}{file}", service.name));
    }
    for Filters { key, list, names } in &windows.filters {
        field(page, "filters", format!("{}: {list} of {key}", joined(names)));
    }
    for DriveLetter { letter, volume } in &windows.letters {
        field(page, "drive", format!("{letter} {}", volume.as_deref().unwrap_or("not on this machine")));
    }
    for StaticAddress { interface, addresses } in &windows.addresses {
        field(page, "address", format!("{} of its own, on {interface}", joined(addresses)));
    }
    field(page, "page files", joined(&windows.page_files));
    let remote = if windows.remote_desktop.allowed { "takes connections" } else { "takes none" };
    let port = windows.remote_desktop.port.map_or(String::new(), |port| format!(", at port {port}"));
    field(page, "Remote Desktop", format!("{remote}{port}"));
    field(page, "firewall", format!("on: {}", joined(&windows.firewall)));
    for (is_so, what) in [
        (windows.is_domain_controller(), "it is a domain controller"),
        (windows.hibernated, "it is hibernated"),
        (windows.fast_startup, "Fast Startup is on: a shutdown is a hibernation of the kernel"),
        (windows.compact, "its own files are compressed (CompactOS)"),
        (!windows.pending.is_empty(), "updates wait for a restart"),
    ] {
        if is_so {
            field(page, "note", what);
        }
    }
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
    if let Some(windows) = facts.windows.as_ref() {
        render_windows(page, windows);
    }
    for start in starts {
        let mut name = format!("by {}", start.firmware.name());
        let stops = start.routes.iter().flat_map(|route| &route.hops);
        for hop in start.loader.iter().chain(stops) {
            field(page, &name, hop.to_string());
            name.clear();
        }
    }
    if facts.windows.is_some() {
        field(page, "agents", joined(&facts.agents));
        facts.unread.iter().for_each(|unread| field(page, "not read", unread.to_string()));
        return;
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
