//! Blocks that several files share ("Reference Count B+Tree").

use vfs::Result;

use crate::btree::Shared;
use crate::change::Change;
use crate::space::Run;

impl Change<'_> {
    /// Takes one owner away from every block of a run; the runs that have none left.
    ///
    /// The tree holds what at least two share, so a block that it does not know has one owner.
    pub(crate) fn unshare(&mut self, run: Run) -> Result<Vec<Run>> {
        if !self.fs.sb.has_reflink() {
            return Ok(vec![run]);
        }
        let end = run.start.saturating_add(run.len);
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
        let mut freed = Vec::new();
        let mut known = run.start;
        for record in &old {
            let (start, last) = (record.start.max(run.start), record.end().min(end));
            for (start, last, count) in [
                (record.start, record.end().min(run.start), record.count),
                (start, last, record.count.saturating_sub(1)),
                (record.start.max(end), record.end(), record.count),
            ] {
                if start >= last || count < 2 {
                    continue;
                }
                match new.last_mut() {
                    Some(previous) if previous.end() == start && previous.count == count => {
                        previous.len = previous.len.saturating_add(last.saturating_sub(start));
                    }
                    _ => new.push(Shared { start, len: last.saturating_sub(start), count }),
                }
            }
            if start < last {
                freed.push((known, start));
                known = last;
            }
        }
        freed.push((known, end));
        if old != new {
            for record in old {
                self.remove(run.ag, record)?;
            }
            for record in new {
                self.insert(run.ag, record)?;
            }
        }
        let freed = freed.into_iter().filter(|(start, end)| start < end);
        Ok(freed.map(|(start, end)| Run { ag: run.ag, start, len: end.saturating_sub(start) }).collect())
    }
}
