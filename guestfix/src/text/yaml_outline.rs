//! The outline of a YAML file in block style: which key stands at which path, on which line.
//!
//! This is for finding things, not for understanding YAML: mappings in flow style (`{a: b}`) are a value,
//! anchors and block scalars are not known. It is never used to write YAML.

use super::lines;

/// A key with what stands behind it on its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node<'a> {
    /// From 1.
    pub line: usize,
    /// The keys from the outermost inwards, this one last.
    pub path: Vec<&'a str>,
    /// The value on the same line without quotes and comment; empty where it goes on below.
    pub value: &'a str,
}

/// All keys in the order of the file.
pub fn outline(text: &str) -> Vec<Node<'_>> {
    let mut out = Vec::new();
    let mut open: Vec<(usize, &str)> = Vec::new();
    for line in lines(text) {
        let rest = line.body.trim_start_matches([' ', '-']);
        let indent = line.body.len() - rest.len();
        if rest.starts_with('#') {
            continue;
        }
        let Some((key, value)) = rest.split_once(':') else { continue };
        if !(value.is_empty() || value.starts_with([' ', '\t'])) {
            continue;
        }
        open.retain(|(depth, _)| *depth < indent);
        open.push((indent, key.trim_matches(['"', '\''])));
        let value = value.split(" #").next().unwrap_or(value).trim().trim_matches(['"', '\'']);
        out.push(Node { line: line.number, path: open.iter().map(|(_, key)| *key).collect(), value });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_paths_and_values() {
        let text = "# cloud-init\nnetwork:\n    ethernets:\n        ens5:\n            match:\n                macaddress: '0a:1b:2c' # mac\n            dhcp4: true\n    version: 2\n";
        let nodes = outline(text);
        let mac = nodes.iter().find(|node| node.path.last() == Some(&"macaddress")).unwrap();
        assert_eq!(mac.path, ["network", "ethernets", "ens5", "match", "macaddress"]);
        assert_eq!((mac.value, mac.line), ("0a:1b:2c", 6));
        assert_eq!(nodes.last().unwrap().path, ["network", "version"]);
    }
}
