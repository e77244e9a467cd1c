//! How a snapshot, or a machine's snapshots, are named.

use std::fmt;
use std::str::FromStr;

/// `snap-0123456789abcdef0@eu-west-1`; several, `snap-…,snap-…@eu-west-1`, the disk with the operating system
/// first; or `i-…@eu-west-1`, the newest snapshots of all volumes of an instance. Without a region the
/// environment's is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// What is meant.
    pub name: Name,
    /// The region.
    pub region: Option<String>,
}

/// What an address names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Name {
    /// Snapshots by their ids, at least one.
    Snapshots(Vec<String>),
    /// An instance by its id.
    Instance(String),
}

/// Why something is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no snapshot: it looks like snap-0123456789abcdef0@eu-west-1, or i-0123456789abcdef0@eu-west-1 for an instance's"
)]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError(text.to_owned());
        let (name, region) = match text.split_once('@') {
            Some((name, region)) => (name, Some(region)),
            None => (text, None),
        };
        // They become parts of URLs and of file names.
        let is_plain = |text: &str| {
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let is = |text: &str, prefix: &str| text.strip_prefix(prefix).is_some_and(is_plain);
        if !region.is_none_or(is_plain) {
            return Err(wrong());
        }
        let region = region.map(str::to_owned);
        if is(name, "i-") {
            return Ok(Self { name: Name::Instance(name.to_owned()), region });
        }
        let ids: Vec<_> = name.split(',').map(str::to_owned).collect();
        let all = ids.iter().all(|id| is(id, "snap-"));
        if all { Ok(Self { name: Name::Snapshots(ids), region }) } else { Err(wrong()) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshots(ids) => f.write_str(&ids.join(",")),
            Self::Instance(id) => f.write_str(id),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        match &self.region {
            Some(region) => write!(f, "@{region}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_read_and_written_back() {
        let snapshots = |ids: &[&str]| Name::Snapshots(ids.iter().map(|id| (*id).to_owned()).collect());
        let cases = [
            ("snap-0abc@eu-west-1", snapshots(&["snap-0abc"]), Some("eu-west-1")),
            ("snap-1,snap-2@us-gov-east-1", snapshots(&["snap-1", "snap-2"]), Some("us-gov-east-1")),
            ("snap-1", snapshots(&["snap-1"]), None),
            ("i-0abc@eu-west-1", Name::Instance("i-0abc".into()), Some("eu-west-1")),
        ];
        for (text, name, region) in cases {
            let address = Address { name, region: region.map(str::to_owned) };
            assert_eq!(text.parse(), Ok(address.clone()), "{text}");
            assert_eq!(address.to_string(), text);
        }
        for wrong in [
            "",
            "snap-",
            "vol-1",
            "snap-1/../x",
            "snap-1@",
            "snap-1@a/b",
            "snap-1@a@b",
            "snap-1,",
            "i-1,snap-1",
        ] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
