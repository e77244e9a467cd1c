//! What a command costs.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use wait4::Wait4;

/// How often it is looked how much memory a command holds.
const LOOK: Duration = Duration::from_millis(5);

/// One run of a command.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Seconds from start to end.
    pub wall: f64,
    /// Seconds of processor time, user and system.
    pub cpu: f64,
    /// The most memory it held, in MiB.
    pub resident: f64,
}

/// All runs of a command.
#[derive(Debug, Default)]
pub struct Costs(Vec<Cost>);

impl Costs {
    /// Adds a run.
    pub fn push(&mut self, cost: Cost) {
        self.0.push(cost);
    }

    /// The median of one figure over all runs.
    pub fn median(&self, figure: impl Fn(&Cost) -> f64) -> f64 {
        median(self.0.iter().map(figure).collect())
    }

    /// The smallest of one figure over all runs: what the command costs when nobody disturbs it.
    pub fn least(&self, figure: impl Fn(&Cost) -> f64) -> f64 {
        self.0.iter().map(figure).fold(f64::INFINITY, f64::min)
    }

    /// The largest of one figure over all runs.
    pub fn most(&self, figure: impl Fn(&Cost) -> f64) -> f64 {
        self.0.iter().map(figure).fold(f64::NEG_INFINITY, f64::max)
    }

    /// The smaller of [`ratio`](Self::ratio) and the ratio of the minima.
    pub fn best_ratio(&self, other: &Costs, figure: impl Fn(&Cost) -> f64) -> f64 {
        self.ratio(other, &figure).min(self.least(&figure) / other.least(&figure))
    }

    /// The median of the ratio of one figure, run by run, to `other`, whose runs were made in turn with
    /// these.
    pub fn ratio(&self, other: &Costs, figure: impl Fn(&Cost) -> f64) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(ours, theirs)| figure(ours) / figure(theirs)).collect())
    }
}

/// The median; `NaN` of nothing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len => (values[(len - 1) / 2] + values[len / 2]) / 2.0,
    }
}

/// The most KiB that a process ever had resident.
fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Runs a command to its end.
///
/// # Errors
/// If it cannot be run, or fails; then its errors are shown.
pub fn measure(command: &mut Command) -> Result<Cost> {
    let start = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {:?}", command.get_program()))?;
    // What wait4 tells as the most counts in the process that it was split off from: this one, and a sink in it.
    let (process, most) = (child.id(), &AtomicU64::new(0));
    let (ended, is_ended) = mpsc::channel::<()>();
    let used = std::thread::scope(|scope| {
        scope.spawn(move || {
            while is_ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                most.fetch_max(resident(process).unwrap_or(0), Ordering::Relaxed);
            }
        });
        let used = child.wait4();
        drop(ended);
        used
    });
    let used = used.context("cannot wait for the command")?;
    let wall = start.elapsed();
    ensure!(used.status.success(), "{} failed: {}", command.get_program().display(), used.status);
    let cpu: Duration = used.rusage.utime + used.rusage.stime;
    let resident = most.load(Ordering::Relaxed) as f64 / f64::from(1 << 10);
    Ok(Cost { wall: wall.as_secs_f64(), cpu: cpu.as_secs_f64(), resident })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
        assert!(median(vec![]).is_nan());
        let costs =
            |walls: [f64; 3]| Costs(walls.map(|wall| Cost { wall, cpu: 1.0, resident: 1.0 }).to_vec());
        assert_eq!(costs([2.0, 4.0, 9.0]).ratio(&costs([1.0, 4.0, 3.0]), |cost| cost.wall), 2.0);
        assert_eq!(costs([2.0, 4.0, 9.0]).least(|cost| cost.wall), 2.0);
        assert_eq!(costs([2.0, 4.0, 9.0]).most(|cost| cost.wall), 9.0);
        assert_eq!(costs([2.0, 4.0, 9.0]).best_ratio(&costs([4.0, 4.0, 3.0]), |cost| cost.wall), 2.0 / 3.0);
    }

    #[test]
    fn a_command_costs_what_it_uses() {
        let cost = measure(Command::new("sh").args(["-c", "sleep 0.2"])).unwrap();
        assert!(cost.wall >= 0.2 && cost.cpu < 0.2, "{cost:?}");
        assert!((0.1..100.0).contains(&cost.resident), "{cost:?}");
        assert!(measure(&mut Command::new("false")).is_err());
    }
}
