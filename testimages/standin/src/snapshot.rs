//! A snapshot: its blocks, and what EC2 tells of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// The bytes of a block, of every snapshot.
pub const BLOCK_SIZE: usize = 512 << 10;

const BLOCKS_PER_GIB: u64 = (1 << 30) / BLOCK_SIZE as u64;

/// The start time of a snapshot of which none is given: 2026-11-01T00:00:00Z.
const STARTED: Duration = Duration::from_secs(1_793_491_200);

/// How many different blocks of data a synthetic snapshot has.
const POOL: u64 = 64;

pub(crate) type Checksum = [u8; 32];

/// A snapshot to serve.
///
/// A block is listed when it is not all zero, as if the guest had written its data and nothing else; see
/// [`Snapshot::written`] for listed blocks of zeros. A clone shares the image: a thousand of them cost little.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) id: String,
    pub(crate) volume: String,
    pub(crate) gib: u64,
    pub(crate) state: State,
    pub(crate) started: SystemTime,
    pub(crate) description: String,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) key: Option<Key>,
    content: Content,
    /// The SHA-256 of each block of the content, once it was needed.
    checksums: Arc<[OnceLock<Checksum>]>,
    rewritten: BTreeSet<u64>,
}

#[derive(Debug, Clone)]
enum Content {
    Bytes { bytes: Bytes, listed: BTreeSet<u64> },
    File { file: Arc<File>, len: u64, listed: BTreeSet<u64> },
    Synthetic { shape: Synthetic, pool: Vec<Bytes> },
}

/// A volume of random data for measurements: every block is one of 64, so that serving it costs neither
/// reading nor hashing.
#[derive(Debug, Clone, Copy)]
pub struct Synthetic {
    /// The volume's size in GiB.
    pub gib: u64,
    /// How many blocks of 100 are listed.
    pub listed: u8,
    /// How many of 100 listed blocks are all zero.
    pub zero: u8,
    /// Which blocks those are.
    pub seed: u64,
}

/// The state of a snapshot as DescribeSnapshots tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Being made: its blocks cannot be read yet.
    Pending,
    /// Its blocks can be read.
    Completed,
    /// It failed.
    Error,
    /// In the archive tier: its blocks cannot be read until it is restored.
    Archived,
}

impl State {
    /// As EC2 writes it. An archived snapshot is a completed one of the archive tier.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Error => "error",
            Self::Archived => "archived",
        }
    }
}

/// The KMS key of an encrypted snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) arn: String,
    pub(crate) usable: bool,
}

impl Snapshot {
    /// The raw disk image `bytes` as snapshot `id` (`snap-` and hexadecimal digits).
    pub fn from_bytes(id: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let zero = |block: &[u8]| block.iter().all(|byte| *byte == 0);
        let listed =
            (0..).zip(bytes.chunks(BLOCK_SIZE)).filter(|(_, block)| !zero(block)).map(|(at, _)| at).collect();
        let len = bytes.len() as u64;
        Self::new(
            id,
            len.div_ceil(1 << 30),
            len.div_ceil(BLOCK_SIZE as u64),
            Content::Bytes { bytes, listed },
        )
    }

    /// The raw disk image at `path` as snapshot `id`. Its data (not its holes) is read once, to see which
    /// blocks are all zero.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn from_file(id: &str, path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let listed = blocks_of_data(&file, len)?;
        let blocks = len.div_ceil(BLOCK_SIZE as u64);
        Ok(Self::new(id, len.div_ceil(1 << 30), blocks, Content::File { file: Arc::new(file), len, listed }))
    }

    /// A volume of made-up data as snapshot `id`.
    pub fn synthetic(id: &str, shape: Synthetic) -> Self {
        let mut random = fastrand::Rng::with_seed(shape.seed);
        let mut block = || {
            let mut block = vec![0; BLOCK_SIZE];
            random.fill(&mut block);
            Bytes::from(block)
        };
        // The first is the block of zeros.
        let pool: Vec<_> =
            std::iter::once(Bytes::from_static(&ZEROS)).chain((0..POOL).map(|_| block())).collect();
        let snapshot = Self::new(id, shape.gib, pool.len() as u64, Content::Synthetic { shape, pool });
        for (at, block) in (0..).zip(snapshot.pool()) {
            snapshot.checksum_of(at, block);
        }
        snapshot
    }

    fn new(id: &str, gib: u64, blocks: u64, content: Content) -> Self {
        Self {
            id: id.to_owned(),
            volume: id.replacen("snap-", "vol-", 1),
            gib: gib.max(1),
            state: State::Completed,
            started: SystemTime::UNIX_EPOCH + STARTED,
            description: String::new(),
            tags: Vec::new(),
            key: None,
            content,
            checksums: (0..blocks).map(|_| OnceLock::new()).collect(),
            rewritten: BTreeSet::new(),
        }
    }

    /// The volume it was taken of (`vol-…`). Blocks changed between two snapshots are told only for the same
    /// volume. By default every snapshot has a volume of its own, with its own digits.
    #[must_use]
    pub fn of_volume(mut self, volume: &str) -> Self {
        volume.clone_into(&mut self.volume);
        self
    }

    /// The same blocks as snapshot `id` of another volume.
    #[must_use]
    pub fn named(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self.volume = id.replacen("snap-", "vol-", 1);
        self
    }

    /// A volume of `gib` GiB, rather than of the image's size rounded up. It is never made smaller than the
    /// image.
    #[must_use]
    pub fn gib(mut self, gib: u64) -> Self {
        self.gib = self.gib.max(gib);
        self
    }

    /// Lists `blocks` even where they are all zero, or past the end of the image (but in the volume): the
    /// guest wrote zeros there. Nothing for a synthetic snapshot.
    #[must_use]
    pub fn written(mut self, blocks: impl IntoIterator<Item = u64>) -> Self {
        if let Content::Bytes { listed, .. } | Content::File { listed, .. } = &mut self.content {
            listed.extend(blocks);
        }
        self
    }

    /// Names `blocks` among the changed ones even where they are the same as in the snapshot before: the
    /// guest wrote what was there already.
    #[must_use]
    pub fn rewritten(mut self, blocks: impl IntoIterator<Item = u64>) -> Self {
        self.rewritten.extend(blocks);
        self
    }

    /// In `state`, rather than completed.
    #[must_use]
    pub fn state(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    /// Started at `time`.
    #[must_use]
    pub fn started(mut self, time: SystemTime) -> Self {
        self.started = time;
        self
    }

    /// With a description. CreateSnapshots gives all snapshots of a set the same one.
    #[must_use]
    pub fn description(mut self, text: &str) -> Self {
        text.clone_into(&mut self.description);
        self
    }

    /// With one more tag.
    #[must_use]
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Encrypted with the KMS key `arn`; if it is not `usable`, every read of a block is refused as KMS
    /// refuses it.
    #[must_use]
    pub fn encrypted(mut self, arn: &str, usable: bool) -> Self {
        self.key = Some(Key { arn: arn.to_owned(), usable });
        self
    }

    /// Block `index` of the volume as the service answers it; `None` if it is not listed.
    ///
    /// # Errors
    /// When the image file cannot be read.
    pub fn block(&self, index: u64) -> io::Result<Option<Bytes>> {
        if !self.lists(index) {
            return Ok(None);
        }
        let start = index * BLOCK_SIZE as u64;
        let data = match &self.content {
            Content::Bytes { bytes, .. } => {
                let len = bytes.len() as u64;
                let range = start.min(len) as usize..(start + BLOCK_SIZE as u64).min(len) as usize;
                padded(bytes.slice(range))
            }
            Content::File { file, len, .. } => {
                let mut block = vec![0; BLOCK_SIZE];
                let inside = len.saturating_sub(start).min(BLOCK_SIZE as u64) as usize;
                file.read_exact_at(&mut block[..inside], start)?;
                block.into()
            }
            Content::Synthetic { shape, pool } => pool[shape.block(index) as usize].clone(),
        };
        Ok(Some(data))
    }

    /// The SHA-256 of block `index`, whose bytes are `data`.
    pub(crate) fn checksum(&self, index: u64, data: &[u8]) -> Checksum {
        match &self.content {
            Content::Synthetic { shape, .. } => self.checksum_of(shape.block(index), data),
            _ => self.checksum_of(index, data),
        }
    }

    fn checksum_of(&self, block: u64, data: &[u8]) -> Checksum {
        let hash = || Sha256::digest(data).into();
        // Blocks past the end of the image have no place of their own; they are rare.
        self.checksums.get(block as usize).map_or_else(hash, |kept| *kept.get_or_init(hash))
    }

    /// The blocks of a synthetic snapshot.
    fn pool(&self) -> &[Bytes] {
        if let Content::Synthetic { pool, .. } = &self.content { pool } else { &[] }
    }

    /// The indexes of the blocks listed, ascending, from `start` on.
    pub fn listed(&self, start: u64) -> Box<dyn Iterator<Item = u64> + Send + '_> {
        let end = self.blocks().max(start);
        match &self.content {
            Content::Bytes { listed, .. } | Content::File { listed, .. } => {
                Box::new(listed.range(start..end).copied())
            }
            Content::Synthetic { shape, .. } => Box::new((start..end).filter(|index| shape.lists(*index))),
        }
    }

    pub(crate) fn lists(&self, index: u64) -> bool {
        let listed = match &self.content {
            Content::Bytes { listed, .. } | Content::File { listed, .. } => listed.contains(&index),
            Content::Synthetic { shape, .. } => shape.lists(index),
        };
        listed && index < self.blocks()
    }

    /// The blocks of the volume.
    fn blocks(&self) -> u64 {
        self.gib * BLOCKS_PER_GIB
    }

    /// Whether block `index`, listed here or in `first`, is told as changed since `first`.
    pub(crate) fn changed_since(&self, first: &Self, index: u64) -> io::Result<bool> {
        if self.rewritten.contains(&index) {
            return Ok(true);
        }
        let checksum = |snapshot: &Self| {
            let block = snapshot.block(index)?;
            io::Result::Ok(block.map(|block| snapshot.checksum(index, &block)))
        };
        Ok(checksum(self)? != checksum(first)?)
    }
}

impl Synthetic {
    fn lists(&self, index: u64) -> bool {
        self.dice(index, 0) % 100 < u64::from(self.listed)
    }

    /// Which block of the pool stands at `index`.
    fn block(&self, index: u64) -> u64 {
        if self.dice(index, 1) % 100 < u64::from(self.zero) { 0 } else { 1 + self.dice(index, 2) % POOL }
    }

    fn dice(&self, index: u64, throw: u64) -> u64 {
        mix(self.seed ^ mix(index.wrapping_mul(3).wrapping_add(throw)))
    }
}

static ZEROS: [u8; BLOCK_SIZE] = [0; BLOCK_SIZE];

/// A hash of a number: the finaliser of splitmix64.
pub(crate) fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn padded(data: Bytes) -> Bytes {
    if data.len() == BLOCK_SIZE {
        return data;
    }
    let mut block = data.to_vec();
    block.resize(BLOCK_SIZE, 0);
    block.into()
}

/// The blocks of `file` that are not all zero.
fn blocks_of_data(file: &File, len: u64) -> io::Result<BTreeSet<u64>> {
    use rustix::fs::{SeekFrom, seek};
    let mut blocks = BTreeSet::new();
    let mut buffer = vec![0; BLOCK_SIZE];
    let mut at = 0;
    while at < len {
        at = match seek(file, SeekFrom::Data(at)) {
            Ok(data) => data / BLOCK_SIZE as u64 * BLOCK_SIZE as u64,
            Err(rustix::io::Errno::NXIO) => break,
            // A file system that cannot tell holes.
            Err(_) => at,
        };
        let block = &mut buffer[..(len - at).min(BLOCK_SIZE as u64) as usize];
        file.read_exact_at(block, at)?;
        if block.iter().any(|byte| *byte != 0) {
            blocks.insert(at / BLOCK_SIZE as u64);
        }
        at += BLOCK_SIZE as u64;
    }
    Ok(blocks)
}

/// The numbers in either of two ascending lists, ascending.
pub(crate) fn either(
    first: impl Iterator<Item = u64>,
    second: impl Iterator<Item = u64>,
) -> impl Iterator<Item = u64> {
    let (mut first, mut second) = (first.peekable(), second.peekable());
    std::iter::from_fn(move || {
        let least = first.peek().into_iter().chain(second.peek()).min().copied()?;
        first.next_if_eq(&least);
        second.next_if_eq(&least);
        Some(least)
    })
}
