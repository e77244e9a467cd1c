//! `refloat fleet plan --simulate`: hours and dollars, by the sizes of the list and the quotas. Nothing is asked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs;

use anyhow::{Context as _, anyhow};
use guestfix::report::{Line, Page};
use guestfix::sizing::cents_up;
use libdisk::cloud::ebs::{BLOCK, Tally};
use schemars::JsonSchema;
use serde::Serialize;

use super::list;
use crate::answer::{Answer, Help, Outcome};
use crate::cli::FleetPlanArgs;
use crate::context::Context;
use crate::document::Document;
use crate::forecast::{EGRESS, GB, ingest};
use crate::name;

const MIB: f64 = 1_048_576.0;

/// How long the fleet takes if every block of every disk has data: the most that can be.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Simulation {
    machines: usize,
    gib: u64,
    tasks: u32,
    /// Of all tasks together.
    requests_per_second: f64,
    hours: f64,
    /// Each wave, and when it is done, in hours.
    waves: Vec<Wave>,
    /// What holds it up.
    limit: &'static str,
    dollars_of_requests: f64,
    /// By us-east-1.
    dollars_of_egress: f64,
    dollars: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Wave {
    wave: u32,
    machines: usize,
    done_after_hours: f64,
}

impl Document for Simulation {
    const SCHEMA: &'static str = "refloat.fleet-simulation/1";
}

pub(crate) fn run(context: &Context, args: &FleetPlanArgs) -> Outcome {
    let bytes =
        fs::read(&args.list).with_context(|| format!("{}: cannot be read", name::shown(&args.list)))?;
    let machines = list::machines(&args.list, &bytes)?;
    let sizes: Option<Vec<(u32, u64)>> =
        machines.iter().map(|machine| Some((machine.wave, machine.gib?))).collect();
    let sizes = sizes.ok_or_else(|| anyhow!("a row has no gib, so nothing is known of its size"));
    let sizes = sizes.help("add the column gib: what the disks of each machine hold, in GiB")?;
    let simulation = Simulation::of(&sizes, args.tasks, context.global.ebs_requests_per_second);
    context.answer(&simulation, || Ok(simulation.page()))?;
    Ok(Answer::Yes)
}

/// Seconds that one machine takes: it is read by its share of the requests, and written as fast as Azure takes a
/// disk of its size, at the same time.
fn seconds(gib: u64, share: f64) -> f64 {
    let bytes = (gib << 30) as f64;
    let (read, write) = (share * BLOCK as f64, ingest(gib) * MIB);
    bytes / read.min(write)
}

impl Simulation {
    /// Of machines, each with its wave and GiB. A task that ends takes the next machine of the list; a wave
    /// begins when the one before is done.
    fn of(machines: &[(u32, u64)], tasks: u32, requests_per_second: f64) -> Self {
        let share = requests_per_second / f64::from(tasks.max(1));
        let mut by_wave: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for (wave, gib) in machines {
            by_wave.entry(*wave).or_default().push(*gib);
        }
        let (mut at, mut waves) = (0_u64, Vec::new());
        for (wave, sizes) in by_wave {
            // When each task is free, in milliseconds.
            let mut free: BinaryHeap<Reverse<u64>> = (0..tasks.max(1)).map(|_| Reverse(at)).collect();
            let mut end = at;
            for gib in &sizes {
                let begins = free.pop().map_or(at, |Reverse(begins)| begins);
                let ends = begins + (seconds(*gib, share) * 1000.0) as u64;
                free.push(Reverse(ends));
                end = end.max(ends);
            }
            at = end;
            waves.push(Wave { wave, machines: sizes.len(), done_after_hours: hours(at) });
        }
        let gib: u64 = machines.iter().map(|(_, gib)| gib).sum();
        let blocks = gib.saturating_mul((1 << 30) / BLOCK);
        let largest = machines.iter().map(|(_, gib)| *gib).max().unwrap_or(0);
        let by_azure = ingest(largest) * MIB < share * BLOCK as f64;
        let dollars_of_requests = Tally::price(0, blocks);
        let dollars_of_egress = (gib as f64) * f64::from(1 << 30) / GB * EGRESS;
        Self {
            machines: machines.len(),
            gib,
            tasks,
            requests_per_second,
            hours: hours(at),
            waves,
            limit: if by_azure {
                "what Azure takes for one disk: more --tasks are faster"
            } else {
                "the requests that AWS allows"
            },
            dollars_of_requests,
            dollars_of_egress,
            dollars: dollars_of_requests + dollars_of_egress,
        }
    }

    fn page(&self) -> Page {
        let mut page = Page::new();
        let (machines, gib, tasks) = (self.machines, self.gib, self.tasks);
        page.line(Line::new(format!(
            "{machines} machines, {gib} GiB, {tasks} at a time: at most {:.1} hours",
            self.hours
        )));
        page.line(Line::new(format!("held up by {}", self.limit)));
        for wave in self.waves.iter().filter(|_| self.waves.len() > 1) {
            let Wave { wave, machines, done_after_hours } = wave;
            page.line(
                Line::new(format!(
                    "wave {wave}: {machines} machines, done after {done_after_hours:.1} hours"
                ))
                .hang(2),
            );
        }
        let (requests, egress) = (cents_up(self.dollars_of_requests), cents_up(self.dollars_of_egress));
        page.line(Line::new(format!(
            "at most ${requests:.2} of requests and ${egress:.2} for what leaves AWS, by AWS's prices of us-east-1"
        )));
        page.line(Line::new("every block is taken for data: what is empty is neither read nor sent"));
        page
    }
}

fn hours(milliseconds: u64) -> f64 {
    milliseconds as f64 / 3_600_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Second by second: whoever is free takes the next machine, and no task has more than its share.
    fn by_the_second(machines: &[(u32, u64)], tasks: u32, requests_per_second: f64) -> f64 {
        let (mut left, mut seconds) = (machines.to_vec(), 0_u64);
        let share = requests_per_second / f64::from(tasks);
        let mut under_way: Vec<(u32, u64, f64)> = Vec::new();
        while !(left.is_empty() && under_way.is_empty()) {
            while (under_way.len() as u32) < tasks {
                let wave = under_way.iter().map(|one| one.0).chain(left.iter().map(|one| one.0)).min();
                let Some(at) = left.iter().position(|one| Some(one.0) == wave) else { break };
                let (wave, gib) = left.remove(at);
                under_way.push((wave, gib, (gib << 30) as f64));
            }
            let mut blocks = 0.0;
            for (_, gib, bytes) in &mut under_way {
                let moved = (share * 524_288.0).min(ingest(*gib) * 1_048_576.0);
                blocks += moved / 524_288.0;
                *bytes -= moved;
            }
            assert!(blocks <= requests_per_second + 1e-6, "the quota holds");
            under_way.retain(|one| one.2 > 0.0);
            seconds += 1;
        }
        seconds as f64 / 3600.0
    }

    #[test]
    fn the_arithmetic_is_that_of_a_simulation() {
        let mut random = fastrand::Rng::with_seed(15);
        let mixed: Vec<(u32, u64)> = (0..60).map(|_| (random.u32(0..3), random.u64(1..200))).collect();
        let same: Vec<(u32, u64)> = (0..200).map(|_| (0, 100)).collect();
        let one_large = [(0, 9000), (0, 10), (1, 10)];
        for (machines, tasks) in [(&mixed[..], 4), (&mixed, 16), (&same, 8), (&same, 30), (&one_large, 2)] {
            let (told, seen) =
                (Simulation::of(machines, tasks, 900.0), by_the_second(machines, tasks, 900.0));
            let off = (told.hours - seen).abs() / seen;
            assert!(off < 0.01, "{tasks} tasks: {} hours told, {seen} seen", told.hours);
        }
    }

    #[test]
    fn ten_thousand_machines() {
        let machines: Vec<(u32, u64)> = (0..10_000).map(|_| (0, 100)).collect();
        let told = Simulation::of(&machines, 20, 1000.0);
        // A million GiB in blocks of 512 KiB at 1000 a second; $0.003 for 1000 requests; $0.09 a GB.
        assert!((told.hours - 568.9).abs() < 1.0, "{told:?}");
        assert!((told.dollars_of_requests - 6144.0).abs() < 10.0, "{told:?}");
        assert!((told.dollars_of_egress - 96_636.8).abs() < 10.0, "{told:?}");
    }
}
