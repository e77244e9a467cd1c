//! The devices of a file system, read by logical addresses.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use block::Disk;
use uuid::Uuid;
use vfs::{FsError, Result};

use crate::bytes::{index, wide, window};
use crate::chunk::{Chunk, Chunks};
use crate::content::Unpacked;
use crate::key::{CHUNKS, Key, kind, tree};
use crate::node::Node;
use crate::superblock::{PLACES, Superblock};
use crate::tree::Tree;

/// Bytes of tree blocks that are kept because they were read.
const CACHE: usize = 16 << 20;

/// An open file system, below its subvolumes.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) sb: Superblock,
    devices: BTreeMap<u64, Disk>,
    pub(crate) chunks: Chunks,
    pub(crate) root_tree: Tree,
    nodes: RefCell<HashMap<u64, Arc<Node>>>,
    /// The compressed extent that was read last.
    pub(crate) unpacked: RefCell<Option<Unpacked>>,
}

/// What the way to a tree block tells of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) logical: u64,
    pub(crate) level: u8,
    pub(crate) generation: u64,
    /// Its first key, unless it is a root.
    pub(crate) first: Option<Key>,
    /// All its keys are below this.
    pub(crate) below: Option<Key>,
}

impl Volume {
    /// Reads superblocks and chunks.
    pub(crate) fn open(disks: Vec<Disk>) -> Result<Self> {
        let mut devices = BTreeMap::new();
        let mut newest: Option<Superblock> = None;
        let mut uuids = Vec::new();
        for disk in disks {
            let sb = Superblock::read(&disk)?;
            if newest.as_ref().is_some_and(|newest| newest.uuid() != sb.uuid()) {
                return Err(FsError::Invalid("the devices are of different btrfs file systems".into()));
            }
            let (number, uuid) = sb.device();
            if devices.insert(number, disk).is_some() {
                return Err(sb.corrupt(format!("two devices with the number {number}")));
            }
            uuids.push((number, uuid));
            if newest.as_ref().is_none_or(|newest| newest.generation < sb.generation) {
                newest = Some(sb);
            }
        }
        let sb = newest.ok_or_else(|| FsError::Invalid("a btrfs file system without a device".into()))?;
        if sb.devices() > wide(devices.len()) {
            let what = format!("btrfs on {} devices, of which {} are here", sb.devices(), devices.len());
            return Err(FsError::unsupported(what));
        }
        let [primary, ..] = PLACES;
        let chunks = Chunks::of_array(sb.system_chunks()?, primary)?;
        let root_tree = Tree::new(tree::ROOT, sb.root());
        let (nodes, unpacked) = Default::default();
        let mut volume = Self { sb, devices, chunks, root_tree, nodes, unpacked };
        volume.chunks = volume.read_chunks()?;
        volume.check_devices(&uuids)?;
        Ok(volume)
    }

    fn read_chunks(&self) -> Result<Chunks> {
        let tree = Tree::new(tree::CHUNK, self.sb.chunk_root());
        let mut chunks = Chunks::default();
        let all = Key::new(CHUNKS, kind::CHUNK_ITEM, 0)..=Key::new(CHUNKS, kind::CHUNK_ITEM, u64::MAX);
        for item in self.items(&tree, all) {
            let item = item?;
            if !chunks.add(item.key, item.data(), item.place())?.is_empty() {
                return Err(item.corrupt("it is longer than its stripes"));
            }
        }
        Ok(chunks)
    }

    /// Every stripe must be on a device that is here.
    fn check_devices(&self, uuids: &[(u64, [u8; 16])]) -> Result<()> {
        for chunk in self.chunks.iter() {
            for stripe in chunk.stripes() {
                if !uuids.contains(&(stripe.device, stripe.uuid)) {
                    let uuid = Uuid::from_bytes(stripe.uuid);
                    let what = format!("btrfs whose device {} ({uuid}) is not here", stripe.device);
                    return Err(FsError::unsupported(what));
                }
                let size = self.devices.get(&stripe.device).map_or(0, Disk::size);
                if stripe.offset.saturating_add(chunk.stripe_length()) > size {
                    let what = format!("its stripe of device {} ends after the device", stripe.device);
                    return Err(FsError::corrupt(
                        format!("chunk {:#x}", chunk.range.start),
                        stripe.offset,
                        what,
                    ));
                }
            }
        }
        Ok(())
    }

    /// How many devices there are.
    pub(crate) fn device_count(&self) -> usize {
        self.devices.len()
    }

    /// The chunk that has these logical addresses.
    pub(crate) fn chunk(&self, range: &Range<u64>) -> Result<&Chunk> {
        let missing = || FsError::corrupt("logical addresses", range.start, "no chunk has them");
        self.chunks.with(range).ok_or_else(missing)
    }

    /// Fills `buf` with what copy `copy` of a chunk has from a logical address on; where on a device that
    /// begins.
    pub(crate) fn read_copy(&self, chunk: &Chunk, copy: u64, buf: &mut [u8], logical: u64) -> Result<u64> {
        let end = logical.saturating_add(wide(buf.len()));
        let mut at = logical;
        let mut place = None;
        while at < end {
            let run = chunk.run(copy, &(at..end)).filter(|run| !run.range.is_empty());
            let missing = || FsError::corrupt("logical addresses", at, format!("there is no copy {copy}"));
            let run = run.ok_or_else(missing)?;
            let device = self.devices.get(&run.device).ok_or_else(missing)?;
            let next = at.saturating_add(run.range.end.saturating_sub(run.range.start));
            device.read_at(window(buf, logical, &(at..next)), run.range.start)?;
            place = place.or(Some(run.range.start));
            at = next;
        }
        Ok(place.unwrap_or_default())
    }

    /// The tree block that is meant, from the first copy that is sound.
    pub(crate) fn node(&self, tree: &Tree, expected: &Expected) -> Result<Arc<Node>> {
        let logical = expected.logical;
        if let Some(node) = self.nodes.borrow().get(&logical)
            && tree.check(node, expected).is_ok()
        {
            return Ok(node.clone());
        }
        let size = self.sb.node_size;
        let chunk = self.chunk(&(logical..logical.saturating_add(size.into())))?;
        let mut first = None;
        for copy in 0..chunk.copies {
            let mut bytes = vec![0; index(size)];
            let node = self
                .read_copy(chunk, copy, &mut bytes, logical)
                .and_then(|place| Node::parse(bytes, logical, place, &self.sb))
                .and_then(|node| tree.check(&node, expected).map(|()| Arc::new(node)));
            match node {
                Ok(node) => {
                    let mut nodes = self.nodes.borrow_mut();
                    if nodes.len().saturating_mul(index(size)) >= CACHE {
                        nodes.clear();
                    }
                    nodes.insert(logical, node.clone());
                    return Ok(node);
                }
                Err(error) => {
                    tracing::warn!(copy, %error, "a tree block cannot be used");
                    first = first.or(Some(error));
                }
            }
        }
        Err(first.unwrap_or_else(|| FsError::corrupt("tree block", logical, "there is no copy of it")))
    }
}
