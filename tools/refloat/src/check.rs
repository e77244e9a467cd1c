//! `refloat check`: will it boot there?

use anyhow::Result;
use guestfix::plan;
use guestfix::report::{Report, Style};
use serde::Serialize;

use crate::answer::{self, Answer, Outcome};
use crate::cli::{CheckArgs, Global};
use crate::disks::{self, DataDisk};
use crate::image;

/// The answer, for `--json`.
#[derive(Serialize)]
struct Checked {
    #[serde(flatten)]
    report: Report,
    /// The machine's other disks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    disks: Vec<DataDisk>,
}

pub(crate) fn run(global: &Global, args: &CheckArgs) -> Outcome {
    let image = image::open(global, &args.image)?;
    let (tree, goal) = (image.guest_for(&args.goal)?, args.goal.goal());
    let report = Report::new(&image.name, &tree, &goal, plan::check(&tree, &goal)?)?;
    let checked = Checked { report, disks: disks::look(&image, &tree)? };
    show(global, &checked)?;
    let stopped = checked.disks.iter().any(|disk| !disk.stops.is_empty());
    Ok(Answer::from_bool(checked.report.ready && !stopped))
}

fn show(global: &Global, checked: &Checked) -> Result<()> {
    if global.json {
        return answer::json(guestfix::report::SCHEMA, checked);
    }
    let mut text = String::new();
    checked.report.render(&mut text, style())?;
    text.extend(checked.disks.iter().map(DataDisk::text));
    answer::text(&text)
}

/// Colours on a terminal, unless `NO_COLOR` says no.
pub(crate) fn style() -> Style {
    use std::io::IsTerminal;
    Style { color: crate::progress::color(std::io::stdout().is_terminal()), ..Style::default() }
}
