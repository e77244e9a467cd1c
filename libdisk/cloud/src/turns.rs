//! Whose turn it is among all who ask the same service as the same account: the quota is theirs together.
//!
//! What is kept is one moment, the earliest at which the next request may be made (the generic cell rate algorithm). Where
//! processes of this machine share it, it is in a file, so that it makes no difference how many they are, how many threads
//! they have, and how short they live: one that has just begun has no requests to spare. Other machines are not seen: the
//! service throttles all, and [`Rate`](crate::rate::Rate) yields.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

use crate::cache;

/// How much time that nobody used is made up for, in nanoseconds.
const BURST: u64 = 100_000_000;
/// No queue is longer: a moment further ahead is of a clock that was set back.
const QUEUE: u64 = 10_000;

/// Where the processes meet if nobody says otherwise: beside the cache.
pub(crate) fn default_folder() -> Option<PathBuf> {
    cache::default_folder("ebs").map(|cache| cache.with_file_name("ebs-turns"))
}

/// What is asked, by which account: those who meet in one place take turns there.
#[derive(Debug, Clone)]
pub(crate) struct Meeting(PathBuf);

impl Meeting {
    /// The place in `root` for those who ask `endpoint`.
    pub(crate) fn at(root: &Path, endpoint: &str) -> io::Result<Self> {
        let name = endpoint.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' });
        let folder = root.join(name.take(200).collect::<String>());
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }

    /// The turns of requests of one kind.
    pub(crate) fn turns(&self, kind: &str) -> io::Result<SharedTurns> {
        block::open_sidecar(&self.0.join(kind), 0o600).map(SharedTurns).map_err(io::Error::other)
    }
}

/// The turns of one process. Times are nanoseconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    next: u64,
}

impl Turns {
    /// Takes a turn where there is one each `step`: how long it is until then.
    pub(crate) fn take(&mut self, now: u64, step: u64) -> u64 {
        let idle = now.saturating_sub(BURST.saturating_sub(step));
        let is_ahead = self.next.saturating_sub(now) > step.saturating_mul(QUEUE);
        let mine = if is_ahead { now } else { self.next.max(idle) };
        self.next = mine.saturating_add(step);
        mine.saturating_sub(now)
    }
}

/// The turns of all processes that opened this file.
#[derive(Debug)]
pub(crate) struct SharedTurns(File);

impl SharedTurns {
    /// As [`Turns::take`]; threads of one process have to take theirs one after the other.
    pub(crate) fn take(&self, now: u64, step: u64) -> io::Result<u64> {
        self.0.lock()?;
        let taken = self.taken(now, step);
        self.0.unlock()?;
        taken
    }

    fn taken(&self, now: u64, step: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        let next = match self.0.read_exact_at(&mut bytes, 0) {
            Ok(()) => u64::from_le_bytes(bytes),
            // The first who comes finds nothing.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(error),
        };
        let mut turns = Turns { next };
        let pause = turns.take(now, step);
        self.0.write_all_at(&turns.next.to_le_bytes(), 0)?;
        Ok(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_800_000_000_000_000_000;
    const STEP: u64 = 10_000_000;

    #[test]
    fn all_who_meet_have_one_queue() {
        let root = tempfile::tempdir().unwrap();
        let meeting = Meeting::at(root.path(), "https://ebs.eu-west-1.amazonaws.com").unwrap();
        // Each is new, as a process that has just begun.
        let pauses = (0..50).map(|_| meeting.turns("blocks").unwrap().take(START, STEP).unwrap());
        let pauses: Vec<_> = pauses.collect();
        assert_eq!(pauses.iter().take_while(|pause| **pause == 0).count(), 10);
        assert_eq!(pauses.last(), Some(&(40 * STEP)));
        let other = Meeting::at(root.path(), "https://ebs.us-east-1.amazonaws.com").unwrap();
        assert_eq!(other.turns("blocks").unwrap().take(START, STEP).unwrap(), 0);
        assert_eq!(meeting.turns("lists").unwrap().take(START, STEP).unwrap(), 0);
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nobody_up() {
        let mut turns = Turns { next: START };
        assert_eq!(turns.take(START - 1_000_000 * STEP, STEP), 0);
        assert!(turns.next < START);
    }
}
