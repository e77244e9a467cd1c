//! `refloat check`: will it boot there?

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use guestfix::plan;
use guestfix::report::{self, Kind, Page, Report};
use guestfix::text::bytes;

use libdisk::block;
use libdisk::image::{Output, write_file};

use crate::answer::{Answer, Help, Outcome};
use crate::cli::CheckArgs;
use crate::context::Context;
use crate::document::Document;
use crate::{help, image, name, next};

pub(crate) fn run(context: &Context, args: &CheckArgs) -> Outcome {
    free(&args.reports, args.force)?;
    let image = image::open(context, &args.image)?;
    let (tree, goal) = (image.guest_for(&args.goal)?, args.goal.goal());
    let mut report = Report::new(&bytes::shown(&image.name), &tree, &goal, plan::check(&tree, &goal)?);
    report.next = next::after_check(context, args, &report).iter().map(ToString::to_string).collect();
    if args.reports.iter().any(|(kind, _)| kind.shows_changes()) {
        report.changes = report.check.changes(&tree)?;
    }
    for (kind, file) in &args.reports {
        write(*kind, file, &report)?;
    }
    context.answer(&report, || Ok(page(context, args, &report)))?;
    Ok(Answer::from_bool(report.ready))
}

/// Whether the reports may be written where they are to go.
fn free(reports: &[(Kind, PathBuf)], force: bool) -> Result<()> {
    for (at, (_, file)) in reports.iter().enumerate() {
        if block::check_sidecar(file).help(help::OTHER_NAME)? && !force {
            return Err(anyhow!("{} already exists", name::shown(file))).help(help::FORCE);
        }
        if reports[..at].iter().any(|(_, other)| other == file) {
            return Err(anyhow!("{} is named twice", name::shown(file))).help(help::OTHER_NAME);
        }
    }
    Ok(())
}

fn write(kind: Kind, file: &Path, report: &Report) -> Result<()> {
    image::not_read(file).help(help::OTHER_NAME)?;
    let output = Output::replacing(file);
    // What quotes files of the guest is nobody else's to read.
    let output = if kind.shows_changes() { Output { mode: 0o600, ..output } } else { output };
    write_file(&output, report.render(kind)?.as_bytes()).help(help::OTHER_NAME)
}

impl Document for Report {
    const SCHEMA: &'static str = report::SCHEMA;
}

fn page(context: &Context, args: &CheckArgs, report: &Report) -> Page {
    let mut page = report.page(context.global.verbose > 0);
    page.line(next::verdict(report.ready, report.answer()));
    next::after_check(context, args, report).into_iter().for_each(|line| page.line(line));
    page
}
