//! `refloat forecast`: what the next cut-over takes, by what changed between two snapshots. No block is read.

use anyhow::anyhow;
use guestfix::report::{Ink, Line, Page};
use guestfix::sizing::Cost;
use libdisk::cloud::ebs::{self, Changes, Tally};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::{Answer, Help, Outcome};
use crate::cli::ForecastArgs;
use crate::context::Context;
use crate::document::Document;
use crate::image::{self, Takes};
use crate::present;

/// US dollars for a gigabyte that leaves AWS, as its price list of us-east-1 has it for the first 10 TB of a
/// month ("Amazon EC2 On-Demand Pricing", Data Transfer, 2026-11).
pub(crate) const EGRESS: f64 = 0.09;
/// A gigabyte of price lists.
pub(crate) const GB: f64 = 1e9;
/// What an upload to a managed disk takes in MiB a second, by the largest disk of each tier in GiB ("Scalability
/// and performance targets for VM disks", Standard HDD, Microsoft Learn, 2026): an open upload is of that speed
/// whatever the disk will be.
const INGEST: [(u64, f64); 3] = [(4096, 60.0), (8192, 300.0), (u64::MAX, 500.0)];

/// What an upload to a disk of so many GiB takes in MiB a second.
pub(crate) fn ingest(gib: u64) -> f64 {
    INGEST.iter().find(|(most, _)| gib <= *most).map_or(60.0, |(_, speed)| *speed)
}

/// What so many bytes cost on their way out of a snapshot in AWS.
pub(crate) fn cost(bytes: u64) -> Cost {
    Cost {
        bytes,
        requests: Tally::price(0, bytes.div_ceil(ebs::BLOCK)),
        egress: bytes as f64 / GB * EGRESS,
        source: "AWS's price lists of us-east-1, 2026-11".to_owned(),
    }
}

/// What the next cut-over takes.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Forecast {
    /// The older snapshot.
    older: String,
    /// The newer one, as an address.
    newer: String,
    /// Bytes of the volume.
    size: u64,
    /// Blocks of 512 KiB that differ.
    blocks: u64,
    /// Of these, blocks that the newer one does not have: they are cleared, and not fetched.
    gone: u64,
    /// The bytes of the others: what is fetched, and the most that is sent.
    bytes: u64,
    /// Share of the volume in percent.
    percent: f64,
    /// Minutes at the quota of requests that was given.
    minutes_to_read: f64,
    /// Minutes at the speed at which Azure takes a disk of this size.
    minutes_to_write: f64,
    /// Minutes in all: reading and writing go on at once.
    minutes: f64,
    /// US dollars of requests, by AWS's example region.
    dollars_of_requests: f64,
    /// US dollars of what leaves AWS, by us-east-1.
    dollars_of_egress: f64,
    /// Both together.
    dollars: f64,
}

impl Document for Forecast {
    const SCHEMA: &'static str = "refloat.forecast/1";
}

pub(crate) fn run(context: &Context, args: &ForecastArgs) -> Outcome {
    let name = args.older.strip_prefix("ebs:").unwrap_or(&args.older);
    let older = name.split('@').next().unwrap_or(name);
    if !older.starts_with("snap-") {
        return Err(anyhow!("{}: not a snapshot", args.older))
            .help("name the older snapshot of the same volume: ebs:snap-…");
    }
    let machine = image::machine(context, &image::addresses(&args.newer, &[], Takes::Disk)?)?;
    let disk = machine.os_disk();
    let snapshot = disk.origin.snapshot().filter(|_| machine.data_disks().is_empty());
    let snapshot = snapshot.ok_or_else(|| anyhow!("{}: not one snapshot in AWS", args.newer));
    let snapshot = snapshot.help("name the newer snapshot of the same volume: ebs:snap-…@REGION")?;
    let changes = snapshot.changes_since(older)?;
    let speed = ingest(disk.disk.size() >> 30);
    let forecast = Forecast::of(
        older,
        &disk.origin.to_string(),
        disk.disk.size(),
        &changes,
        context.global.ebs_requests_per_second,
        speed,
    );
    context.answer(&forecast, || Ok(page(&forecast)))?;
    Ok(Answer::Yes)
}

impl Forecast {
    fn of(
        older: &str,
        newer: &str,
        size: u64,
        changes: &Changes,
        per_second: f64,
        mib_per_second: f64,
    ) -> Self {
        let (blocks, to_fetch) = (changes.blocks.count(), changes.to_fetch());
        // What is at the end of a volume is no whole block.
        let bytes = (to_fetch * ebs::BLOCK).min(size);
        let (count, amount) = (to_fetch as f64, bytes as f64);
        let minutes_to_read = count / per_second / 60.0;
        let minutes_to_write = amount / (mib_per_second * 1_048_576.0) / 60.0;
        let dollars_of_requests = Tally::price(0, to_fetch);
        let dollars_of_egress = amount / GB * EGRESS;
        Self {
            older: older.to_owned(),
            newer: newer.to_owned(),
            size,
            blocks,
            gone: changes.gone,
            bytes,
            percent: if size == 0 { 0.0 } else { amount / size as f64 * 100.0 },
            minutes_to_read,
            minutes_to_write,
            minutes: minutes_to_read.max(minutes_to_write),
            dollars_of_requests,
            dollars_of_egress,
            dollars: dollars_of_requests + dollars_of_egress,
        }
    }
}

fn page(it: &Forecast) -> Page {
    let mut page = Page::new();
    let mut field = |name: &str, text: String| {
        page.line(Line::default().ink(Ink::Heading, format!("{name:<9}")).text(text).hang(9));
    };
    let share = format!("{:.1} % of {}", it.percent, present::size(it.size));
    let gone = if it.gone > 0 { format!(", {} of them to zeros", it.gone) } else { String::new() };
    field("changed", format!("{} blocks{gone}: {} to fetch ({share})", it.blocks, present::size(it.bytes)));
    let parts = format!("reading {}, writing {}", minutes(it.minutes_to_read), minutes(it.minutes_to_write));
    field("time", format!("{} ({parts}, at once)", minutes(it.minutes)));
    let parts = format!("requests ${:.2}, egress ${:.2}", it.dollars_of_requests, it.dollars_of_egress);
    field("price", format!("about ${:.2} ({parts}; us-east-1, 2026-11)", it.dollars));
    let also = "checking and planning, about 100 blocks, and what the plan before has edited; seconds";
    field("not in it", also.to_owned());
    page
}

fn minutes(minutes: f64) -> String {
    if minutes < 1.0 { "under a minute".to_owned() } else { format!("{minutes:.0} min") }
}

#[cfg(test)]
mod tests {
    use libdisk::block::Bitmap;

    use super::*;

    #[test]
    fn figures_are_those_of_the_price_lists() {
        // 100 GiB of which a tenth changed, at 1000 blocks a second and 60 MiB a second.
        let changes = |count: u64, gone: u64| {
            let mut blocks = Bitmap::new(count);
            (0..count).for_each(|block| blocks.set(block, true));
            Changes { blocks, gone }
        };
        let it = Forecast::of("a", "b", 100 << 30, &changes(20_500, 20), 1000.0, 60.0);
        assert_eq!((it.bytes, it.percent), (10 << 30, 10.0));
        assert_eq!(format!("{:.2} {:.2}", it.minutes_to_read, it.minutes_to_write), "0.34 2.84");
        assert_eq!(it.minutes, it.minutes_to_write);
        assert_eq!(format!("{:.3} {:.3}", it.dollars_of_requests, it.dollars_of_egress), "0.061 0.966");
        let none = Forecast::of("a", "b", 0, &changes(0, 0), 1000.0, 60.0);
        assert_eq!((none.percent, none.minutes, none.dollars), (0.0, 0.0, 0.0));
    }
}
