//! What every verb is given: the options, where the answer goes, who watches, and what was read so far.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use guestfix::report::{Line, Page};
use libdisk::block::{Cancel, Observer};
use libdisk::cloud::ebs::Tally;
use serde::Serialize;

use crate::cli::Global;
use crate::present::{self, Out};
use crate::snapshot::Opened;
use crate::source::{Source, Sources};

pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) out: Out,
    /// Shows progress, and stops long work once `cancel` is set.
    pub(crate) observer: Box<dyn Observer>,
    /// Set when the user asks for a stop.
    pub(crate) cancel: Cancel,
    /// The snapshots that were opened, and so what they cost.
    pub(crate) opened: Opened,
    /// What the answer is about.
    pub(crate) sources: Sources,
    /// The answer is out: an error after it gets no document of its own.
    answered: AtomicBool,
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
            answered: AtomicBool::new(false),
        }
    }

    /// Gives the answer: with `--json` one document, with its schema and the disks that were read, else text.
    pub(crate) fn answer(
        &self,
        schema: &str,
        document: &impl Serialize,
        text: impl FnOnce() -> Result<Page>,
    ) -> Result<()> {
        #[derive(Serialize)]
        struct Envelope<'a, T> {
            schema: &'a str,
            /// The disks of the machine, that of the operating system first.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            source: Vec<Source>,
            /// The disks of the machine that it was compared with.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            other_source: Vec<Source>,
            #[serde(flatten)]
            document: &'a T,
        }
        let (source, other_source) = self.sources.told();
        self.document(&Envelope { schema, source, other_source, document }, text)
    }

    /// The same with a document that holds its schema and source: a plan.
    pub(crate) fn document(
        &self,
        document: &impl Serialize,
        text: impl FnOnce() -> Result<Page>,
    ) -> Result<()> {
        #[derive(Serialize)]
        struct Told<'a, T> {
            #[serde(flatten)]
            document: &'a T,
            /// What was read of snapshots for it.
            #[serde(skip_serializing_if = "Option::is_none")]
            transfer: Option<Tally>,
        }
        self.answered.store(true, Ordering::Relaxed);
        if self.global.json {
            self.out.json(&Told { document, transfer: self.opened.tally() })
        } else {
            self.out.page(&text()?)
        }
    }

    /// Whether the answer is out.
    pub(crate) fn answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// A part of the answer that comes before the whole is known; `--json` waits for the whole.
    pub(crate) fn say(&self, text: impl Into<Page>) -> Result<()> {
        if self.global.json { Ok(()) } else { self.out.page(&text.into()) }
    }

    /// Tells the user something beside the answer, unless they want it quiet.
    pub(crate) fn note(&self, text: impl Into<String>) {
        if !self.global.quiet {
            self.out.tell(Line::new(text).hang(6));
        }
    }
}
