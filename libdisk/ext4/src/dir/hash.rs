//! Hashes of names ("ext4 disk layout: Hash Tree Directories", `s_def_hash_version`).

/// The TEA constant: 2^32 divided by the golden ratio.
const DELTA: u32 = 0x9e37_79b9;
/// The constants of the second and third round of MD4 (RFC 1320).
const MD4_ROUND2: u32 = 0x5a82_7999;
const MD4_ROUND3: u32 = 0x6ed9_eba1;
/// The initial state of MD4 (RFC 1320), used where the superblock has no seed.
const MD4_START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// The largest hash marks the end of a directory in NFS cookies, so no name has it.
const END_OF_DIRECTORY: u32 = 0xffff_fffe;

/// The hash of `name`; `None` for a version we do not know. Versions 0 to 2 take characters as signed, 3 to 5
/// are the same as unsigned.
pub(crate) fn hash(name: &[u8], version: u8, seed: [u32; 4]) -> Option<u32> {
    let unsigned = version >= 3;
    let start = if seed == [0; 4] { MD4_START } else { seed };
    let hash = match version {
        0 | 3 => legacy(name, unsigned),
        1 | 4 => chunks::<8>(name, unsigned).fold(start, half_md4)[1],
        2 | 5 => chunks::<4>(name, unsigned).fold(start, tea)[0],
        _ => return None,
    } & !1;
    Some(if hash == END_OF_DIRECTORY { END_OF_DIRECTORY.wrapping_sub(2) } else { hash })
}

/// A character, sign-extended or not.
fn widen(byte: u8, unsigned: bool) -> u32 {
    if unsigned { byte.into() } else { i32::from(byte.cast_signed()).cast_unsigned() }
}

fn legacy(name: &[u8], unsigned: bool) -> u32 {
    let (mut hash, mut before) = (0x12a3_fe2d_u32, 0x37ab_e8f9_u32);
    for &byte in name {
        let next = before.wrapping_add(hash ^ widen(byte, unsigned).wrapping_mul(7_152_373));
        before = hash;
        hash = if next >> 31 == 1 { next.wrapping_sub(0x7fff_ffff) } else { next };
    }
    hash << 1
}

/// The name in chunks of `N` words, big-endian, filled up with its length.
fn chunks<const N: usize>(name: &[u8], unsigned: bool) -> impl Iterator<Item = [u32; N]> {
    let mut rest = name;
    let mut first = true;
    std::iter::from_fn(move || {
        // An empty name, which no directory has, would still be hashed once.
        if rest.is_empty() && !std::mem::take(&mut first) {
            return None;
        }
        first = false;
        let pad = u32::try_from(rest.len()).unwrap_or(u32::MAX).wrapping_mul(0x0101_0101);
        let (chunk, after) = rest.split_at((N << 2).min(rest.len()));
        rest = after;
        let mut words = [pad; N];
        for (word, bytes) in words.iter_mut().zip(chunk.chunks(4)) {
            *word = bytes.iter().fold(pad, |word, &byte| widen(byte, unsigned).wrapping_add(word << 8));
        }
        Some(words)
    })
}

/// Three rounds of MD4's step over eight words.
fn half_md4(state: [u32; 4], words: [u32; 8]) -> [u32; 4] {
    let choose = |x: u32, y: u32, z: u32| z ^ x & (y ^ z);
    let majority = |x: u32, y: u32, z: u32| (x & y).wrapping_add((x ^ y) & z);
    let parity = |x: u32, y: u32, z: u32| x ^ y ^ z;
    let [w0, w1, w2, w3, w4, w5, w6, w7] = words;

    let [mut a, mut b, mut c, mut d] = state;
    let mut round =
        |function: &dyn Fn(u32, u32, u32) -> u32, constant: u32, order: [u32; 8], shifts: [u32; 4]| {
            for (word, shift) in order.into_iter().zip(shifts.into_iter().cycle()) {
                let sum = a.wrapping_add(function(b, c, d)).wrapping_add(word).wrapping_add(constant);
                (a, b, c, d) = (d, sum.rotate_left(shift), b, c);
            }
        };
    round(&choose, 0, words, [3, 7, 11, 19]);
    round(&majority, MD4_ROUND2, [w1, w3, w5, w7, w0, w2, w4, w6], [3, 5, 9, 13]);
    round(&parity, MD4_ROUND3, [w3, w7, w2, w6, w1, w5, w0, w4], [3, 9, 11, 15]);

    let [s0, s1, s2, s3] = state;
    [s0.wrapping_add(a), s1.wrapping_add(b), s2.wrapping_add(c), s3.wrapping_add(d)]
}

/// Sixteen cycles of the Tiny Encryption Algorithm; half the state is not touched.
fn tea(state: [u32; 4], key: [u32; 4]) -> [u32; 4] {
    let [s0, s1, s2, s3] = state;
    let [k0, k1, k2, k3] = key;
    let (mut x, mut y, mut sum) = (s0, s1, 0_u32);
    for _ in 0..16 {
        sum = sum.wrapping_add(DELTA);
        x = x.wrapping_add((y << 4).wrapping_add(k0) ^ y.wrapping_add(sum) ^ (y >> 5).wrapping_add(k1));
        y = y.wrapping_add((x << 4).wrapping_add(k2) ^ x.wrapping_add(sum) ^ (x >> 5).wrapping_add(k3));
    }
    [s0.wrapping_add(x), s1.wrapping_add(y), s2, s3]
}
