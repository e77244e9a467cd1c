//! What every verb is given: the options, where the answer goes, who watches, and what was read so far.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use guestfix::report::{Line, Page};
use libdisk::block::{Cancel, CopyOptions, Observer};
use serde::Serialize;

use crate::cli::Global;
use crate::document::{Document, Envelope, Told};
use crate::present::{self, Out};
use crate::snapshot::{self, Opened};
use crate::source::Sources;

pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) out: Out,
    /// Shows progress, and stops long work once `cancel` is set.
    pub(crate) observer: Arc<dyn Observer>,
    /// Set when the user asks for a stop.
    pub(crate) cancel: Cancel,
    /// The snapshots that were opened, and so what they cost.
    pub(crate) opened: Opened,
    /// What the answer is about.
    pub(crate) sources: Sources,
    /// Whether what is being done now can be stopped at any moment, and the same command resumes it.
    pub(crate) resumes: Arc<AtomicBool>,
    /// The work is over, and only the end is left to be told.
    pub(crate) ended: Arc<AtomicBool>,
    /// The answer is out: an error after it gets no document of its own.
    pub(crate) answered: Arc<AtomicBool>,
}

impl Context {
    pub(crate) fn new(global: &Global) -> Self {
        let (out, cancel) = (Out::new(), Cancel::default());
        let observer = present::observer(global, out, cancel.clone());
        Self {
            global: global.clone(),
            out,
            observer,
            cancel,
            opened: Opened::default(),
            sources: Sources::default(),
            resumes: Arc::default(),
            ended: Arc::default(),
            answered: Arc::default(),
        }
    }

    /// Gives the answer: with `--json` one document, with its schema and the disks that were read, else text.
    pub(crate) fn answer<T: Document>(
        &self,
        document: &T,
        text: impl FnOnce() -> Result<Page>,
    ) -> Result<()> {
        let (source, other_source) = self.sources.told();
        self.document(&Envelope { schema: T::SCHEMA, source, other_source, document }, text)
    }

    /// The same with a document that holds its schema and source: a plan.
    pub(crate) fn document(
        &self,
        document: &impl Serialize,
        text: impl FnOnce() -> Result<Page>,
    ) -> Result<()> {
        self.answered.store(true, Ordering::Relaxed);
        if self.global.json {
            self.out.json(&Told { document, transfer: self.opened.tally(), blobs: self.opened.blobs() })
        } else {
            self.out.page(&text()?)
        }
    }

    /// A part of the answer that comes before the whole is known; `--json` waits for the whole.
    pub(crate) fn say(&self, text: impl Into<Page>) -> Result<()> {
        if self.global.json { Ok(()) } else { self.out.page(&text.into()) }
    }

    /// How a disk is copied or compared; more is under way at once where that is far away.
    pub(crate) fn copy_options(&self, is_far: bool) -> CopyOptions {
        let typed = self.global.threads;
        CopyOptions { threads: if typed == 0 && is_far { snapshot::THREADS } else { typed } }
    }

    /// Ends the reading of what is far away: managed disks are closed. What stays open is told.
    pub(crate) fn close(&self) {
        for (disk, failure) in self.opened.close() {
            let group = &disk.group;
            let what = format!("azure:{disk} stays open, and no machine can be started from it: {failure}");
            self.out
                .tell(Line::new(format!("{what}; refloat azure cleanup {group} --yes closes it")).hang(6));
        }
    }

    /// Tells the user something beside the answer, unless they want it quiet.
    pub(crate) fn note(&self, text: impl Into<String>) {
        if !self.global.quiet {
            self.out.tell(Line::new(text).hang(6));
        }
    }
}
