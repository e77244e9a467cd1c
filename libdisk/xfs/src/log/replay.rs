//! Carrying out a log ("Log Recovery"): the first pass finds what is cancelled, the second one writes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use block::DiskMut;
use vfs::{FsError, Result};

use super::directory::Pieces;
use super::intent::{self, Intent, Name, Step};
use super::transaction::{Item, Transaction, corrupt};
use super::{Ends, Log, buffer, dquot, icreate, inode, seal};
use crate::bytes::{index, wide};
use crate::fork::Fork;
use crate::inode::Inode;
use crate::recovery::Replayed;
use crate::superblock::Superblock;

/// What was carried out, and what is still to be done.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    pub(crate) replayed: Replayed,
    /// Intents of which the log does not say that they were finished, oldest first.
    pub(crate) intents: Vec<Intent>,
}

/// Writes everything that was committed between the ends of the log to `device`.
pub(crate) fn replay(log: &Log, ends: &Ends, device: &DiskMut) -> Result<Replay> {
    let start = log.start(ends)?;
    let mut pass = Pass::new(log.sb.clone(), device.clone());
    log.transactions(start, ends.head, &mut |transaction| pass.note(&transaction))?;
    log.transactions(start, ends.head, &mut |transaction| pass.carry_out(&transaction))?;
    pass.seal()?;
    pass.pieces.seal(device)?;
    Ok(Replay {
        replayed: pass.replayed,
        intents: pass.intents.into_values().map(|(_, intent)| intent).collect(),
    })
}

struct Pass {
    sb: Superblock,
    device: DiskMut,
    /// Buffers that a transaction to come cancels, by place and length, and how often.
    cancelled: HashMap<(u64, u16), u32>,
    /// Kinds of quotas that were turned off.
    quotas_off: u8,
    /// Buffers of which content was changed and place in the log and checksum were not: place and length in
    /// bytes.
    unsealed: BTreeSet<(u64, usize)>,
    /// The place in the log that they get.
    lsn: u64,
    /// Of directory blocks, where they are larger than the volume's.
    pieces: Pieces,
    intents: BTreeMap<u64, (Name, Intent)>,
    open: HashMap<Name, u64>,
    next: u64,
    replayed: Replayed,
}

impl Pass {
    fn new(sb: Superblock, device: DiskMut) -> Self {
        Self {
            sb,
            device,
            cancelled: HashMap::new(),
            quotas_off: 0,
            unsealed: BTreeSet::new(),
            lsn: 0,
            pieces: Pieces::default(),
            intents: BTreeMap::new(),
            open: HashMap::new(),
            next: 0,
            replayed: Replayed::default(),
        }
    }

    /// First pass.
    fn note(&mut self, transaction: &Transaction) -> Result<()> {
        for item in &transaction.items {
            match item.kind()? {
                buffer::KIND => {
                    let format = buffer::Format::parse(item.format())?;
                    if format.is_cancel() {
                        let times = self.cancelled.entry(format.place).or_default();
                        *times = times.saturating_add(1);
                    }
                }
                dquot::OFF_KIND => self.quotas_off |= dquot::turned_off(item)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Second pass.
    fn carry_out(&mut self, transaction: &Transaction) -> Result<()> {
        if transaction.lsn != self.lsn {
            // Several transactions may start at the same place: a buffer of one must not look newer to the
            // next.
            self.seal()?;
            self.lsn = transaction.lsn;
        }
        for item in &transaction.items {
            match item.kind()? {
                buffer::KIND => self.buffer(item)?,
                inode::KIND => self.inode(item)?,
                icreate::KIND => self.new_inodes(item)?,
                dquot::KIND => self.quota(item)?,
                dquot::OFF_KIND => {}
                kind => match intent::step(item)? {
                    Some(step) => self.step(step),
                    None => {
                        return Err(FsError::unsupported(format!(
                            "XFS with an unknown item {kind:#x} in the log"
                        )));
                    }
                },
            }
        }
        self.replayed.transactions = self.replayed.transactions.saturating_add(1);
        Ok(())
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Begin(name, intent) => {
                self.open.insert(name, self.next);
                self.intents.insert(self.next, (name, intent));
                self.next = self.next.saturating_add(1);
            }
            // What was begun before the tail is no matter.
            Step::Done(name) => {
                self.open.remove(&name).map(|number| self.intents.remove(&number));
            }
        }
    }

    fn is_cancelled(&mut self, place: (u64, u16)) -> bool {
        let cancelled = self.cancelled.contains_key(&place);
        if cancelled {
            self.replayed.cancelled = self.replayed.cancelled.saturating_add(1);
        }
        cancelled
    }

    /// A cancellation is over: what comes later counts again.
    fn end_cancellation(&mut self, place: (u64, u16)) {
        if let Some(times) = self.cancelled.get_mut(&place) {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.cancelled.remove(&place);
            }
        }
    }

    /// Bytes of the file system, which may have grown since it was opened.
    fn read(&self, item: &'static str, place: u64, len: usize) -> Result<Vec<u8>> {
        if place.saturating_add(wide(len)) > self.device.size() {
            return Err(corrupt(item, format!("byte {place:#x} lies outside the volume")));
        }
        let mut bytes = vec![0; len];
        self.device.read_at(&mut bytes, place)?;
        Ok(bytes)
    }

    fn buffer(&mut self, item: &Item) -> Result<()> {
        let format = buffer::Format::parse(item.format())?;
        if format.is_cancel() {
            self.end_cancellation(format.place);
            return Ok(());
        }
        if self.is_cancelled(format.place) || format.quotas() & self.quotas_off != 0 {
            return Ok(());
        }
        let place = format.place.0.saturating_mul(512);
        let mut bytes = self.read("buffer item", place, format.len()?)?;
        if self.sb.v5() && format.is_directory() && bytes.len() < self.sb.dir_block_size {
            self.pieces.buffers.insert(place);
        }
        if self.sb.v5() && seal::lsn(&self.sb, &bytes).is_some_and(|there| there >= self.lsn) {
            self.replayed.newer = self.replayed.newer.saturating_add(1);
            return Ok(());
        }
        if format.is_unlinked_list() {
            format.apply_unlinked(&self.sb, item, &mut bytes)?;
        } else {
            format.apply(item, &mut bytes)?;
            if self.sb.v5() {
                self.unsealed.insert((place, bytes.len()));
            }
        }
        self.device.write_at(&bytes, place)?;
        self.replayed.buffers = self.replayed.buffers.saturating_add(1);
        Ok(())
    }

    /// Says in all buffers where in the log they were changed.
    fn seal(&mut self) -> Result<()> {
        for (place, len) in std::mem::take(&mut self.unsealed) {
            let mut bytes = self.read("buffer item", place, len)?;
            seal::update(&self.sb, &mut bytes, self.lsn)?;
            self.device.write_at(&bytes, place)?;
        }
        Ok(())
    }

    fn inode(&mut self, item: &Item) -> Result<()> {
        let format = inode::Format::parse(item.format())?;
        if self.is_cancelled(format.buffer) {
            return Ok(());
        }
        if inode::Format::is_directory(item)? {
            self.pieces.directories.insert(format.number);
        }
        let place = format.place();
        let mut bytes = self.read("inode item", place, self.sb.inode_size)?;
        if format.apply(&self.sb, item, &mut bytes, self.lsn)? {
            self.device.write_at(&bytes, place)?;
            self.replayed.inodes = self.replayed.inodes.saturating_add(1);
        } else {
            self.replayed.newer = self.replayed.newer.saturating_add(1);
        }
        for side in format.new_owner() {
            let inode = Inode::decode(&self.sb, format.number, &bytes)?;
            if inode.is_used() {
                self.take_over(&inode, &inode.fork(side))?;
            }
        }
        Ok(())
    }

    /// Writes the inode into all blocks of a tree that was another's.
    fn take_over(&mut self, inode: &Inode, fork: &Fork) -> Result<()> {
        let Fork::Tree(root) = fork else { return Ok(()) };
        let mut left: Vec<u64> = root.children.iter().map(|&(_, block)| block).collect();
        let mut seen = BTreeSet::new();
        while let Some(block) = left.pop() {
            self.sb.check_run(block, 1)?;
            let place = self.sb.byte(block);
            let mut bytes = self.read("inode item", place, index(self.sb.block_size))?;
            let children = inode::tree_children(&self.sb, &bytes)?.filter(|_| seen.insert(block));
            left.extend(
                children.ok_or_else(|| inode.corrupt("a block of a tree that it took over is none"))?,
            );
            inode::set_tree_owner(&mut bytes, inode.number)?;
            self.device.write_at(&bytes, place)?;
        }
        Ok(())
    }

    fn new_inodes(&mut self, item: &Item) -> Result<()> {
        let format = icreate::Format::parse(&self.sb, item.format())?;
        if format.buffers(&self.sb).any(|buffer| self.cancelled.contains_key(&buffer)) {
            self.replayed.cancelled = self.replayed.cancelled.saturating_add(1);
            return Ok(());
        }
        let content = format.content(&self.sb)?;
        let place = format.place(&self.sb);
        // A group that does not exist ends here.
        self.read("inode creation item", place, content.len())?;
        self.device.write_at(&content, place)?;
        self.replayed.buffers = self.replayed.buffers.saturating_add(1);
        Ok(())
    }

    fn quota(&mut self, item: &Item) -> Result<()> {
        if dquot::kind(item)? & self.quotas_off != 0 {
            return Ok(());
        }
        let place = dquot::place(item)?;
        let mut bytes = self.read("quota item", place, dquot::LEN)?;
        if dquot::apply(&self.sb, item, &mut bytes, self.lsn)? {
            self.device.write_at(&bytes, place)?;
            self.replayed.quotas = self.replayed.quotas.saturating_add(1);
        }
        Ok(())
    }
}
