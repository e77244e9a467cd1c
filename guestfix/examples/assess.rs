//! Will the machine in an image boot on Azure? Writes nothing. Ends with 0 if it will, 1 if not, 2 if that cannot be
//! told.
//!
//! ```text
//! cargo run --package guestfix --example assess -- disk.qcow2
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example")]

use std::error::Error;
use std::process::ExitCode;

use guestfix::instance::Hardware;
use guestfix::plan::assess;
use guestfix::platform::azure;
use guestfix::report::{Kind, Report};
use guestfix::rules::packs;
use guestfix::tree::Tree;
use guestfix::{Goal, Severity};
use libdisk::OpenOptions;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether the machine is ready.
fn run() -> Result<bool, Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [image] = &words[..] else { return Err("usage: assess IMAGE".into()) };

    // All disks of the machine, as one; journals are replayed in overlays.
    let machine = libdisk::open_machine(&[image.parse()?], &OpenOptions::default())?;
    let tree = Tree::open(&machine)?;
    if !tree.has_root() || !tree.has_system()? {
        return Err(format!("{image}: no operating system found").into());
    }
    if let Some(blind) = tree.blind().iter().find(|blind| blind.is_of_the_boot()) {
        return Err(format!("{image}: {} cannot be read: {}", blind.point(), blind.why()).into());
    }

    let goal = Goal::new(&azure::GEN1);
    let check = assess(&tree, &goal, &[&packs::BOOT], Hardware::default())?;
    for (item, _, _) in check.faults(Severity::Blocker) {
        eprintln!("blocked by {}", item.rule);
    }
    // The report that `refloat check` prints; Kind::Json, Kind::Html and others are the same in other forms.
    let report = Report::new(image, &tree, &goal, check);
    println!("{}", report.render(Kind::Text)?);
    Ok(report.ready)
}
