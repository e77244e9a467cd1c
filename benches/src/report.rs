//! What was measured, as a page with plots.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::contest::{Contest, RESIDENT, Standing};

/// What is between these two lines of the page is written anew.
const FROM: &str = "<!-- made by versus_qemu_img --report, from here -->";
const TO: &str = "<!-- to here -->";

/// Writes the table and its plots into `folder`, beside what people wrote in its README.md. `about` tells of the
/// machine, a line each.
///
/// # Errors
/// If a file cannot be read or written, or the page has no place for the table.
pub fn write(folder: &Path, about: &[String], contests: &[Contest]) -> Result<()> {
    let page = folder.join("README.md");
    let old = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    let place = || anyhow!("{}: it has no lines {FROM:?} and {TO:?}", page.display());
    let (before, rest) = old.split_once(FROM).ok_or_else(place)?;
    let (_, after) = rest.split_once(TO).ok_or_else(place)?;
    let plots = folder.join("plots");
    fs::create_dir_all(&plots).with_context(|| plots.display().to_string())?;
    let wall = |contest: &Contest| (contest.faster(), contest.bar.faster, contest.wall_standing());
    plot(&plots.join("wall.svg"), "times as fast as qemu-img, and the bar", contests, wall)?;
    let cpu = |contest: &Contest| (contest.cpu(), contest.bar.cpu, contest.cpu_standing());
    plot(&plots.join("cpu.svg"), "share of qemu-img's processor time, and the bar", contests, cpu)?;

    let about: String = about.iter().map(|line| format!("* {line}\n")).collect();
    let table = table(contests);
    let made = format!(
        "{FROM}\n\n{about}\n{table}\n![times as fast as qemu-img](plots/wall.svg)\n\n\
         ![share of qemu-img's processor time](plots/cpu.svg)\n\n{TO}"
    );
    fs::write(&page, format!("{before}{made}{after}")).with_context(|| page.display().to_string())
}

/// A row for each contest.
fn table(contests: &[Contest]) -> String {
    let mut table = "| source | wall s, theirs and ours: median (shortest) | times as fast | bar | cpu s: median (least) | share of cpu | bar | MiB | |\n\
                     |---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for contest in contests {
        let pair = |[ours, theirs]: [(f64, f64); 2]| {
            format!("{:.2} ({:.2}), {:.2} ({:.2})", theirs.0, theirs.1, ours.0, ours.1)
        };
        let [wall, cpu] = [contest.pairs(|cost| cost.wall), contest.pairs(|cost| cost.cpu)].map(pair);
        let verdict = match (contest.missed(), contest.wall_standing()) {
            (missed, _) if !missed.is_empty() => format!("**missed: {missed}**"),
            (_, Standing::Noisy) => "wall not judged".to_owned(),
            _ => "met".to_owned(),
        };
        table += &format!(
            "| {} | {wall} | {:.2} | {:.2} | {cpu} | {:.2} | {:.2} | {:.1} | {verdict} |\n",
            contest.name,
            contest.faster(),
            contest.bar.faster,
            contest.cpu(),
            contest.bar.cpu,
            contest.resident(),
        );
    }
    table + &format!("\nMemory: at most {RESIDENT:.0} MiB resident.\n")
}

/// A bar for each contest, on a logarithmic scale, with a mark at what is asked.
fn plot(
    path: &Path,
    title: &str,
    contests: &[Contest],
    figures: impl Fn(&Contest) -> (f64, f64, Standing),
) -> Result<()> {
    const ROW: u32 = 26;
    let rows = u32::try_from(contests.len())?;
    let failed = |cause: &dyn std::fmt::Display| anyhow!("{}: {cause}", path.display());
    let all: Vec<_> = contests.iter().map(&figures).collect();
    let values = || all.iter().flat_map(|(value, bar, _)| [*value, *bar]);
    let low = values().fold(1.0, f64::min) / 1.5;
    let high = values().fold(1.0, f64::max) * 1.8;
    let root = SVGBackend::new(path, (820, 80 + ROW * rows)).into_drawing_area();
    root.fill(&WHITE).map_err(|cause| failed(&cause))?;
    let names = |row: &f64| {
        let name = |contest: &Contest| contest.name.clone();
        contests.get((f64::from(rows) - row).floor() as usize).map_or(String::new(), name)
    };
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(8)
        .set_label_area_size(LabelAreaPosition::Left, 120)
        .set_label_area_size(LabelAreaPosition::Bottom, 24)
        .build_cartesian_2d((low..high).log_scale(), 0.0..f64::from(rows))
        .map_err(|cause| failed(&cause))?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(WHITE)
        .x_label_formatter(&|x| format!("{x}"))
        .draw()
        .map_err(|cause| failed(&cause))?;
    for (row, (value, bar, standing)) in all.iter().enumerate() {
        let top = f64::from(rows) - row as f64;
        let colour = match standing {
            Standing::Met => RGBColor(46, 125, 80),
            Standing::Missed => RGBColor(190, 60, 50),
            Standing::Noisy => RGBColor(150, 150, 150),
        };
        let (upper, lower, middle) = (top - 0.2, top - 0.8, top - 0.5);
        let right = Pos::new(HPos::Right, VPos::Center);
        let label = ("sans-serif", 13).into_font().color(&BLACK).pos(right);
        let name = names(&middle);
        let left = Pos::new(HPos::Left, VPos::Center);
        let told = ("sans-serif", 12).into_font().color(&BLACK).pos(left);
        chart
            .draw_series(std::iter::once(Rectangle::new([(low, lower), (*value, upper)], colour.filled())))
            .map_err(|cause| failed(&cause))?;
        chart
            .draw_series(std::iter::once(PathElement::new(
                vec![(*bar, top - 0.05), (*bar, top - 0.95)],
                BLACK.stroke_width(2),
            )))
            .map_err(|cause| failed(&cause))?;
        let texts = [
            EmptyElement::at((low, middle)) + Text::new(name, (-8, 0), label),
            EmptyElement::at((value.max(*bar), middle)) + Text::new(format!("{value:.2}"), (8, 0), told),
        ];
        chart.draw_series(texts).map_err(|cause| failed(&cause))?;
    }
    root.present().map_err(|cause| failed(&cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest::Bar;
    use crate::{Cost, Costs};

    #[test]
    fn the_table_takes_its_place_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("README.md");
        let costs = |wall, cpu| {
            let mut costs = Costs::default();
            costs.push(Cost { wall, cpu, resident: 12.0 });
            costs
        };
        let contest = |name: &str, faster| Contest {
            name: name.to_owned(),
            sides: ["refloat", "qemu-img"],
            ours: costs(1.0, 0.5),
            theirs: costs(2.0, 1.0),
            bar: Bar { faster, cpu: 0.6 },
        };
        let contests = [contest("raw", 1.5), contest("zlib", 3.0)];
        fs::write(&page, "no place").unwrap();
        assert!(write(folder.path(), &[], &contests).is_err());
        fs::write(&page, format!("before\n{FROM}\nold\n{TO}\nafter\n")).unwrap();
        for _ in 0..2 {
            write(folder.path(), &["two cores".to_owned()], &contests).unwrap();
            let text = fs::read_to_string(&page).unwrap();
            assert!(
                text.starts_with("before\n") && text.ends_with("\nafter\n") && !text.contains("old"),
                "{text}"
            );
            assert!(text.contains("* two cores\n"), "{text}");
            assert!(text.contains("| raw | 2.00 (2.00), 1.00 (1.00) | 2.00 | 1.50 |"), "{text}");
            assert!(text.contains("| met |\n| zlib |") && text.contains("| **missed: wall** |"), "{text}");
        }
        for plot in ["wall", "cpu"] {
            let svg = fs::read_to_string(folder.path().join(format!("plots/{plot}.svg"))).unwrap();
            assert!(
                svg.contains("raw") && svg.contains("zlib") && svg.matches("<rect").count() >= 3,
                "{svg}"
            );
        }
    }
}
