//! Blocks that several files share ("Reference Count B+Tree").

use vfs::Result;

use crate::btree::Shared;
use crate::change::Change;
use crate::space::Run;

/// Adds a piece at the end, joined with the last one where it has as many owners. Blocks with one owner are
/// not in the tree.
fn push(records: &mut Vec<Shared>, start: u32, end: u32, count: u32) {
    if start >= end || count < 2 {
        return;
    }
    match records.last_mut() {
        Some(last) if last.end() == start && last.count == count => last.len = end.saturating_sub(last.start),
        _ => records.push(Shared { start, len: end.saturating_sub(start), count }),
    }
}

impl Change<'_> {
    /// Takes one owner away from every block of a run; the runs that have none left.
    pub(crate) fn unshare(&mut self, run: Run) -> Result<Vec<Run>> {
        if !self.fs.sb.has_reflink() {
            return Ok(vec![run]);
        }
        self.count_owners(run, |count| count.saturating_sub(1))
    }

    /// Gives every block of a run one more owner.
    pub(crate) fn share(&mut self, run: Run) -> Result<()> {
        self.count_owners(run, |count| count.saturating_add(1)).map(drop)
    }

    /// Changes the number of owners of every block of a run; the runs that have none left.
    ///
    /// The tree holds what at least two share, so a block that it does not know has one owner.
    fn count_owners(&mut self, run: Run, new_count: impl Fn(u32) -> u32) -> Result<Vec<Run>> {
        let end = run.end();
        // One block further on both sides: what touches the run may be joined with a part of it.
        let range = ([0; 3], [end.into(), 0, 0]);
        let before = self.fs.record_up_to::<Shared>(run.ag, [run.start.saturating_sub(1).into(), 0, 0])?;
        let from = before.map_or(range.0, |before| [before.start.into(), 0, 0]);
        let mut old = Vec::new();
        self.fs.records(run.ag, (from, range.1), &mut |record: Shared| {
            if record.end() >= run.start {
                old.push(record);
            }
            Ok(true)
        })?;

        let mut new: Vec<Shared> = Vec::new();
        let mut unknown = Vec::new();
        let mut known = run.start;
        for record in &old {
            push(&mut new, record.start, record.end().min(run.start), record.count);
            let (start, last) = (record.start.clamp(run.start, end), record.end().min(end));
            push(&mut new, known, start, new_count(1));
            unknown.push((known, start));
            if start < last {
                push(&mut new, start, last, new_count(record.count));
            }
            known = known.max(last);
            if record.end() > end {
                push(&mut new, known, end, new_count(1));
                unknown.push((known, end));
                known = end;
            }
            push(&mut new, record.start.max(end), record.end(), record.count);
        }
        push(&mut new, known, end, new_count(1));
        unknown.push((known, end));
        if old != new {
            for record in old {
                self.remove(run.ag, record)?;
            }
            for record in new {
                self.insert(run.ag, record)?;
            }
        }
        let freed = unknown.into_iter().filter(|(start, end)| start < end && new_count(1) == 0);
        Ok(freed.map(|(start, end)| Run { ag: run.ag, start, len: end.saturating_sub(start) }).collect())
    }
}
