//! Damage by a seed, to every structure of a volume alike.

use super::Rng;

/// A sound volume to be damaged.
#[derive(Debug, Clone)]
pub struct Target {
    /// The whole volume.
    pub bytes: Vec<u8>,
    /// All that a driver parses of it.
    pub structures: Vec<Structure>,
}

/// One kind of structure, and the offsets of the bytes that it consists of.
#[derive(Debug, Clone)]
pub struct Structure {
    /// The format's own name: "group descriptor", "extent tree".
    pub name: &'static str,
    /// Where its bytes are.
    pub places: Vec<usize>,
}

impl Structure {
    /// A structure that fills these blocks of `size` bytes: the bytes that say something, and a few zeros.
    pub fn of_blocks(
        name: &'static str,
        bytes: &[u8],
        size: usize,
        blocks: impl IntoIterator<Item = usize>,
    ) -> Self {
        let says = |at: &usize| bytes.get(*at).is_some_and(|&byte| byte != 0 || at.is_multiple_of(16));
        let places = blocks.into_iter().flat_map(|block| block * size..(block + 1) * size).filter(says);
        Self { name, places: places.collect() }
    }
}

impl Target {
    /// Damages a copy in one to six places. The first structure is drawn from all with equal chances, however
    /// small it is.
    ///
    /// # Panics
    /// If the target has no structures, or one of them has no bytes.
    pub fn damaged(&self, rng: &mut Rng) -> (Vec<u8>, Damage) {
        let mut bytes = self.bytes.clone();
        let mut damage = Damage(Vec::new());
        for _ in 0..=if rng.one_in(2) { 0 } else { rng.below(6) } {
            let structure = &self.structures[rng.below(self.structures.len())];
            let at = structure.places[rng.below(structure.places.len())];
            let mut value = value(&bytes, at, &structure.places, rng);
            value.truncate(bytes.len() - at);
            bytes[at..at + value.len()].copy_from_slice(&value);
            damage.0.push((structure.name, at, value));
        }
        (bytes, damage)
    }
}

/// What takes the place of the bytes at `at`.
fn value(bytes: &[u8], at: usize, places: &[usize], rng: &mut Rng) -> Vec<u8> {
    let width = [1, 1, 2, 4][rng.below(4)];
    match rng.below(6) {
        0 => vec![0; width],
        1 => vec![0xff; width],
        2 => vec![bytes[at] ^ (1 << rng.below(8))],
        // What stands elsewhere in the structure: another one's number, so that two share what one had, or a
        // circle.
        3 => {
            let from = places[rng.below(places.len())];
            bytes[from..(from + width).min(bytes.len())].to_vec()
        }
        // A small number, which may well be a block, a cluster, an inode or a length.
        4 => rng.below(300).to_le_bytes()[..width].to_vec(),
        _ => rng.bytes(width),
    }
}

/// What was done to a volume: structures, offsets and new bytes. Told when something panics while it lives.
#[derive(Debug)]
pub struct Damage(Vec<(&'static str, usize, Vec<u8>)>);

impl Drop for Damage {
    #[expect(clippy::print_stderr, reason = "this library is a test suite, and the panic is under way")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the damage was {:x?}", self.0);
        }
    }
}
