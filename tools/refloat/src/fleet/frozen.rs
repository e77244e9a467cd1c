//! The frozen list: `fleet.json`. The number of a row is its index in every engine, so rows are never sorted.

use std::collections::HashSet;

use anyhow::{Context as _, Result, anyhow};
use guestfix::edit::hex;
use libdisk::cloud::azure::DiskId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::store::Store;
use crate::answer::Help;

/// The file's name in its folder.
pub(crate) const NAME: &str = "fleet.json";
const SCHEMA: &str = "refloat.fleet/1";

/// All machines, and how they are moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fleet {
    schema: String,
    /// SHA-256 of the list it was made of, in hexadecimal.
    pub(crate) list: String,
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

    /// The same of its test.
    pub(crate) fn test_digest(&self) -> String {
        digest(self.test.iter().flatten())
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
        Self { schema: SCHEMA.to_owned(), list, tasks, requests_per_second, machines }
    }

    /// The fleet of a folder.
    pub(crate) fn read(store: &dyn Store) -> Result<Self> {
        let entry = store.read(NAME)?.ok_or_else(|| anyhow!("{store} has no {NAME}: it is no fleet"));
        let entry = entry.help("make one: refloat fleet plan LIST.csv -o DIR")?;
        let fleet: Self = serde_json::from_slice(&entry.bytes)
            .with_context(|| format!("{NAME} in {store} cannot be read"))
            .help("it was changed, or made by another version: plan it again with --force")?;
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
