//! The pictures of the page, as SVG that takes its colours from the page.

use std::fmt::Write;

use super::{escape_html, size};
use crate::bootwalk::{HopKind, Outcome, Walk};
use crate::device::Device;
use crate::facts::{Machine, SignatureKind, Volume};

/// Units of a picture's width.
const WIDTH: f64 = 1000.0;

/// What the boot does at a kind of hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reached,
    Stops,
    Unknown,
}

impl State {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Reached => ("good", "✓ reached"),
            Self::Stops => ("bad", "✗ stops"),
            Self::Unknown => ("warn", "? unknown"),
        }
    }
}

/// The kinds of hops in their order, each with the worst of it.
fn states(walk: &Walk) -> Vec<(HopKind, State)> {
    let mut states: Vec<(HopKind, State)> = Vec::new();
    for hop in walk.hops() {
        let state = match hop.outcome {
            Outcome::Reached => State::Reached,
            Outcome::Blocked { .. } => State::Stops,
            Outcome::Unknown { .. } => State::Unknown,
        };
        match states.iter_mut().find(|(kind, _)| *kind == hop.kind) {
            Some((_, known)) if *known == State::Reached => *known = state,
            Some(_) => {}
            None => states.push((hop.kind, state)),
        }
    }
    states
}

/// The boot chain, a row for each walk; what only one of them comes to has a place in all.
pub(super) fn chain(rows: &[(&str, &Walk)]) -> String {
    const ROW: f64 = 104.0;
    const HEAD: f64 = 24.0;
    const BOX: f64 = 56.0;
    const GAP: f64 = 16.0;
    let all: Vec<Vec<(HopKind, State)>> = rows.iter().map(|(_, walk)| states(walk)).collect();
    let longest = all.iter().max_by_key(|states| states.len()).map_or(&[][..], Vec::as_slice);
    let mut kinds: Vec<HopKind> = longest.iter().map(|(kind, _)| *kind).collect();
    for (kind, _) in all.iter().flatten() {
        if !kinds.contains(kind) {
            let at = kinds.iter().position(|known| known > kind).unwrap_or(kinds.len());
            kinds.insert(at, *kind);
        }
    }
    let count = kinds.len().max(1) as f64;
    let width = ((WIDTH - 2.0 - GAP * (count - 1.0)) / count).min(150.0);
    let mut body = String::new();
    for (number, ((name, _), states)) in rows.iter().zip(&all).enumerate() {
        let top = number as f64 * ROW;
        let _ = write!(
            body,
            "<text class=\"small\" x=\"1\" y=\"{:.0}\">{}</text>",
            top + 13.0,
            escape_html(name)
        );
        let mut stopped = false;
        for (at, kind) in kinds.iter().enumerate() {
            let (left, y) = (1.0 + at as f64 * (width + GAP), top + HEAD);
            let state = states.iter().find(|(known, _)| known == kind).map(|(_, state)| *state);
            let (tone, words) = state.map_or(("idle absent", "not seen"), State::words);
            let middle = left + width / 2.0;
            let _ = write!(
                body,
                "<g class=\"{tone}\"><rect class=\"box\" x=\"{left:.1}\" y=\"{y:.0}\" width=\"{width:.1}\" \
                 height=\"{BOX:.0}\" rx=\"8\"/><text x=\"{middle:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{kind}\
                 </text><text class=\"state\" x=\"{middle:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{words}</text></g>",
                y + 24.0,
                y + 43.0
            );
            stopped |= state != Some(State::Reached);
            if at + 1 < kinds.len() {
                let (from, to, y) = (left + width + 1.5, left + width + GAP - 6.5, y + BOX / 2.0);
                let dash = if stopped { " stroke-dasharray=\"3 3\"" } else { "" };
                let _ = write!(
                    body,
                    "<path class=\"arrow\"{dash} d=\"M{from:.1} {y:.1}H{to:.1}\"/>\
                     <path class=\"head\" d=\"M{to:.1} {:.1}l6 4-6 4z\"/>",
                    y - 4.0
                );
            }
        }
    }
    let height = rows.len() as f64 * ROW - 20.0;
    let told: Vec<String> = rows
        .iter()
        .map(|(name, walk)| format!("{name}: {}", walk.chain()))
        .map(|text| escape_html(&text))
        .collect();
    svg("The boot chain", &told.join(". "), height, &body)
}

/// All disks to one scale, with what is on them; volume groups below.
pub(super) fn disks(machine: &Machine) -> String {
    const ROW: f64 = 82.0;
    const BAR: f64 = 44.0;
    let sizes: Vec<u64> = machine.sizes().map(|(_, size)| size).collect();
    let largest = sizes.iter().copied().max().unwrap_or(1).max(1) as f64;
    let (mut body, mut told, mut top) = (String::new(), Vec::new(), 0.0);
    for (disk, bytes) in sizes.iter().enumerate() {
        let whole = (*bytes as f64 / largest * (WIDTH - 2.0)).max(4.0);
        let name = format!("disk {}, {}", disk + 1, size(*bytes));
        rail(&mut body, top, whole, &name);
        for volume in machine.volumes_on(disk) {
            let Device::Range(part) = &volume.device else { continue };
            let share = |byte: u64| byte as f64 / (*bytes).max(1) as f64 * whole;
            let (left, width) = (share(part.range.start), share(volume.device.size()));
            draw(&mut body, volume, 1.0 + left, top, width.min(whole - left));
        }
        told.push(name);
        top += ROW;
    }
    for group in &machine.lvm.groups {
        let of_group = format!("{}/", group.name);
        let all: Vec<&Volume> =
            machine.volumes.iter().filter(|volume| volume.name.starts_with(&of_group)).collect();
        let sum: u64 = all.iter().map(|volume| volume.device.size()).fold(0, u64::saturating_add);
        let whole = (sum as f64 / largest * (WIDTH - 2.0)).clamp(4.0, WIDTH - 2.0);
        let name = format!("volume group {}, {} in volumes", group.name, size(sum));
        rail(&mut body, top, whole, &name);
        let mut left = 1.0;
        for volume in all {
            let width = volume.device.size() as f64 / sum.max(1) as f64 * whole;
            draw(&mut body, volume, left, top, width);
            left += width;
        }
        told.push(name);
        top += ROW;
    }
    return svg("Disks and volumes, to scale", &escape_html(&told.join("; ")), top - 14.0, &body);

    fn rail(body: &mut String, top: f64, width: f64, name: &str) {
        let _ = write!(
            body,
            "<text class=\"small\" x=\"1\" y=\"{:.0}\">{}</text><rect class=\"rail\" x=\"1\" y=\"{:.0}\" \
             width=\"{width:.1}\" height=\"{BAR:.0}\" rx=\"4\"/>",
            top + 13.0,
            escape_html(name),
            top + 20.0
        );
    }

    fn draw(body: &mut String, volume: &Volume, left: f64, top: f64, width: f64) {
        // What is thinner than a line is drawn as one: the table has its size.
        let width = width.max(1.5);
        let y = top + 20.0;
        let class = class(volume);
        let title = format!("{}: {}, {}", volume.name, what(volume), size(volume.device.size()));
        let _ = write!(
            body,
            "<g><title>{}</title><rect class=\"part {class}\" x=\"{left:.1}\" y=\"{y:.0}\" width=\"{width:.1}\" \
             height=\"{BAR:.0}\" rx=\"3\"/>",
            escape_html(&title)
        );
        if let Some(free) = volume.free.filter(|_| class == "files") {
            let bytes = volume.device.size();
            let used = bytes.saturating_sub(free) as f64 / bytes.max(1) as f64 * width;
            let _ = write!(
                body,
                "<rect class=\"used\" x=\"{left:.1}\" y=\"{:.0}\" width=\"{used:.1}\" height=\"8\" rx=\"2\"/>",
                y + BAR - 8.0
            );
        }
        let room = (width / 8.0) as usize;
        let label = [volume.name.clone(), format!("{} {}", volume.name, kind(volume))];
        if let Some(text) = label.iter().rev().find(|text| text.chars().count() <= room) {
            let _ = write!(
                body,
                "<text x=\"{:.1}\" y=\"{:.0}\">{}</text>",
                left + 6.0,
                y + 17.0,
                escape_html(text)
            );
        }
        if let Some(at) = volume.mounted_at.as_ref().filter(|at| at.chars().count() <= room) {
            let x = left + 6.0;
            let _ = write!(
                body,
                "<text class=\"small\" x=\"{x:.1}\" y=\"{:.0}\">{}</text>",
                y + 32.0,
                escape_html(at)
            );
        }
        body.push_str("</g>");
    }
}

fn kind(volume: &Volume) -> &str {
    volume.kind_name().unwrap_or_default()
}

/// What is on a volume, in words.
pub(super) fn what(volume: &Volume) -> String {
    let kind = volume.kind_name().or(volume.type_name.as_deref()).unwrap_or("nothing that is known");
    match &volume.unreadable {
        Some(why) => format!("{kind}: {why}"),
        None => kind.to_owned(),
    }
}

fn class(volume: &Volume) -> &'static str {
    match volume.kind {
        Some(SignatureKind::Swap | SignatureKind::Suspended) => "swap",
        Some(SignatureKind::Lvm2 | SignatureKind::Lvm1) => "lvm",
        Some(SignatureKind::Vfat) => "start",
        Some(_) if volume.free.is_some() => "files",
        _ => "other",
    }
}

/// A picture that says in words what it shows.
fn svg(title: &str, told: &str, height: f64, body: &str) -> String {
    let id = title.split(' ').next_back().unwrap_or_default();
    format!(
        "<svg role=\"img\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" aria-labelledby=\"{id}-title {id}-told\">\
         <title id=\"{id}-title\">{title}</title><desc id=\"{id}-told\">{told}</desc>{body}</svg>"
    )
}
