//! Runs: where the clusters of a stream are (linux-ntfs documentation, "Data runs").

use vfs::{FsError, Result};

/// Clusters that lie side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first of them in the stream.
    pub(crate) vcn: u64,
    /// The first of them on the volume; `None` for a hole.
    pub(crate) lcn: Option<u64>,
    pub(crate) len: u64,
}

impl Run {
    pub(crate) fn end(&self) -> u64 {
        self.vcn.saturating_add(self.len)
    }
}

/// A little-endian number of up to eight bytes, with its sign.
fn signed(bytes: &[u8]) -> i64 {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = if negative { [0xff; 8] } else { [0; 8] };
    wide.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    i64::from_le_bytes(wide)
}

/// The runs of a part of a stream that begins at cluster `vcn` of it, on a volume of so many clusters.
pub(crate) fn decode(mut bytes: &[u8], mut vcn: u64, clusters: u64, place: u64) -> Result<Vec<Run>> {
    let corrupt = |why: &str| FsError::corrupt("data runs", place, why.to_owned());
    let mut runs = Vec::new();
    let mut lcn: i64 = 0;
    while let Some((head, rest)) = bytes.split_first().filter(|(head, _)| **head != 0) {
        let (lengths, offsets) = (usize::from(head & 0xf), usize::from(head >> 4));
        if lengths == 0 || lengths > 8 || offsets > 8 {
            return Err(corrupt("a run's head is none"));
        }
        let cut = || corrupt("they are cut off");
        let (length, rest) = rest.split_at_checked(lengths).ok_or_else(cut)?;
        let (offset, rest) = rest.split_at_checked(offsets).ok_or_else(cut)?;
        let len = u64::try_from(signed(length)).ok().filter(|len| *len > 0);
        let len = len.ok_or_else(|| corrupt("a run has no clusters"))?;
        let place = if offsets == 0 {
            None
        } else {
            lcn = lcn.checked_add(signed(offset)).ok_or_else(|| corrupt("a run lies outside the volume"))?;
            let start = u64::try_from(lcn).ok();
            let start = start.filter(|start| start.checked_add(len).is_some_and(|end| end <= clusters));
            Some(start.ok_or_else(|| corrupt("a run lies outside the volume"))?)
        };
        runs.push(Run { vcn, lcn: place, len });
        let end = vcn.checked_add(len).filter(|end| i64::try_from(*end).is_ok());
        vcn = end.ok_or_else(|| corrupt("the stream has no end"))?;
        bytes = rest;
    }
    Ok(runs)
}

/// The bytes of a number without those that its sign says.
fn short(number: i64) -> Vec<u8> {
    let bytes = number.to_le_bytes();
    let lengths = 1..bytes.len();
    let same = |len: &usize| bytes.get(..*len).is_some_and(|front| signed(front) == number);
    bytes.get(..lengths.into_iter().find(same).unwrap_or(bytes.len())).unwrap_or_default().to_vec()
}

/// Runs as bytes, with the zero that ends them.
///
/// # Errors
/// `Invalid` for a run that lies beyond what the format can say.
pub(crate) fn encode(runs: &[Run]) -> Result<Vec<u8>> {
    let beyond = |_| FsError::Invalid("a run of clusters lies too far".into());
    let mut bytes = Vec::new();
    let mut before: i64 = 0;
    for run in runs {
        let len = short(i64::try_from(run.len).map_err(beyond)?);
        let place = match run.lcn {
            None => Vec::new(),
            Some(lcn) => {
                let lcn = i64::try_from(lcn).map_err(beyond)?;
                let offset = short(lcn.saturating_sub(before));
                before = lcn;
                offset
            }
        };
        let sizes = place.len().wrapping_shl(4) | len.len();
        bytes.push(u8::try_from(sizes).map_err(beyond)?);
        bytes.extend(len);
        bytes.extend(place);
    }
    bytes.push(0);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_places_relative_to_the_one_before() {
        let bytes = [0x21, 0x18, 0x34, 0x56, 0x11, 0x04, 0xf0, 0x01, 0x10, 0];
        let runs = decode(&bytes, 5, 1 << 20, 0).unwrap();
        let run = |vcn, lcn, len| Run { vcn, lcn, len };
        assert_eq!(runs, [run(5, Some(0x5634), 0x18), run(29, Some(0x5624), 4), run(33, None, 16)]);
        assert_eq!(encode(&runs).unwrap(), bytes);
        // A length with its highest bit set takes one byte more, lest it be negative.
        assert_eq!(encode(&[run(0, Some(0x80), 0x80)]).unwrap(), [0x22, 0x80, 0, 0x80, 0, 0]);
        for bad in [&[0x20, 1, 1][..], &[0x11, 1], &[0x11, 0, 1], &[0x11, 1, 0xff], &[0x91, 1]] {
            assert!(decode(bad, 0, 1 << 20, 0).is_err(), "{bad:?}");
        }
        assert!(decode(&[0x21, 0x18, 0x34, 0x56], 0, 0x5640, 0).is_err());
    }
}
