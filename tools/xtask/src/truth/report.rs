//! The confusion matrix: what refloat said, against what booted.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result};

use super::table::{LOGIN, Row, Table};
use crate::top;

/// Where README has the matrix.
const MARKS: [&str; 2] = ["<!-- truth: by cargo xtask truth -->", "<!-- /truth -->"];

/// Called ready, as it is or as mended, and booted without its login being seen.
pub(super) fn misses(table: &Table) -> Vec<String> {
    let wrong = |ready: bool, boots: &Option<String>| ready && boots.as_deref().is_some_and(|to| to != LOGIN);
    let missed =
        table.rows().filter(|row| wrong(row.said.ready, &row.boots) || wrong(row.mended, &row.boots_mended));
    missed.map(Row::shown).collect()
}

/// Not called ready, and comes to its login on a machine that could have shown the fault.
fn false_alarms(table: &Table) -> Vec<&Row> {
    let alarm = |row: &&Row| !row.said.ready && row.boots.as_deref() == Some(LOGIN) && is_shown(row);
    table.rows().filter(alarm).collect()
}

/// Whether the machines we have can show such a fault: how a network is configured they do, by a second boot.
/// The driver of Hyper-V's card, which is among the modules of the root, they do not; nor any of Hyper-V's where
/// UEFI starts them; nor what strikes when the initramfs is made anew; and OVMF takes any FAT for an ESP, which
/// Azure's firmware may not. Where fstab names another root, or an option that its file system refuses, it stays
/// read-only, so a prompt is all there is.
fn is_shown(row: &Row) -> bool {
    let uefi = row.id.starts_with("debian-uefi");
    let (_, fault) = row.id.split_once('/').unwrap_or_default();
    match fault {
        "kernel/no-driver-for-the-card"
        | "kernel/no-modules"
        | "renamed/modules-folder"
        | "drivers/root-blacklist-of-the-disk"
        | "table/esp-of-another-type"
        | "fstab/root-of-another"
        | "fstab/root-unknown-option" => false,
        "kernel/no-drivers-for-hyper-v" => !uefi,
        _ => match row.hop() {
            "network" => fault.starts_with("network/"),
            "initramfs" => !uefi,
            _ => true,
        },
    }
}

/// Writes the matrix into README.
pub(super) fn write(table: &Table) -> Result<()> {
    let text = matrix(table)?;
    println!("{text}");
    let path = top().join("README.md");
    let readme = fs::read_to_string(&path)?;
    let (before, rest) = readme.split_once(MARKS[0]).context("README.md has no place for the matrix")?;
    let (_, after) = rest.split_once(MARKS[1]).context("README.md has no end of the matrix")?;
    fs::write(&path, format!("{before}{}\n{text}{}{after}", MARKS[0], MARKS[1]))?;
    Ok(())
}

fn matrix(table: &Table) -> Result<String> {
    let rows: Vec<_> = table.rows().collect();
    let booted = rows.iter().filter(|row| row.boots.is_some()).count();
    let mended = rows.iter().filter(|row| row.boots_mended.is_some()).count();
    let mut text = String::new();
    let date = date()?;
    writeln!(
        text,
        "{} mutants of five real guests were judged, and {} disks booted ({booted} mutants, {mended} of them \
         again as mended); the last on {date}.\n",
        rows.len(),
        booted + mended,
    )?;
    let count = |of: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| of(row)).count();
    let login = |boots: &Option<String>| boots.as_deref() == Some(LOGIN);
    let stops = |boots: &Option<String>| boots.as_deref().is_some_and(|to| to != LOGIN);
    writeln!(text, "| refloat says | comes to its login | does not | not booted |\n|---|---|---|---|")?;
    writeln!(
        text,
        "| ready | {} | **{}** | {} |",
        count(&|row| row.said.ready && login(&row.boots)),
        count(&|row| row.said.ready && stops(&row.boots)),
        count(&|row| row.said.ready && row.boots.is_none()),
    )?;
    let beyond = |row: &Row| !row.said.ready && login(&row.boots) && !is_shown(row);
    writeln!(
        text,
        "| not ready | {} and {} that the laboratory cannot show | {} | {} |",
        false_alarms(table).len(),
        count(&beyond),
        count(&|row| !row.said.ready && stops(&row.boots)),
        count(&|row| !row.said.ready && row.boots.is_none()),
    )?;
    writeln!(
        text,
        "| ready when mended, and mended | {} | **{}** | {} |\n",
        count(&|row| row.mended && login(&row.boots_mended)),
        count(&|row| row.mended && stops(&row.boots_mended)),
        count(&|row| row.mended && row.boots_mended.is_none()),
    )?;
    let stopped = count(&|row| !row.said.ready && stops(&row.boots));
    let at = |row: &Row, walk: &str, boot: &str| {
        !row.said.ready && row.hop() == walk && row.boots.as_deref() == Some(&format!("the {boot}"))
    };
    let same = count(&|row| at(row, row.hop(), row.hop()));
    let next = count(&|row| at(row, "initramfs", "root"));
    writeln!(
        text,
        "Of the {stopped} that stop, {same} stop at the hop that the walk names, and {next} do not find their \
         root for want of what, as the walk says, their initramfs lacks."
    )?;
    let alarms = false_alarms(table).len();
    writeln!(
        text,
        "False alarms: {} of those not ready and booted, where the laboratory can show the fault. Of those \
         ready when mended, {} boot.\n",
        share(alarms, alarms + stopped),
        share(count(&|row| login(&row.boots_mended)), mended),
    )?;
    list(&mut text, "Called ready, and did not boot", &misses(table))?;
    let alarms: Vec<_> = false_alarms(table).into_iter().map(Row::shown).collect();
    list(&mut text, "Not called ready, and booted", &alarms)?;
    tally(&mut text, "guest", &rows, 0)?;
    tally(&mut text, "kind of fault", &rows, 1)?;
    Ok(text)
}

/// Counts the rows by one part of their names.
fn tally(text: &mut String, title: &str, rows: &[&Row], part: usize) -> Result<()> {
    writeln!(text, "\n| {title} | judged | ready | not ready | can be mended | booted, and mended |")?;
    writeln!(text, "|---|---|---|---|---|---|")?;
    let mut counts: BTreeMap<&str, [usize; 6]> = BTreeMap::new();
    for row in rows {
        let counts = counts.entry(row.id.split('/').nth(part).unwrap_or_default()).or_default();
        let (ready, booted) = (row.said.ready, [row.boots.is_some(), row.boots_mended.is_some()]);
        for (count, is) in counts.iter_mut().zip([true, ready, !ready, row.mended, booted[0], booted[1]]) {
            *count += usize::from(is);
        }
    }
    for (name, [judged, ready, not, mended, booted, booted_mended]) in counts {
        writeln!(text, "| {name} | {judged} | {ready} | {not} | {mended} | {booted}, {booted_mended} |")?;
    }
    Ok(())
}

/// "3 of 60 (5.0 %)".
fn share(part: usize, whole: usize) -> String {
    let tenths = (part * 1000).checked_div(whole).unwrap_or_default();
    format!("{part} of {whole} ({}.{} %)", tenths / 10, tenths % 10)
}

fn list(text: &mut String, title: &str, lines: &[String]) -> Result<()> {
    if lines.is_empty() {
        writeln!(text, "{title}: none.")?;
        return Ok(());
    }
    writeln!(text, "{title}:\n")?;
    for line in lines {
        writeln!(text, "- {line}")?;
    }
    writeln!(text)?;
    Ok(())
}

/// Today, as `date` says it.
fn date() -> Result<String> {
    let output = std::process::Command::new("date").arg("+%Y-%m-%d").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
