//! Is a hive sound? What real hives are held to: cells fill their bins, each that is in use is referred to
//! once, lists have the keys that they say, in their order, and descriptors know their users.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::cells::{BIN_HEADER, NONE};
use crate::error::{Error, Result};
use crate::hive::Hive;
use crate::key::KeyNode;
use crate::name;
use crate::security::Security;
use crate::subkeys::{LeafKind, Lists};
use crate::value::{self, DataPlace, ValueKey};

/// More faults than this are not told.
const TOLD: usize = 100;

/// Something that is wrong with a hive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: its offset in the file.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
    /// Nothing reads it wrongly: a cell that is lost, as Windows itself leaves them when a key is renamed, or
    /// more users of a descriptor than there are, which Windows counts anew.
    pub harmless: bool,
}

impl Hive {
    /// What is wrong with the hive; the first hundred things of it.
    pub fn check(&self) -> Vec<Fault> {
        let mut check =
            Check { hive: self, faults: Vec::new(), taken: HashSet::new(), users: HashMap::new() };
        match check.cells() {
            Ok(used) => {
                check.keys();
                check.descriptors();
                check.unreached(&used);
            }
            Err(error) => check.error(&error),
        }
        if check.faults.iter().all(|fault| fault.harmless) {
            self.sound.get_or_init(|| ());
        }
        check.faults
    }
}

struct Check<'h> {
    hive: &'h Hive,
    faults: Vec<Fault>,
    /// The cells that something refers to.
    taken: HashSet<u32>,
    /// How many keys have each descriptor.
    users: HashMap<u32, u32>,
}

impl Check<'_> {
    fn fault(&mut self, at: u32, what: impl Into<String>) {
        self.tell(at, what.into(), false);
    }

    fn tell(&mut self, at: u32, what: String, harmless: bool) {
        let offset = u64::from(at).saturating_add(crate::base_block::LEN64);
        if self.faults.len() < TOLD {
            self.faults.push(Fault { offset, what, harmless });
        }
    }

    fn error(&mut self, error: &Error) {
        if self.faults.len() < TOLD {
            let offset = if let Error::Corrupt { offset, .. } = error { *offset } else { 0 };
            self.faults.push(Fault { offset, what: error.to_string(), harmless: false });
        }
    }

    /// All cells in use, in their order. Those of each bin fill it.
    fn cells(&mut self) -> Result<Vec<u32>> {
        let cells = &self.hive.cells;
        let mut used = Vec::new();
        for (start, end) in cells.bins() {
            let mut at = start.saturating_add(BIN_HEADER);
            while at < end {
                let (len, in_use) = cells.cell(at)?;
                if in_use {
                    used.push(at);
                }
                at = at.saturating_add(len);
            }
        }
        Ok(used)
    }

    /// Something refers to a cell.
    fn take(&mut self, at: u32, what: &str) -> bool {
        let first = self.taken.insert(at);
        if !first {
            self.fault(at, format!("a second {what} refers to this cell"));
        }
        first
    }

    /// Every key from the root on.
    fn keys(&mut self) {
        let root = self.hive.base.root.get();
        self.take(root, "base block");
        let mut todo = vec![(root, None)];
        while let Some((at, parent)) = todo.pop() {
            match self.key(at, parent) {
                Ok(subkeys) => todo.extend(subkeys.into_iter().map(|key| (key, Some(at)))),
                Err(error) => self.error(&error),
            }
        }
    }

    /// One key; its subkeys.
    fn key(&mut self, at: u32, parent: Option<u32>) -> Result<Vec<u32>> {
        let cells = &self.hive.cells;
        let node = KeyNode::read(cells, at)?;
        node.name(cells, at)?;
        if parent.is_some_and(|parent| node.parent.get() != parent) {
            self.fault(at, "the key names another parent");
        }
        if node.class.get() != NONE && node.class_len.get() > 0 {
            cells.used("class of a key", node.class.get())?;
            self.take(node.class.get(), "class");
        }
        Security::read(cells, node.security.get())?;
        let users = self.users.entry(node.security.get()).or_default();
        *users = users.saturating_add(1);
        self.values(&node)?;
        let lists = Lists::read(cells, &node, at)?;
        self.lists(&lists)?;
        let keys: Vec<u32> = lists.keys().filter(|key| self.take(*key, "list of subkeys")).collect();
        Ok(keys)
    }

    fn values(&mut self, node: &KeyNode) -> Result<()> {
        let cells = &self.hive.cells;
        let list = value::list(cells, node)?;
        if list.is_empty() {
            return Ok(());
        }
        self.take(node.value_list.get(), "list of values");
        for at in list {
            let value = ValueKey::read(cells, at)?;
            value.name(cells, at)?;
            self.take(at, "list of values");
            let data = value.data.get();
            match value.place(self.hive.minor()) {
                DataPlace::Nowhere => {}
                DataPlace::Inline(len) if len <= 4 => {}
                DataPlace::Inline(len) => self.fault(at, format!("the value holds {len} bytes itself")),
                DataPlace::Cell(len) => {
                    self.take(data, "value");
                    if cells.used("data of a value", data)?.len() < len {
                        self.fault(data, "the data of a value is longer than its cell");
                    }
                }
                DataPlace::Pieces(len) => {
                    self.take(data, "value");
                    let (list, pieces) = value::pieces(cells, data, len)?;
                    self.take(list, "value");
                    pieces.iter().for_each(|piece| {
                        self.take(*piece, "value");
                    });
                }
            }
        }
        Ok(())
    }

    /// The lists of a key's subkeys: what stands beside each key, and their order.
    fn lists(&mut self, lists: &Lists) -> Result<()> {
        let cells = &self.hive.cells;
        if let Some(root) = lists.root {
            self.take(root, "key");
        }
        let mut last: Option<String> = None;
        for leaf in &lists.leaves {
            self.take(leaf.at, "key");
            for (entry, key) in leaf.entries.iter().zip(leaf.keys()) {
                let name = KeyNode::read(cells, key)?.name(cells, key)?;
                // Some writers leave the letters out, and Windows does for names that are not of Latin-1.
                let right = leaf.kind.entry(key, &name);
                let bare = leaf.kind == LeafKind::Hint && entry.get(4..).is_some_and(|hint| hint == [0; 4]);
                if *entry != right && !bare {
                    self.fault(
                        leaf.at,
                        format!("what stands beside the key {name} in its list is not of it"),
                    );
                }
                if last.as_ref().is_some_and(|last| name::order(last, &name).is_ge()) {
                    self.fault(leaf.at, format!("the key {name} is not in its place in the list"));
                }
                last = Some(name);
            }
        }
        Ok(())
    }

    /// The ring of descriptors, and their users.
    fn descriptors(&mut self) {
        let users: BTreeMap<u32, u32> = self.users.drain().collect();
        let Some(start) = users.keys().next().copied() else { return };
        let mut seen = HashSet::new();
        let mut at = start;
        while seen.insert(at) {
            self.taken.insert(at);
            let found = match Security::read(&self.hive.cells, at) {
                Ok(found) => found,
                Err(error) => return self.error(&error),
            };
            let real = users.get(&at).copied().unwrap_or(0);
            if found.users.get() != real {
                let said = found.users.get();
                let what = format!("{said} keys are said to have this descriptor, and {real} do");
                self.tell(at, what, said > real);
            }
            let next = found.next.get();
            match Security::read(&self.hive.cells, next) {
                Ok(back) if back.previous.get() == at => {}
                Ok(_) => self.fault(next, "the descriptor does not name the one in front of it"),
                Err(error) => return self.error(&error),
            }
            at = next;
        }
        if at != start {
            self.fault(at, "the ring of descriptors does not close");
        }
        for lost in users.keys().filter(|user| !seen.contains(user)) {
            self.fault(*lost, "the descriptor is in no ring");
        }
    }

    /// Cells in use that nothing refers to.
    fn unreached(&mut self, used: &[u32]) {
        // What is behind a damaged key was not seen.
        if self.faults.iter().any(|fault| !fault.harmless) {
            return;
        }
        let inside: Vec<u32> =
            self.taken.iter().filter(|at| used.binary_search(at).is_err()).copied().collect();
        inside
            .into_iter()
            .for_each(|at| self.fault(at, "this cell is referred to, and begins in another one"));
        let lost: Vec<u32> = used.iter().filter(|at| !self.taken.contains(at)).copied().collect();
        for at in lost {
            self.tell(at, "nothing refers to this cell".to_owned(), true);
        }
    }
}
