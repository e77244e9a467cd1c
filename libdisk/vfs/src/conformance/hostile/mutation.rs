//! Damage by a seed.

use super::Target;
use crate::conformance::Rng;

/// A few bytes that are not what they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// What they belong to.
    pub structure: &'static str,
    /// Where they are.
    pub at: usize,
    /// What they are now.
    pub bytes: Vec<u8>,
}

impl Mutation {
    /// The damage of a case; each structure of the target is the first one in its turn.
    pub(super) fn of_case(target: &Target, number: u64) -> Vec<Self> {
        let mut rng = Rng::new(number);
        let count = 1 + if rng.one_in(2) { 0 } else { rng.below(6) };
        let first = usize::try_from(number).unwrap_or(0) % target.structures.len();
        (0..count)
            .map(|turn| {
                let structure = if turn == 0 { first } else { rng.below(target.structures.len()) };
                let structure = &target.structures[structure];
                let at = structure.places[rng.below(structure.places.len())];
                let bytes = value(&target.bytes, at, &structure.places, &mut rng);
                Self { structure: structure.name, at, bytes }
            })
            .collect()
    }

    pub(super) fn apply(&self, bytes: &mut [u8]) {
        let len = self.bytes.len().min(bytes.len() - self.at);
        bytes[self.at..self.at + len].copy_from_slice(&self.bytes[..len]);
    }
}

/// What takes the place of the bytes at `at`.
fn value(bytes: &[u8], at: usize, places: &[usize], rng: &mut Rng) -> Vec<u8> {
    let width = [1, 1, 2, 4][rng.below(4)];
    match rng.below(6) {
        0 => vec![0; width],
        1 => vec![0xff; width],
        2 => vec![bytes[at] ^ (1 << rng.below(8))],
        // What stands elsewhere in the structure: another one's number, so that two share what one had, or a circle.
        3 => {
            let from = places[rng.below(places.len())];
            bytes[from..(from + width).min(bytes.len())].to_vec()
        }
        // A small number, which may well be a block, a cluster, an inode or a length.
        4 => (rng.below(300) as u32).to_le_bytes()[..width].to_vec(),
        _ => rng.bytes(width),
    }
}
