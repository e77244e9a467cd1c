//! Marvin32, the sum in the entries of new logs, with the seed that they use.

/// The seed (regf specification, "Log entries").
const SEED: [u32; 2] = [0x7A4E_55C5, 0x82EF_4D88];

fn mix([mut low, mut high]: [u32; 2], word: u32) -> [u32; 2] {
    low = low.wrapping_add(word);
    high ^= low;
    low = low.rotate_left(20).wrapping_add(high);
    high = high.rotate_left(9) ^ low;
    low = low.rotate_left(27).wrapping_add(high);
    [low, high.rotate_left(19)]
}

/// The sum of some bytes.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let state = words.iter().fold(SEED, |state, word| mix(state, u32::from_le_bytes(*word)));
    // The bytes that are left, with a mark behind them.
    let mut last = [0; 4];
    let marked = rest.iter().copied().chain([0x80]);
    last.iter_mut().zip(marked).for_each(|(to, from)| *to = from);
    let [low, high] = mix(mix(state, u32::from_le_bytes(last)), 0);
    u64::from(high) << 32 | u64::from(low)
}
