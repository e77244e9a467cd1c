//! Recorded hives, which are beside the checkout.

use std::io::Read;

use testimages::judge;

/// A file of them; `None`, after a visible skip, where they are not.
pub(crate) fn recorded(name: &str) -> Option<Vec<u8>> {
    let folder = if name.contains("BCD") && !name.starts_with("regipy") { "bcd" } else { "hives" };
    let path = judge::shared()?.join(format!("testdata/{folder}/{name}.xz"));
    let packed = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    lzma_rust2::XzReader::new(&*packed, true).read_to_end(&mut bytes).unwrap();
    Some(bytes)
}
