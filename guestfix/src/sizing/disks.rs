//! Kinds and tiers of managed disks.

use serde::Serialize;

use crate::instance::Performance;

/// Where the tiers are from.
pub(super) const SOURCE: &str = "Tiers of managed disks: Microsoft Learn, Azure managed disk types, 2026-08-11; its \
                                 tables of Premium SSD 2023-03-16, of Standard SSD 2023-02-14; Performance tiers for \
                                 managed disks, 2024-03-04";

/// A tier of disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tier {
    /// "P10".
    pub name: &'static str,
    /// The most that it holds, in GiB.
    pub gib: u64,
    /// Requests each second.
    pub iops: u32,
    /// Megabytes each second.
    pub mbps: u32,
}

const fn tier_of(name: &'static str, gib: u64, iops: u32, mbps: u32) -> Tier {
    Tier { name, gib, iops, mbps }
}

/// Premium SSD.
const PREMIUM: [Tier; 14] = [
    tier_of("P1", 4, 120, 25),
    tier_of("P2", 8, 120, 25),
    tier_of("P3", 16, 120, 25),
    tier_of("P4", 32, 120, 25),
    tier_of("P6", 64, 240, 50),
    tier_of("P10", 128, 500, 100),
    tier_of("P15", 256, 1100, 125),
    tier_of("P20", 512, 2300, 150),
    tier_of("P30", 1024, 5000, 200),
    tier_of("P40", 2048, 7500, 250),
    tier_of("P50", 4096, 7500, 250),
    tier_of("P60", 8192, 16_000, 500),
    tier_of("P70", 16_384, 18_000, 750),
    tier_of("P80", 32_767, 20_000, 900),
];
/// Standard SSD.
const STANDARD: [Tier; 14] = [
    tier_of("E1", 4, 500, 60),
    tier_of("E2", 8, 500, 60),
    tier_of("E3", 16, 500, 60),
    tier_of("E4", 32, 500, 60),
    tier_of("E6", 64, 500, 60),
    tier_of("E10", 128, 500, 60),
    tier_of("E15", 256, 500, 60),
    tier_of("E20", 512, 500, 60),
    tier_of("E30", 1024, 500, 60),
    tier_of("E40", 2048, 500, 60),
    tier_of("E50", 4096, 500, 60),
    tier_of("E60", 8192, 2000, 400),
    tier_of("E70", 16_384, 4000, 600),
    tier_of("E80", 32_767, 6000, 750),
];
/// A disk of at most so many GiB takes a performance tier of any other such disk, and keeps its size; a larger one
/// that of any larger one.
const SMALL: u64 = 4096;
/// The largest disk that a machine starts from, in GiB.
const OS_DISK: u64 = 4095;

/// Kinds of disks that are given what is asked for, within what their size allows.
struct Free {
    name: &'static str,
    /// Requests each second: for each GiB, at least, at most.
    iops: (u64, u64, u64),
    /// The most megabytes each second; a fourth of one for each request.
    mbps: u64,
}

/// These: data disks alone.
const FREE: [Free; 2] = [
    Free { name: "Premium SSD v2", iops: (500, 3000, 80_000), mbps: 2000 },
    Free { name: "Ultra Disk", iops: (1000, 100, 400_000), mbps: 10_000 },
];
/// The largest of them, in GiB.
const FREE_SIZE: u64 = 65_536;

/// What a disk may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DiskTier {
    /// Its size in bytes.
    pub size: u64,
    /// What its volume was given, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<Performance>,
    /// What the tiers were chosen by: "size alone", "size, IOPS and throughput".
    pub by: &'static str,
    /// The smallest tier of Premium SSD that has all of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub premium: Option<Tier>,
    /// The tier of Premium SSD of its size, where that is a smaller one: the disk keeps this size, and is given the
    /// performance of the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sized: Option<Tier>,
    /// The tier of Standard SSD of its size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standard: Option<Tier>,
    /// What a data disk has to be where no tier of Premium SSD has all of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beyond: Option<&'static str>,
    /// Azure Resource Manager's code where there is no such disk at all (`AzureDiskSuitabilityExplanation`,
    /// azure-mgmt-migrationassessment 1.0.0b1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<&'static str>,
}

impl DiskTier {
    /// Whether the tier of Standard SSD has what the volume was given, as far as that is known.
    pub fn standard_falls_short(&self) -> bool {
        let need = Need::of(self.size, self.given.as_ref());
        self.standard.is_some_and(|tier| !need.is_met(&tier))
    }

    /// The tier of Premium SSD in words, or what it has to be instead.
    pub fn premium(&self) -> String {
        let tier = |it: &Tier| format!("{} ({} IOPS, {} MB/s)", it.name, it.iops, it.mbps);
        match (&self.premium, &self.sized, self.beyond.or(self.explanation)) {
            (Some(it), _, _) if self.grown().is_some() => format!("{} on a disk of {} GiB", tier(it), it.gib),
            (Some(it), Some(sized), _) => format!("{} as the performance tier of a {}", tier(it), sized.name),
            (Some(it), None, _) => tier(it),
            (None, _, instead) => format!("none: {}", instead.unwrap_or_default()),
        }
    }

    /// The tier of Standard SSD in words.
    pub fn standard(&self) -> String {
        let Some(Tier { name, iops, mbps, .. }) = self.standard else { return "none".to_owned() };
        let less = if self.standard_falls_short() { ", less than it was given" } else { "" };
        format!("{name} (up to {iops} IOPS, {mbps} MB/s{less})")
    }

    /// What the tiers were chosen by, with what the volume was given.
    pub fn chosen_by(&self) -> String {
        match &self.given {
            Some(given) => format!("{}: {given}", self.by),
            None => self.by.to_owned(),
        }
    }

    /// Whether the disk has to be made larger for its tier of Premium SSD, and how large in GiB.
    pub fn grown(&self) -> Option<u64> {
        let (chosen, sized) = (self.premium?, self.sized?);
        (sized.gib <= SMALL && chosen.gib > SMALL).then_some(chosen.gib)
    }
}

/// What is asked of a disk; nothing where it is not known.
#[derive(Clone, Copy)]
struct Need {
    gib: u64,
    iops: u64,
    mbps: u64,
}

impl Need {
    fn of(size: u64, given: Option<&Performance>) -> Self {
        let iops = given.and_then(|it| it.iops).unwrap_or(0);
        let mbps = given.and_then(|it| it.mbps).unwrap_or(0);
        Self { gib: size.div_ceil(1 << 30), iops: iops.into(), mbps: mbps.into() }
    }

    fn is_met(self, tier: &Tier) -> bool {
        tier.gib >= self.gib && u64::from(tier.iops) >= self.iops && u64::from(tier.mbps) >= self.mbps
    }

    /// Requests and megabytes that a disk of such a kind may be given.
    fn most(self, kind: &Free) -> (u64, u64) {
        let (each, least, most) = kind.iops;
        let iops = self.gib.saturating_mul(each).clamp(least, most);
        (iops, (iops / 4).min(kind.mbps))
    }
}

/// What a disk may be; the first of a machine is the one that it starts from.
pub(super) fn tier(size: u64, given: Option<&Performance>, first: bool) -> DiskTier {
    let need = Need::of(size, given);
    let by = match given.map(|it| (it.iops.is_some(), it.mbps.is_some())) {
        Some((true, true)) => "size, IOPS and throughput",
        Some((true, false)) => "size and IOPS",
        Some((false, true)) => "size and throughput",
        Some((false, false)) | None => "size alone",
    };
    let starts = !first || need.gib <= OS_DISK;
    let sized = PREMIUM.iter().copied().find(|tier| tier.gib >= need.gib).filter(|_| starts);
    let premium = PREMIUM.iter().copied().find(|tier| need.is_met(tier)).filter(|_| starts);
    // A disk to start from cannot be made as large as the tiers behind.
    let premium = premium.filter(|tier| !first || tier.gib <= SMALL);
    let free = FREE.iter().find(|kind| {
        let (iops, mbps) = need.most(kind);
        !first && need.gib <= FREE_SIZE && need.iops <= iops && need.mbps <= mbps
    });
    let beyond = free.map(|kind| kind.name).filter(|_| premium.is_none());
    let explanation = (premium.is_none() && beyond.is_none()).then(|| explanation(need, first, starts));
    let standard = STANDARD.iter().copied().find(|tier| tier.gib >= need.gib).filter(|_| starts);
    let sized = sized.filter(|_| sized != premium);
    DiskTier { size, given: given.cloned(), by, premium, sized, standard, beyond, explanation }
}

/// Why there is no disk that has all of that.
fn explanation(need: Need, first: bool, starts: bool) -> &'static str {
    let small = PREMIUM.iter().filter(|tier| !first || tier.gib <= SMALL);
    let most_of_premium = small.map(|tier| u64::from(tier.iops)).max().unwrap_or(0);
    let most =
        if first { most_of_premium } else { FREE.iter().map(|kind| need.most(kind).0).max().unwrap_or(0) };
    match () {
        () if !starts || need.gib > FREE_SIZE => "DiskSizeGreaterThanSupported",
        () if need.iops > most => "NoSuitableDiskSizeForIops",
        () => "NoSuitableDiskSizeForThroughput",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(iops: u32, mbps: u32) -> Performance {
        let known = |value: u32| Some(value).filter(|value| *value > 0);
        Performance { kind: "gp3".into(), iops: known(iops), mbps: known(mbps) }
    }

    #[test]
    fn a_disk_gets_the_smallest_tier_that_holds_it() {
        let names = |gib: u64| {
            let it = tier(gib << 30, None, false);
            (it.by, it.premium.map_or("", |it| it.name), it.standard.map_or("", |it| it.name), it.beyond)
        };
        assert_eq!(names(8), ("size alone", "P2", "E2", None));
        assert_eq!(names(9), ("size alone", "P3", "E3", None));
        assert_eq!(names(32_767), ("size alone", "P80", "E80", None));
        assert_eq!(names(32_768), ("size alone", "", "", Some("Premium SSD v2")));
        assert_eq!(names(70_000), ("size alone", "", "", None));
        assert_eq!(tier(70_000 << 30, None, false).explanation, Some("DiskSizeGreaterThanSupported"));
        assert_eq!(tier(4096 << 30, None, true).explanation, Some("DiskSizeGreaterThanSupported"));
        for tiers in [PREMIUM, STANDARD] {
            assert!(tiers.windows(2).all(|pair| pair[0].gib < pair[1].gib && pair[0].iops <= pair[1].iops));
            assert!(tiers.windows(2).all(|pair| pair[0].mbps <= pair[1].mbps));
        }
    }

    #[test]
    fn a_disk_gets_what_its_volume_was_given() {
        let of = |gib: u64, iops, mbps, first| tier(gib << 30, Some(&given(iops, mbps)), first);
        let plain = of(30, 3000, 132, true);
        assert_eq!(
            (plain.premium.map(|it| it.name), plain.sized.map(|it| it.name)),
            (Some("P30"), Some("P4"))
        );
        assert_eq!(
            (plain.by, plain.grown(), plain.standard_falls_short()),
            ("size, IOPS and throughput", None, true)
        );
        // Less than a tier of its size has changes nothing.
        let slow = of(1024, 100, 0, false);
        assert_eq!(
            (slow.premium.map(|it| it.name), slow.sized, slow.by),
            (Some("P30"), None, "size and IOPS")
        );
        assert!(!slow.standard_falls_short());
        // A tier of the largest disks is that of a larger disk.
        let fast = of(100, 16_000, 0, false);
        assert_eq!((fast.premium.map(|it| it.name), fast.grown()), (Some("P60"), Some(8192)));
        assert_eq!(of(5000, 18_000, 0, false).grown(), None);
        // What Premium SSD has not, others have; not for the disk to start from.
        assert_eq!(of(100, 50_000, 1000, false).beyond, Some("Premium SSD v2"));
        assert_eq!(of(100, 16_000, 2500, false).beyond, Some("Ultra Disk"));
        assert_eq!(of(100, 100_000, 0, false).beyond, Some("Ultra Disk"));
        assert_eq!(of(100, 50_000, 0, true).explanation, Some("NoSuitableDiskSizeForIops"));
        assert_eq!(of(100, 0, 500, true).explanation, Some("NoSuitableDiskSizeForThroughput"));
        assert_eq!(of(8, 64_000, 0, false).explanation, Some("NoSuitableDiskSizeForIops"));
        assert_eq!(of(100, 0, 20_000, false).explanation, Some("NoSuitableDiskSizeForThroughput"));
    }
}
