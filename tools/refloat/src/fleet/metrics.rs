//! Prometheus' text format (exposition format 0.0.4), for the textfile collector of its node exporter.

use std::fmt::Write;

use super::state::Stage;
use super::status::Status;

/// How such a file begins.
pub(super) const START: &str = "# HELP refloat_fleet_machines ";

pub(crate) fn text(status: &Status) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
        // Writing to a string does not fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let machines: Vec<_> = (status.counts.iter())
        .map(|count| (format!("{{stage=\"{}\"}}", count.stage.word()), count.machines as u64))
        .collect();
    family("refloat_fleet_machines", "gauge", "Machines by stage.", &machines);
    if !status.tests.is_empty() {
        let tests = status.tests.iter();
        let tests =
            tests.map(|count| (format!("{{stage=\"{}\"}}", count.stage.word()), count.machines as u64));
        family(
            "refloat_fleet_tests",
            "gauge",
            "Tests of moves in Azure by stage.",
            &tests.collect::<Vec<_>>(),
        );
    }
    let done = status.machines.iter().filter(|row| row.stage == Stage::Done);
    let bytes = vec![(String::new(), done.map(|row| row.bytes).sum())];
    family("refloat_fleet_written_bytes", "gauge", "Bytes of machines that are done.", &bytes);
    let under_way = status.machines.iter().filter(|row| row.stage == Stage::Running);
    let bytes = vec![(String::new(), under_way.map(|row| row.bytes).sum())];
    family("refloat_fleet_running_bytes", "gauge", "Bytes of the present steps of machines.", &bytes);
    let attempts = vec![(String::new(), status.machines.iter().map(|row| u64::from(row.attempts)).sum())];
    family("refloat_fleet_attempts", "gauge", "Tasks that were begun.", &attempts);
    family("refloat_fleet_time_seconds", "gauge", "When this was written.", &[(String::new(), status.at)]);
    text
}
