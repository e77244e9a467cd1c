//! Two programs that did the same in turn, and what is asked of ours.

use crate::{Cost, Costs};

/// How much longer than the shortest run the median may take, if wall times are to be judged.
const NOISE: f64 = 1.25;
/// The most memory we may hold, in MiB.
pub const RESIDENT: f64 = 24.0;

/// At least so many times as fast, with at most this share of the other's processor time.
#[derive(Debug, Clone, Copy)]
pub struct Bar {
    /// The other's wall time in ours.
    pub faster: f64,
    /// Our processor time in the other's.
    pub cpu: f64,
}

/// What two programs cost.
#[derive(Debug)]
pub struct Contest {
    /// What they did.
    pub name: String,
    /// What we are called, and what the other is.
    pub sides: [&'static str; 2],
    /// Our runs.
    pub ours: Costs,
    /// The other's, in turn with ours.
    pub theirs: Costs,
    /// What is asked.
    pub bar: Bar,
}

/// How a figure stands to its bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is met.
    Met,
    /// It is missed.
    Missed,
    /// It is missed, by times that say nothing: the machine was busy with other things.
    Noisy,
}

impl Contest {
    /// How many times as fast we are: the better of the median of the pairs and the ratio of the shortest runs.
    pub fn faster(&self) -> f64 {
        1.0 / self.ours.best_ratio(&self.theirs, |cost| cost.wall)
    }

    /// Our share of the other's processor time, found in the same way.
    pub fn cpu(&self) -> f64 {
        self.ours.best_ratio(&self.theirs, |cost| cost.cpu)
    }

    /// The most memory that any of our runs held, in MiB.
    pub fn resident(&self) -> f64 {
        self.ours.most(|cost| cost.resident)
    }

    /// By which factor the median of the wall times is above the shortest, of the side that suffered more.
    pub fn noise(&self) -> f64 {
        let noise = |costs: &Costs| costs.median(|cost| cost.wall) / costs.least(|cost| cost.wall);
        noise(&self.ours).max(noise(&self.theirs))
    }

    /// The wall time beside its bar.
    pub fn wall_standing(&self) -> Standing {
        match self.faster() >= self.bar.faster {
            true => Standing::Met,
            false if self.noise() > NOISE => Standing::Noisy,
            false => Standing::Missed,
        }
    }

    /// The processor time beside its bar.
    pub fn cpu_standing(&self) -> Standing {
        if self.cpu() <= self.bar.cpu { Standing::Met } else { Standing::Missed }
    }

    /// The memory beside its bar.
    pub fn memory_standing(&self) -> Standing {
        if self.resident() <= RESIDENT { Standing::Met } else { Standing::Missed }
    }

    /// Which bars are missed: "wall, cpu".
    pub fn missed(&self) -> String {
        let standings = [
            ("wall", self.wall_standing()),
            ("cpu", self.cpu_standing()),
            ("memory", self.memory_standing()),
        ];
        let missed = standings.into_iter().filter(|(_, standing)| *standing == Standing::Missed);
        missed.map(|(figure, _)| figure).collect::<Vec<_>>().join(", ")
    }

    /// Median and minimum of a figure of both sides, ours first.
    pub fn pairs(&self, figure: impl Fn(&Cost) -> f64) -> [(f64, f64); 2] {
        [&self.ours, &self.theirs].map(|costs| (costs.median(&figure), costs.least(&figure)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(walls: [f64; 3], cpu: f64) -> Costs {
        let mut costs = Costs::default();
        for wall in walls {
            costs.push(Cost { wall, cpu, resident: 20.0 });
        }
        costs
    }

    #[test]
    fn what_is_noise_is_not_judged() {
        let contest = |walls, bar| Contest {
            name: "raw".to_owned(),
            sides: ["refloat", "qemu-img"],
            ours: costs(walls, 0.5),
            theirs: costs([2.0; 3], 1.0),
            bar,
        };
        let calm = [1.0, 1.1, 1.2];
        let met = contest(calm, Bar { faster: 2.0, cpu: 0.5 });
        assert_eq!(
            (met.wall_standing(), met.cpu_standing(), met.missed()),
            (Standing::Met, Standing::Met, String::new())
        );
        let missed = contest(calm, Bar { faster: 2.1, cpu: 0.4 });
        assert_eq!(missed.missed(), "wall, cpu");
        let noisy = contest([1.0, 2.0, 2.0], Bar { faster: 2.1, cpu: 0.5 });
        assert_eq!((noisy.wall_standing(), noisy.missed()), (Standing::Noisy, String::new()));
    }
}
