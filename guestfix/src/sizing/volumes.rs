//! What volumes of EBS are given, by their kind and size ("Amazon EBS volume types" and "Amazon EBS Throughput
//! Optimized HDD and Cold HDD volumes", Amazon EBS user guide, read 2026-11-30).
//!
//! A baseline is meant, not what a volume may reach for a while on credits. Of the throughput of io1 and io2 the
//! guide says but what the largest get, so it is not known here; nor is anything of magnetic volumes.

use crate::instance::Performance;

/// Where this is from.
pub(super) const SOURCE: &str =
    "Volumes of EBS: Amazon EBS user guide, Amazon EBS volume types, read 2026-11-30";
/// GiB of a TiB.
const TIB: u64 = 1024;

/// What a volume of this kind and size in GiB is given, of which EC2 says so many requests and MiB each second;
/// `None` for a kind that says nothing.
pub fn performance(kind: &str, gib: u64, iops: Option<u32>, mibps: Option<u32>) -> Option<Performance> {
    let (iops, mibps) = match kind {
        // 3 for each GiB, from 100 to 16,000.
        "gp2" => (
            iops.or_else(|| number(gib.saturating_mul(3).clamp(100, 16_000))),
            Some(if gib < 334 { 128 } else { 250 }),
        ),
        "gp3" => (iops.or(Some(3000)), mibps.or(Some(125))),
        "io1" | "io2" => (iops, mibps),
        "st1" => (None, number((gib.saturating_mul(40) / TIB).clamp(1, 500))),
        "sc1" => (None, number((gib.saturating_mul(12) / TIB).clamp(1, 192))),
        _ => (None, None),
    };
    // Azure counts in millions of bytes.
    let mbps = mibps.and_then(|mibps| number((u64::from(mibps) << 20).div_ceil(1_000_000)));
    (iops.is_some() || mbps.is_some()).then(|| Performance { kind: kind.to_owned(), iops, mbps })
}

fn number(value: u64) -> Option<u32> {
    u32::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_given_what_its_guide_says() {
        let given = |kind, gib, iops, mibps| {
            performance(kind, gib, iops, mibps).map(|it| (it.iops.unwrap_or(0), it.mbps.unwrap_or(0)))
        };
        assert_eq!(given("gp2", 8, None, None), Some((100, 135)));
        assert_eq!(given("gp2", 1000, Some(3000), None), Some((3000, 263)));
        assert_eq!(given("gp2", 16_384, None, None), Some((16_000, 263)));
        assert_eq!(given("gp3", 8, None, None), Some((3000, 132)));
        assert_eq!(given("gp3", 100, Some(16_000), Some(1000)), Some((16_000, 1049)));
        assert_eq!(given("io2", 100, Some(50_000), None), Some((50_000, 0)));
        assert_eq!(given("st1", 2048, None, None), Some((0, 84)));
        assert_eq!(given("sc1", 16_384, None, None), Some((0, 202)));
        assert_eq!(given("standard", 8, None, None), None);
    }
}
