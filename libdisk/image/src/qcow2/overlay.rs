//! A sealed overlay as an image over its source.

use std::ops::Range;

use block::{Disk, Event, Observer, Receipt, Result, Sealed, is_zero};

use super::write::{BackingFile, CLUSTER, Writer};
use crate::partial::Output;

/// How much is read at once: a whole number of clusters.
const UNIT: u64 = 16 * CLUSTER;

/// Writes what `sealed` changes as the image `output`, whose backing file is `backing`. Only clusters that
/// were changed are in it. `backing` must read as the base of `sealed` does; past its end it reads as zeros.
///
/// # Errors
/// `Refused` if it exists and must not be replaced; `Unsupported` for names that do not fit; what the layers
/// report.
pub fn write_overlay(
    sealed: &Sealed,
    output: &Output,
    backing: &BackingFile<'_>,
    observer: &dyn Observer,
) -> Result<Receipt> {
    let disk = sealed.disk();
    let mut writer = Writer::create(output, disk.size(), Some(backing))?;
    let ranges = whole_clusters(&sealed.dirty(), disk.size());
    let total = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
    observer.on(Event::started("write overlay", Some(total)));
    for range in ranges {
        copy(&disk, &mut writer, range, observer)?;
    }
    let receipt = Receipt { size: disk.size(), written: writer.written(), ..Receipt::default() };
    writer.finish()?;
    observer.on(Event::finished());
    Ok(receipt)
}

/// The ranges widened to whole clusters (but not past the end of the disk) and merged.
fn whole_clusters(ranges: &[Range<u64>], size: u64) -> Vec<Range<u64>> {
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        let start = range.start.saturating_sub(range.start % CLUSTER);
        let end = range.end.next_multiple_of(CLUSTER).min(size);
        match merged.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            _ => merged.push(start..end),
        }
    }
    merged
}

fn copy(disk: &Disk, writer: &mut Writer, range: Range<u64>, observer: &dyn Observer) -> Result<()> {
    let mut offset = range.start;
    while offset < range.end {
        observer.go_on()?;
        let len = range.end.saturating_sub(offset).min(UNIT);
        let bytes = disk.read_vec(offset, usize::try_from(len).unwrap_or(0))?;
        let clusters = bytes.chunks(usize::try_from(CLUSTER).unwrap_or(1));
        for (cluster, at) in clusters.zip((offset..).step_by(usize::try_from(CLUSTER).unwrap_or(1))) {
            if is_zero(cluster) { writer.zero(at)? } else { writer.write(cluster, at)? }
        }
        observer.on(Event::advanced(len));
        offset = offset.saturating_add(len);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_become_whole_clusters() {
        let (c, size) = (CLUSTER, 10 * CLUSTER + 512);
        let whole = |ranges: &[Range<u64>]| whole_clusters(ranges, size);
        assert_eq!(whole(&[]), []);
        assert_eq!(whole(&[512..1024, 2048..4096, 3 * c..4 * c]), [0..c, 3 * c..4 * c]);
        assert_eq!(whole(&[512..c + 512, 2 * c..2 * c + 512, 5 * c..5 * c + 1]), [0..3 * c, 5 * c..6 * c]);
        assert_eq!(whole(&[0..1, 10 * c..size]), [0..c, 10 * c..size]);
    }
}
