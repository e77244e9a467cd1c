//! Seeded random changes, made to the driver and to the model alike.

use std::mem::discriminant;

use super::operation::{Generator, Operation};
use super::trial::expect_same;
use super::{Rng, Subject};
use crate::{FileSystemMut, FsError, MemoryFs};

/// How long a run of [`model`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelRun {
    /// Equal seeds make equal runs.
    pub seed: u64,
    /// Transactions; after each the volume is opened anew, compared and judged.
    pub transactions: usize,
    /// Changes in a transaction.
    pub changes: usize,
    /// The largest file in bytes.
    pub largest_file: usize,
}

impl Default for ModelRun {
    fn default() -> Self {
        Self { seed: 1, transactions: 20, changes: 25, largest_file: 1 << 20 }
    }
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// All changes were made: commit.
    Made,
    /// A change was refused by both, or the volume is full: only to be dropped.
    Refused,
}

/// Runs seeded random changes on the volume and on a model of it. Some transactions are dropped; some end with a change
/// that must be refused. `NoSpace` is a good answer for a driver at any time.
///
/// # Panics
/// Where the driver and the model disagree; the message holds the run and the changes of the transaction.
pub fn model(subject: &mut dyn Subject, run: &ModelRun) {
    let capabilities = subject.capabilities();
    let mut model = MemoryFs::copy_of(&*subject.open()).expect("the new volume can be read");
    let mut rng = Rng::new(run.seed);
    for number in 0..run.transactions {
        let mut log = Log { run, number, operations: Vec::new() };
        {
            let mut fs = subject.open();
            let mut change = fs.begin().expect("a transaction begins");
            let mut model_change = model.begin().expect("the model can be changed");
            let mut end = End::Made;
            for _ in 0..run.changes {
                let mut generator =
                    Generator { rng: &mut rng, capabilities: &capabilities, largest_file: run.largest_file };
                let operation = generator.operation(model_change.fs()).expect("the model can be read");
                log.operations.push(operation.clone());
                let (said, expected) = (operation.apply(&mut *change), operation.apply(&mut *model_change));
                end = agree(said, expected);
                if end == End::Refused {
                    break;
                }
            }
            if end == End::Made {
                expect_same(&capabilities, change.fs(), model_change.fs(), "within the transaction");
            }
            if end == End::Made && !rng.one_in(8) {
                change.commit().expect("the change can be committed");
                model_change.commit().expect("the model can be changed");
            } else {
                drop((change, model_change));
            }
            expect_same(&capabilities, &*fs, &model, "after the transaction");
        }
        expect_same(&capabilities, &*subject.open(), &model, "with the volume opened anew");
        subject.judge();
    }
}

fn agree(said: Result<(), FsError>, expected: Result<(), FsError>) -> End {
    match (said, expected) {
        (Ok(()), Ok(())) => End::Made,
        (Err(FsError::NoSpace(_)), _) => End::Refused,
        (Err(said), Err(expected)) if discriminant(&said) == discriminant(&expected) => End::Refused,
        (said, expected) => panic!("the driver says {said:?}, the model {expected:?}"),
    }
}

/// The changes of a transaction, told when something panics while it runs.
struct Log<'a> {
    run: &'a ModelRun,
    number: usize,
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
        eprintln!("this was transaction {} of {:?}, with the changes", self.number, self.run);
        for operation in &self.operations {
            eprintln!("  {operation:?}");
        }
    }
}
