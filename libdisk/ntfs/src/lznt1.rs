//! LZNT1, the compression of files: chunks of up to 4096 bytes, each with a head of two (MS-XCA, 2.5).

/// Bytes that a chunk gives.
const CHUNK: usize = 4096;

/// Unpacks chunks up to `len` bytes; what they lack is zero. `None` if they are damaged.
pub(crate) fn unpack(mut packed: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while out.len() < len {
        let Some((head, rest)) = packed.split_first_chunk::<2>() else { break };
        let head = u16::from_le_bytes(*head);
        if head == 0 {
            break;
        }
        let size = usize::from(head & 0xfff).checked_add(1)?;
        let (chunk, behind) = rest.split_at_checked(size)?;
        let start = out.len();
        if head & 0x8000 == 0 {
            out.extend_from_slice(chunk);
        } else {
            unpack_chunk(chunk, &mut out, start)?;
        }
        // A chunk that is not the last gives all of its bytes.
        out.resize(start.checked_add(CHUNK)?, 0);
        packed = behind;
    }
    out.resize(len, 0);
    Some(out)
}

fn unpack_chunk(mut chunk: &[u8], out: &mut Vec<u8>, start: usize) -> Option<()> {
    while let Some((flags, rest)) = chunk.split_first() {
        chunk = rest;
        for bit in 0..8 {
            if chunk.is_empty() {
                return Some(());
            }
            if flags >> bit & 1 == 0 {
                let (byte, rest) = chunk.split_first()?;
                out.push(*byte);
                chunk = rest;
            } else {
                let (token, rest) = chunk.split_first_chunk::<2>()?;
                chunk = rest;
                let token = usize::from(u16::from_le_bytes(*token));
                // The further in the chunk, the more bits the distance has.
                let done = out.len().checked_sub(start)?.checked_sub(1)?;
                let bits = (done >> 4).checked_ilog2().map_or(0, |log| log.saturating_add(1)).min(8);
                let lengths = 12_u32.checked_sub(bits)?;
                let distance = (token >> lengths).checked_add(1)?;
                let length = (token & (1_usize.checked_shl(lengths)?.checked_sub(1)?)).checked_add(3)?;
                let mut from = out.len().checked_sub(distance).filter(|from| *from >= start)?;
                for _ in 0..length {
                    let byte = *out.get(from)?;
                    out.push(byte);
                    from = from.checked_add(1)?;
                }
            }
            if out.len().checked_sub(start)? > CHUNK {
                return None;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_unpacks() {
        // MS-XCA, 3.2 "LZNT1 example".
        let packed = [
            0x38, 0xb0, 0x88, 0x46, 0x23, 0x20, 0x00, 0x20, 0x47, 0x20, 0x41, 0x00, 0x10, 0xa2, 0x47, 0x01,
            0xa0, 0x45, 0x20, 0x44, 0x00, 0x08, 0x45, 0x01, 0x50, 0x79, 0x00, 0xc0, 0x45, 0x20, 0x05, 0x24,
            0x13, 0x88, 0x05, 0xb4, 0x02, 0x4a, 0x44, 0xef, 0x03, 0x58, 0x02, 0x8c, 0x09, 0x16, 0x01, 0x48,
            0x45, 0x00, 0xbe, 0x00, 0x9e, 0x00, 0x04, 0x01, 0x18, 0x90, 0x00,
        ];
        let text = "F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E F# G F# D E \
                    F# G F# E D E A F# F# G A A G F# E D D E F# E D D";
        let mut wanted = text.as_bytes().to_vec();
        wanted.push(0);
        assert_eq!(unpack(&packed, wanted.len()).unwrap(), wanted);
        assert_eq!(unpack(&[0x02, 0x30, 1, 2, 3], 5).unwrap(), [1, 2, 3, 0, 0]);
        // A distance to before the chunk, and a chunk that is cut off.
        assert!(unpack(&[0x02, 0xb0, 0x01, 0x00, 0x00], 5).is_none());
        assert!(unpack(&[0x08, 0xb0, 0x00], 5).is_none());
    }
}
