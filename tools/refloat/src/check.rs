//! `refloat check`: will it boot there?

use anyhow::Result;
use guestfix::plan;
use guestfix::report::{Report, Style};

use crate::answer::{self, Answer, Outcome};
use crate::cli::{CheckArgs, Global, GoalArgs};
use crate::image::{self, Image};

pub(crate) fn run(global: &Global, args: &CheckArgs) -> Outcome {
    let image = image::open(global, &args.image)?;
    let report = report(&image, &args.goal)?;
    show(global, &report)?;
    Ok(Answer::from_bool(report.ready))
}

/// Every rule's verdict on the guest.
pub(crate) fn report(image: &Image, args: &GoalArgs) -> Result<Report> {
    let (tree, goal) = (image.guest_for(args)?, args.goal());
    let check = plan::check(&tree, &goal)?;
    Ok(Report::new(&image.name, &tree, &goal, check)?)
}

fn show(global: &Global, report: &Report) -> Result<()> {
    if global.json {
        return answer::json(guestfix::report::SCHEMA, report);
    }
    let mut text = String::new();
    report.render(&mut text, style())?;
    answer::text(&text)
}

/// Colours on a terminal, unless `NO_COLOR` says no.
pub(crate) fn style() -> Style {
    use std::io::IsTerminal;
    Style { color: crate::progress::color(std::io::stdout().is_terminal()), ..Style::default() }
}
