//! Seeded random changes, made to the driver and to the model alike.

use std::mem::discriminant;

use super::operation::{Generator, Operation, name_count};
use super::trial::expect_same;
use super::{Rng, Subject};
use crate::{FileSystemMut, FsError, MemoryFs};

/// How long a run of [`model`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelRun {
    /// Equal seeds make equal runs.
    pub seed: u64,
    /// Random operations, in transactions of up to 50.
    pub operations: usize,
    /// After so many the volume is opened anew, compared and judged.
    pub batch: usize,
    /// The largest file in bytes.
    pub largest_file: usize,
}

impl Default for ModelRun {
    fn default() -> Self {
        Self { seed: 1, operations: 500, batch: 100, largest_file: 1 << 20 }
    }
}

/// What became of the operations of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Committed.
    pub made: usize,
    /// Made, and dropped with their transaction.
    pub dropped: usize,
    /// Refused by the driver and, but for `NoSpace`, by the model.
    pub refused: usize,
}

impl Tally {
    /// All of them.
    pub fn operations(&self) -> usize {
        self.made + self.dropped + self.refused
    }
}

/// The longest transaction.
const LONGEST: usize = 50;

/// How many names a tree may gain before more go than come.
const ROOM: usize = 150;

/// Runs seeded random operations on the volume and on a model of it. Some transactions are dropped. After an
/// operation that is refused, the earlier ones of its transaction are made again, without it. `NoSpace` is a
/// good answer for a driver at any time.
///
/// # Panics
/// Where the driver and the model disagree; the message holds the run and the operations of the transaction.
pub fn model(subject: &mut dyn Subject, run: &ModelRun) -> Tally {
    let capabilities = subject.capabilities();
    let mut tree = MemoryFs::copy_of(&*subject.open()).expect("the new volume can be read");
    let crowd = name_count(&tree) + ROOM;
    let mut rng = Rng::new(run.seed);
    let mut tally = Tally::default();
    while tally.operations() < run.operations {
        let end = run.operations.min(tally.operations() + run.batch.max(1));
        let mut fs = subject.open();
        while tally.operations() < end {
            let longest = LONGEST.min(end - tally.operations());
            let mut log = Log { run, first: tally.operations(), operations: Vec::new() };
            let generator = Generator {
                rng: &mut rng,
                capabilities: &capabilities,
                largest_file: run.largest_file,
                crowd,
            };
            transaction(&mut *fs, &mut tree, generator, longest, &mut log, &mut tally);
        }
        drop(fs);
        expect_same(&capabilities, &*subject.open(), &tree, "with the volume opened anew");
        subject.judge();
    }
    tally
}

/// One transaction of at most `longest` operations: committed, dropped, or ended by a refusal and made again
/// without it.
fn transaction(
    fs: &mut dyn FileSystemMut,
    tree: &mut MemoryFs,
    mut generator: Generator<'_>,
    longest: usize,
    log: &mut Log<'_>,
    tally: &mut Tally,
) {
    let capabilities = generator.capabilities;
    let length = 1 + generator.rng.below(longest);
    let mut change = fs.begin().expect("a transaction begins");
    let mut expected = tree.begin().expect("the model can be changed");
    let mut refused = false;
    while log.operations.len() < length && !refused {
        let operation = generator.operation(expected.fs()).expect("the model can be read");
        log.operations.push(operation.clone());
        refused = agree(operation.apply(&mut *change), operation.apply(&mut *expected)) == End::Refused;
    }
    if !refused {
        expect_same(capabilities, change.fs(), expected.fs(), "within the transaction");
    }
    if !refused && !generator.rng.one_in(8) {
        change.commit().expect("the change can be committed");
        expected.commit().expect("the model can be changed");
        tally.made += log.operations.len();
        return;
    }
    drop((change, expected));
    expect_same(capabilities, fs, tree, "after a rollback");
    if !refused {
        tally.dropped += log.operations.len();
        return;
    }
    log.operations.pop();
    let mut change = fs.begin().expect("a transaction begins");
    let mut expected = tree.begin().expect("the model can be changed");
    for operation in &log.operations {
        let end = agree(operation.apply(&mut *change), operation.apply(&mut *expected));
        assert_eq!(end, End::Made, "what was made before a rollback is refused after it: {operation:?}");
    }
    change.commit().expect("the change can be committed");
    expected.commit().expect("the model can be changed");
    tally.made += log.operations.len();
    tally.refused += 1;
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Made,
    /// It was refused by both, or the volume is full: the transaction is only to be dropped.
    Refused,
}

fn agree(said: Result<(), FsError>, expected: Result<(), FsError>) -> End {
    match (said, expected) {
        (Ok(()), Ok(())) => End::Made,
        (Err(FsError::NoSpace(_)), _) => End::Refused,
        (Err(said), Err(expected)) if discriminant(&said) == discriminant(&expected) => End::Refused,
        (said, expected) => panic!("the driver says {said:?}, the model {expected:?}"),
    }
}

/// The operations of a transaction, told when something panics while it runs.
struct Log<'a> {
    run: &'a ModelRun,
    /// The number of the first.
    first: usize,
    operations: Vec<Operation>,
}

impl Drop for Log<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
    }
}

impl Log<'_> {
    #[expect(clippy::print_stderr, reason = "this library is a test suite, and the panic is under way")]
    fn tell(&self) {
        eprintln!("these were operations {} on of {:?}:", self.first, self.run);
        for operation in &self.operations {
            eprintln!("  {operation:?}");
        }
    }
}
