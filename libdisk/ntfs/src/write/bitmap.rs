//! Free clusters, and those in use: one bit for each in `$Bitmap`.

use std::ops::{ControlFlow, Range};

use vfs::bytes::{index, wide};
use vfs::{FsError, Result};

use super::Change;
use crate::attribute::kind;
use crate::runs::Run;
use crate::volume::system;

/// Bytes of a bitmap that are changed at once.
const PIECE: u64 = 64 << 10;

/// Sets or clears bits of some bytes whose first bit is `base`; whether all of them were the other way.
pub(super) fn turn(bytes: &mut [u8], base: u64, bits: Range<u64>, set: bool) -> bool {
    let mut sound = true;
    for bit in bits {
        let at = bit.saturating_sub(base);
        let mask = 1_u8.wrapping_shl(u32::try_from(at & 7).unwrap_or(0));
        match bytes.get_mut(index(at.div_euclid(8))) {
            Some(byte) if (*byte & mask != 0) != set => *byte ^= mask,
            _ => sound = false,
        }
    }
    sound
}

fn corrupt(why: &'static str) -> FsError {
    FsError::corrupt("$Bitmap", 0, why)
}

impl Change<'_> {
    /// Marks clusters as used, or as free.
    fn mark(&mut self, clusters: Range<u64>, used: bool) -> Result<()> {
        self.each_piece(clusters, |bytes, base, bits| {
            let why = if used { "a cluster that is free is in use" } else { "a cluster in use is free" };
            if turn(bytes, base, bits, used) { Ok(true) } else { Err(corrupt(why)) }
        })
    }

    /// Refuses to write over clusters that the bitmap gives to nobody.
    pub(super) fn check_used(&mut self, runs: &[Run]) -> Result<()> {
        for run in runs {
            let Some(lcn) = run.lcn else { continue };
            self.each_piece(lcn..lcn.saturating_add(run.len), |bytes, base, bits| {
                // Turned in a copy that is thrown away.
                if turn(bytes, base, bits, false) {
                    Ok(false)
                } else {
                    Err(corrupt("a cluster in use is free"))
                }
            })?;
        }
        Ok(())
    }

    /// Calls for each piece of the bitmap that has some of these clusters, with the first cluster of the
    /// piece and those in it; writes the piece if the answer is to.
    fn each_piece(
        &self,
        clusters: Range<u64>,
        mut each: impl FnMut(&mut [u8], u64, Range<u64>) -> Result<bool>,
    ) -> Result<()> {
        let volume = &self.fs.volume;
        let record = volume.file(system::BITMAP)?;
        let stream = volume.stream(&record, kind::DATA, &[])?.ok_or_else(|| corrupt("it has no content"))?;
        if clusters.end > volume.boot.clusters || clusters.start > clusters.end {
            return Err(corrupt("a cluster is outside the volume"));
        }
        let mut at = clusters.start;
        while at < clusters.end {
            let first = at.div_euclid(8);
            let bytes = clusters.end.div_ceil(8).saturating_sub(first).min(PIECE);
            let base = first.saturating_mul(8);
            let end = clusters.end.min(base.saturating_add(bytes.saturating_mul(8)));
            let mut piece = vec![0; index(bytes)];
            if stream.read(&volume.disk, &volume.boot, &mut piece, first)? != piece.len() {
                return Err(corrupt("it is shorter than the volume"));
            }
            if each(&mut piece, base, at..end)? {
                stream.write(&self.writer, &volume.boot, &piece, first)?;
            }
            at = end;
        }
        Ok(())
    }

    /// Takes free clusters side by side: as many as are wanted or, where there are no so many, as there are.
    fn allocate(&mut self, wanted: u64, goal: u64) -> Result<Range<u64>> {
        let mut best = 0..0;
        let len = |range: &Range<u64>| range.end.saturating_sub(range.start);
        for from in [goal, 0] {
            self.fs.each_free(from, wanted, |free| {
                if len(&free) > len(&best) {
                    best = free;
                }
                if len(&best) >= wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if len(&best) >= wanted || goal == 0 {
                break;
            }
        }
        let taken = best.start..best.end.min(best.start.saturating_add(wanted));
        if taken.is_empty() {
            return Err(FsError::NoSpace("clusters"));
        }
        self.mark(taken.clone(), true)?;
        self.goal = taken.end;
        Ok(taken)
    }

    /// Frees the clusters of some runs.
    pub(super) fn free_runs(&mut self, runs: &[Run]) -> Result<()> {
        for run in runs {
            if let Some(lcn) = run.lcn {
                self.mark(lcn..lcn.saturating_add(run.len), false)?;
            }
        }
        Ok(())
    }

    /// The runs of a stream that is to hold so many bytes: clusters at its end are freed, or added.
    pub(super) fn resize_runs(&mut self, mut runs: Vec<Run>, size: u64) -> Result<Vec<Run>> {
        let wanted = size.div_ceil(u64::from(self.fs.volume.boot.cluster_size));
        while let Some(last) = runs.pop() {
            let kept = wanted.saturating_sub(last.vcn).min(last.len);
            let lcn = last.lcn.map(|lcn| lcn.saturating_add(kept));
            self.free_runs(&[Run { vcn: last.vcn, lcn, len: last.len.saturating_sub(kept) }])?;
            if kept > 0 {
                runs.push(Run { len: kept, ..last });
                break;
            }
        }
        let mut have = runs.last().map_or(0, Run::end);
        while have < wanted {
            let after = runs.last().and_then(|last| last.lcn?.checked_add(last.len));
            let taken = self.allocate(wanted.saturating_sub(have), after.unwrap_or(self.goal))?;
            let len = taken.end.saturating_sub(taken.start);
            match runs.last_mut() {
                Some(last) if after == Some(taken.start) => last.len = last.len.saturating_add(len),
                _ => runs.push(Run { vcn: have, lcn: Some(taken.start), len }),
            }
            have = have.saturating_add(len);
        }
        Ok(runs)
    }

    /// Writes the bytes of a stream into its runs, and zeros behind them in the last cluster.
    pub(super) fn write_runs(&self, runs: &[Run], bytes: &[u8]) -> Result<()> {
        let cluster = index(self.fs.volume.boot.cluster_size);
        let mut rest = bytes;
        for run in runs {
            let missing = || FsError::Invalid("content cannot be written into a hole".into());
            let place = run.lcn.ok_or_else(missing)?.saturating_mul(wide(cluster));
            let len = rest.len().min(index(run.len.saturating_mul(wide(cluster))));
            let (front, behind) = rest.split_at(len);
            let (whole, last) = front.split_at(len.saturating_sub(len.checked_rem(cluster).unwrap_or(0)));
            self.writer.write_at(whole, place)?;
            if !last.is_empty() {
                let mut last = last.to_vec();
                last.resize(cluster, 0);
                self.writer.write_at(&last, place.saturating_add(wide(whole.len())))?;
            }
            rest = behind;
        }
        if rest.is_empty() { Ok(()) } else { Err(FsError::Invalid("content is longer than its runs".into())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_turned_once() {
        let mut bytes = [0; 3];
        assert!(turn(&mut bytes, 8, 14..19, true));
        assert_eq!(bytes, [0xc0, 0x07, 0]);
        assert!(!turn(&mut bytes, 8, 18..20, true));
        assert!(turn(&mut bytes, 8, 14..20, false));
        assert_eq!(bytes, [0; 3]);
        assert!(!turn(&mut bytes, 8, 31..33, true));
    }
}
