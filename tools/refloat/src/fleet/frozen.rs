//! The frozen list: `fleet.json`. The number of a row is its index in every engine, so rows are never sorted.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use guestfix::edit::hex;
use guestfix::report::counted;
use libdisk::FileFormat;
use libdisk::cloud::azure::DiskId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::state::TEST;
use super::store::Store;
use crate::answer::Help;

/// The file's name in its folder.
pub(crate) const NAME: &str = "fleet.json";
const SCHEMA: &str = "refloat.fleet/1";
const PLAN_AGAIN: &str = "it was changed, or made by another version: plan the list again with --force (what was done \
                          stays done where the row is the same)";

/// All machines, and how they are moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fleet {
    schema: String,
    /// SHA-256 of the list it was made of, in hexadecimal.
    pub(crate) list: String,
    /// The same of the lists that this one replaced: what was done by them stays done where the row is the same.
    earlier: Vec<String>,
    /// SHA-256 of all the rest, in hexadecimal: what is changed here is seen.
    sum: String,
    /// Machines that are moved at the same time.
    pub(crate) tasks: u32,
    /// Requests for blocks of snapshots a second, of all tasks together.
    pub(crate) requests_per_second: f64,
    pub(crate) machines: Vec<Machine>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Machine {
    pub(crate) id: String,
    /// Machines of a wave begin when all of the waves before are done.
    pub(crate) wave: u32,
    /// Machines that have to be done before this one begins.
    pub(crate) after: Vec<String>,
    /// What is typed behind `refloat`.
    pub(crate) migrate: Vec<String>,
    /// The same that writes the virtual machine around the disks, once they are there.
    pub(crate) emit: Option<Vec<String>>,
    /// The same that tests the move in Azure, where it goes to a managed disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) test: Option<Vec<String>>,
    /// GiB of its disks, where the list says.
    pub(crate) gib: Option<u64>,
}

impl Machine {
    /// What stands for this row in receipts: SHA-256 of its words, in hexadecimal. A receipt for other words is
    /// none for this row.
    pub(crate) fn digest(&self) -> String {
        digest(self.migrate.iter().chain(self.emit.iter().flatten()))
    }

    /// The same of what the files of a row are about whose names begin with `part`: its move, or its [`TEST`].
    pub(crate) fn digest_of(&self, part: &str) -> String {
        if part == TEST { digest(self.test.iter().flatten()) } else { self.digest() }
    }

    /// Whether what it is moved to takes only what has changed since: a fixed VHD, a raw image, a page blob, and a managed
    /// disk that is made of a blob that is kept.
    pub(crate) fn follows(&self) -> bool {
        let target = self.migrate.get(2).map(String::as_str).unwrap_or_default();
        if target.starts_with("azure:") {
            return target.contains("://") || self.migrate.iter().any(|word| word == "--keep-via");
        }
        let asked = self.migrate.iter().skip_while(|word| *word != "--format").nth(1);
        let named = FileFormat::of(Path::new(target), None).ok().map(|format| format.to_string());
        asked.cloned().or(named).is_some_and(|format| format == "vhd" || format == "raw")
    }

    /// The words that move it in this round: 0 is the first. Later ones say themselves which older snapshot is followed.
    pub(crate) fn migrate_in(&self, round: u32) -> Vec<String> {
        let mut words = self.renamed(&self.migrate, round);
        if round > 0
            && let Some(at) = words.iter().position(|word| word == "--since")
        {
            words.drain(at..(at + 2).min(words.len()));
        }
        words
    }

    /// The words that write the virtual machine around what this round made.
    pub(crate) fn emit_in(&self, round: u32) -> Option<Vec<String>> {
        Some(self.renamed(self.emit.as_ref()?, round))
    }

    /// The words of a later round. A blob that is kept becomes the newer disk, of which Azure makes another managed disk:
    /// it gets the number of the round.
    fn renamed(&self, words: &[String], round: u32) -> Vec<String> {
        let mut words = words.to_vec();
        let target = self.migrate.get(2).map(String::as_str).unwrap_or_default();
        let Some(disk) = managed_disk(target).ok().flatten().filter(|_| round > 0) else { return words };
        for at in 0..words.len() {
            if words[at] == target {
                words[at] = format!("{target}-{round}");
            }
            if at > 0 && words[at - 1] == "--os-disk" {
                words[at] = format!("{}-{round}", disk.name());
            }
        }
        words
    }
}

fn digest<'a>(words: impl Iterator<Item = &'a String>) -> String {
    let mut digest = Sha256::new();
    for word in words {
        digest.update(word.as_bytes());
        digest.update([0]);
    }
    hex(&digest.finalize())
}

/// The managed disk that a target names, `azure:SUBSCRIPTION/GROUP/DISK`; `None` for other targets.
///
/// # Errors
/// If a part of it is none: no subscription has such an id, no disk such a name.
pub(crate) fn managed_disk(target: &str) -> Result<Option<DiskId>> {
    let disk = target.strip_prefix("azure:").filter(|disk| !disk.contains("://"));
    let disk = disk.map(str::parse::<DiskId>).transpose()?;
    match disk {
        Some(disk) if disk.is_snapshot() => Err(anyhow!("{target} is a snapshot, and is only read")),
        disk => Ok(disk),
    }
}

impl Fleet {
    pub(crate) fn new(list: &[u8], tasks: u32, requests_per_second: f64, machines: Vec<Machine>) -> Self {
        let list = hex(&Sha256::digest(list));
        let schema = SCHEMA.to_owned();
        let (earlier, sum) = (Vec::new(), String::new());
        Self { schema, list, earlier, sum, tasks, requests_per_second, machines }.summed()
    }

    fn summed(mut self) -> Self {
        // To six places: a number may be read as the one beside the one that was written.
        let rate = format!("{:.6}", self.requests_per_second);
        let all = (&self.schema, &self.list, &self.earlier, self.tasks, rate, &self.machines);
        // To write what has only texts, numbers and lists of them does not fail.
        self.sum = hex(&Sha256::digest(serde_json::to_vec(&all).unwrap_or_default()));
        self
    }

    /// In place of what this file has: of another version, or changed, it still tells its lists.
    pub(crate) fn instead_of(mut self, there: &[u8]) -> Self {
        let there: Value = serde_json::from_slice(there).unwrap_or_default();
        let lists = there.get("earlier").and_then(Value::as_array).into_iter().flatten();
        let lists = lists.chain(there.get("list")).filter_map(Value::as_str).map(str::to_owned);
        self.earlier = lists.filter(|list| *list != self.list).collect();
        self.summed()
    }

    /// Whether receipts of this list are for rows here.
    pub(crate) fn knows(&self, list: &str) -> bool {
        self.list == list || self.earlier.iter().any(|earlier| earlier == list)
    }

    /// The machine of this row.
    pub(crate) fn machine(&self, index: usize) -> Result<&Machine> {
        let none = || {
            let rows = match self.machines.len() {
                0 | 1 => "its one row is 0".to_owned(),
                several => format!("its rows are 0 to {}", several - 1),
            };
            let machines = counted(self.machines.len(), "machine");
            anyhow!("there is no row {index}: the list has {machines}, and {rows}")
        };
        self.machines
            .get(index)
            .ok_or_else(none)
            .help("give the number of a row; refloat fleet status --json tells them")
    }

    /// The fleet of a folder.
    pub(crate) fn read(store: &dyn Store) -> Result<Self> {
        let entry = store.read(NAME)?.ok_or_else(|| anyhow!("{store} has no {NAME}: it is no fleet"));
        let entry = entry.help("make one: refloat fleet plan LIST.csv -o DIR")?;
        let fleet: Self = serde_json::from_slice(&entry.bytes)
            .with_context(|| format!("{NAME} in {store} cannot be read"))
            .help(PLAN_AGAIN)?;
        let sum = fleet.sum.clone();
        let fleet = fleet.summed();
        if fleet.sum != sum {
            return Err(anyhow!("{NAME} in {store} is not what was planned: it was changed since"))
                .help(PLAN_AGAIN);
        }
        Ok(fleet)
    }

    pub(crate) fn write(&self, store: &dyn Store) -> Result<()> {
        store.write(NAME, &serde_json::to_vec_pretty(self)?)
    }

    /// The machines that have to be done before this one: those it names, and all of waves before its own.
    pub(crate) fn before(&self, machine: &Machine) -> impl Iterator<Item = (usize, &Machine)> {
        let named: HashSet<&str> = machine.after.iter().map(String::as_str).collect();
        let wave = machine.wave;
        let all = self.machines.iter().enumerate();
        all.filter(move |(_, other)| other.wave < wave || named.contains(other.id.as_str()))
    }

    /// Requests a second for each task where an engine runs them on several machines.
    pub(crate) fn share(&self) -> f64 {
        (self.requests_per_second / f64::from(self.tasks.max(1))).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_only_changes_is_told_by_its_words() {
        let disk = "azure:01234567-89ab-cdef-0123-456789abcdef/g/d";
        for (target, options, follows) in [
            ("/a/d.vhd", "", true),
            ("/a/d.vhd", "--format vhd", true),
            ("/a/d.vhd", "--format dynamic-vhd", false),
            ("/a/d", "--format raw", true),
            ("/a/d.raw", "", true),
            ("/a/d.qcow2", "", false),
            ("/a/d.vhdx", "", false),
            ("azure:https://a.blob.core.windows.net/c/d.vhd", "", true),
            (disk, "", false),
            (disk, "--via azure:https://a.blob.core.windows.net/c/d.vhd", false),
            (disk, "--via azure:https://a.blob.core.windows.net/c/d.vhd --keep-via", true),
        ] {
            let words =
                ["migrate", "ebs:i-1@eu-west-1", target].into_iter().chain(options.split_whitespace());
            let machine = Machine {
                id: "one".into(),
                wave: 0,
                after: Vec::new(),
                migrate: words.map(str::to_owned).collect(),
                emit: None,
                test: None,
                gib: None,
            };
            assert_eq!(machine.follows(), follows, "{target} {options}");
        }
    }
}
