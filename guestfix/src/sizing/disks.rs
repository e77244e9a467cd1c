//! Kinds and tiers of managed disks.

use serde::Serialize;

/// Where the tiers are from.
pub(super) const SOURCE: &str = "Tiers of managed disks: Microsoft Learn, Azure managed disk types, and Scalability and \
                                 performance targets for VM disks; as known in 2026, not looked up";

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
    tier_of("E1", 4, 500, 100),
    tier_of("E2", 8, 500, 100),
    tier_of("E3", 16, 500, 100),
    tier_of("E4", 32, 500, 100),
    tier_of("E6", 64, 500, 100),
    tier_of("E10", 128, 500, 100),
    tier_of("E15", 256, 500, 100),
    tier_of("E20", 512, 500, 100),
    tier_of("E30", 1024, 500, 100),
    tier_of("E40", 2048, 500, 100),
    tier_of("E50", 4096, 500, 100),
    tier_of("E60", 8192, 2000, 400),
    tier_of("E70", 16_384, 4000, 600),
    tier_of("E80", 32_767, 6000, 750),
];

/// What a disk of some size may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DiskTier {
    /// Its size in bytes.
    pub size: u64,
    /// The tier of Premium SSD.
    pub premium: Tier,
    /// The tier of Standard SSD.
    pub standard: Tier,
}

/// The tiers of a disk; `None` if it is larger than all.
pub(super) fn tier(size: u64) -> Option<DiskTier> {
    let gib = size.div_ceil(1 << 30);
    let of = |tiers: &[Tier]| tiers.iter().copied().find(|tier| tier.gib >= gib);
    Some(DiskTier { size, premium: of(&PREMIUM)?, standard: of(&STANDARD)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_gets_the_smallest_tier_that_holds_it() {
        let names = |gib: u64| tier(gib << 30).map(|it| (it.premium.name, it.standard.name));
        assert_eq!(names(8), Some(("P2", "E2")));
        assert_eq!(names(9), Some(("P3", "E3")));
        assert_eq!(names(32_767), Some(("P80", "E80")));
        assert_eq!(names(32_768), None);
        for tiers in [PREMIUM, STANDARD] {
            assert!(tiers.windows(2).all(|pair| pair[0].gib < pair[1].gib && pair[0].iops <= pair[1].iops));
        }
    }
}
