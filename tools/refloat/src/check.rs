//! `refloat check`: will it boot there?

use guestfix::plan;
use guestfix::report::{Page, Report, SCHEMA};
use serde::Serialize;

use crate::answer::{Answer, Outcome};
use crate::cli::CheckArgs;
use crate::context::Context;
use crate::disks::{self, DataDisk};
use crate::{image, next};

/// The answer, for `--json`.
#[derive(Serialize)]
struct Checked {
    #[serde(flatten)]
    report: Report,
    /// The machine's other disks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    disks: Vec<DataDisk>,
}

pub(crate) fn run(context: &Context, args: &CheckArgs) -> Outcome {
    let image = image::open(context, &args.image)?;
    let (tree, goal) = (image.guest_for(&args.goal)?, args.goal.goal());
    let report = Report::new(&image.name, &tree, &goal, plan::check(&tree, &goal)?)?;
    let checked = Checked { report, disks: disks::look(&image, &tree)? };
    context.answer(SCHEMA, &checked, || Ok(page(context, args, &checked)))?;
    let stopped = checked.disks.iter().any(|disk| !disk.stops.is_empty());
    Ok(Answer::from_bool(checked.report.ready && !stopped))
}

fn page(context: &Context, args: &CheckArgs, Checked { report, disks }: &Checked) -> Page {
    let mut page = report.page(context.global.verbose > 0);
    disks.iter().for_each(|disk| page.append(disk.page()));
    page.line(next::verdict(report.ready, report.answer()));
    next::after_check(context, args, report).into_iter().for_each(|line| page.line(line));
    page
}
