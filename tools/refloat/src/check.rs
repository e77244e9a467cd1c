//! `refloat check`: will it boot there?

use guestfix::plan;
use guestfix::report::{self, Page, Report};
use guestfix::text::bytes;

use crate::answer::{Answer, Outcome};
use crate::cli::CheckArgs;
use crate::context::Context;
use crate::document::Document;
use crate::{image, next};

pub(crate) fn run(context: &Context, args: &CheckArgs) -> Outcome {
    let image = image::open(context, &args.image)?;
    let (tree, goal) = (image.guest_for(&args.goal)?, args.goal.goal());
    let report = Report::new(&bytes::shown(&image.name), &tree, &goal, plan::check(&tree, &goal)?)?;
    context.answer(&report, || Ok(page(context, args, &report)))?;
    Ok(Answer::from_bool(report.ready))
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
