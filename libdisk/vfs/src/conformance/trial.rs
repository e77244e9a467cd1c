//! One volume and its model, changed alike.

use std::mem::discriminant;

use super::{Capabilities, Subject, compare_as_far_as};
use crate::{FileSystem, FileSystemMut, FsError, MemoryFs, NodeId, Result, Transaction};

/// A volume under test and the model of what it must hold.
pub(super) struct Trial<'a> {
    subject: &'a mut dyn Subject,
    pub(super) capabilities: Capabilities,
    pub(super) model: MemoryFs,
}

/// Changes made in one transaction; run on the volume and on the model.
pub(super) type Script<'s> = &'s dyn Fn(&mut dyn Transaction) -> Result<()>;

impl<'a> Trial<'a> {
    pub(super) fn new(subject: &'a mut dyn Subject) -> Self {
        let capabilities = subject.capabilities();
        let model = MemoryFs::copy_of(&*subject.open()).expect("the new volume can be read");
        Self { subject, capabilities, model }
    }

    /// The script works, and its changes last.
    #[track_caller]
    pub(super) fn commit(&mut self, script: Script<'_>) {
        {
            let mut fs = self.subject.open();
            let mut change = fs.begin().expect("a transaction begins");
            let mut model_change = self.model.begin().expect("the model can be changed");
            script(&mut *model_change).expect("the model takes the change");
            if let Err(error) = script(&mut *change) {
                panic!("the driver refuses the change: {error}");
            }
            expect_same(&self.capabilities, change.fs(), model_change.fs(), "within the transaction");
            change.commit().expect("the change can be committed");
            model_change.commit().expect("the model can be changed");
            expect_same(&self.capabilities, &*fs, &self.model, "after the commit");
        }
        self.expect_model("with the volume opened anew");
        self.subject.judge();
    }

    /// The script works, but is dropped: nothing changed.
    #[track_caller]
    pub(super) fn roll_back(&mut self, script: Script<'_>) {
        {
            let mut fs = self.subject.open();
            let mut change = fs.begin().expect("a transaction begins");
            if let Err(error) = script(&mut *change) {
                panic!("the driver refuses the change: {error}");
            }
            drop(change);
            expect_same(&self.capabilities, &*fs, &self.model, "after a rollback");
        }
        self.expect_model("after a rollback, with the volume opened anew");
        self.subject.judge();
    }

    /// The script ends with this class of error, on the volume and on the model, and nothing changed.
    #[track_caller]
    pub(super) fn refuse(&mut self, class: FsError, script: Script<'_>) {
        let mut model_change = self.model.begin().expect("the model can be changed");
        expect_error("the model", &class, script(&mut *model_change));
        drop(model_change);
        self.refuse_alone(class, script);
    }

    /// As [`refuse`](Self::refuse), for what the model would allow.
    #[track_caller]
    pub(super) fn refuse_alone(&mut self, class: FsError, script: Script<'_>) {
        {
            let mut fs = self.subject.open();
            let mut change = fs.begin().expect("a transaction begins");
            expect_error("the driver", &class, script(&mut *change));
            drop(change);
            expect_same(&self.capabilities, &*fs, &self.model, "after a refused change");
        }
        self.expect_model("after a refused change, with the volume opened anew");
    }

    /// Looks at the volume, opened anew.
    pub(super) fn look<T>(&mut self, look: impl FnOnce(&dyn FileSystem) -> T) -> T {
        look(&*self.subject.open())
    }

    /// What the script says of the volume in a transaction that is then dropped.
    pub(super) fn look_in_change<T>(&mut self, script: impl FnOnce(&mut dyn Transaction) -> T) -> T {
        let mut fs = self.subject.open();
        let mut change = fs.begin().expect("a transaction begins");
        script(&mut *change)
    }

    #[track_caller]
    fn expect_model(&mut self, when: &str) {
        expect_same(&self.capabilities, &*self.subject.open(), &self.model, when);
    }
}

#[track_caller]
pub(super) fn expect_same(
    capabilities: &Capabilities,
    driver: &dyn FileSystem,
    model: &dyn FileSystem,
    when: &str,
) {
    if let Err(difference) = compare_as_far_as(capabilities, driver, model) {
        panic!("{when}, driver against model: {difference}");
    }
}

/// The result is an error of this class, whatever its text.
#[track_caller]
pub(super) fn expect_error<T>(who: &str, class: &FsError, result: Result<T>) {
    match result {
        Ok(_) => panic!("{who} allows what should be refused with \"{class}\""),
        Err(error) => {
            assert_eq!(
                discriminant(&error),
                discriminant(class),
                "{who} says \"{error}\" instead of \"{class}\""
            );
        }
    }
}

/// The node at a path of names separated by "/", as the transaction sees it.
pub(super) fn at(change: &dyn Transaction, path: &str) -> Result<NodeId> {
    let fs = change.fs();
    let mut names = path.split('/').filter(|name| !name.is_empty());
    names.try_fold(fs.root(), |dir, name| fs.lookup(dir, name.as_bytes()))
}
