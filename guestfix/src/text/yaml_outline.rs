//! The outline of a YAML file in block style: which key stands at which path, on which line.
//!
//! This is for finding things, not for understanding YAML: a mapping in flow style (`{a: b}`) is known where it
//! stands on one line, anchors and block scalars are not. It is never used to write YAML.

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
        let path: Vec<&str> = open.iter().map(|(_, key)| *key).collect();
        out.push(Node { line: line.number, path: path.clone(), value });
        flow(&mut out, line.number, &path, value);
    }
    out
}

/// How deep mappings in flow style are followed.
const DEPTH: usize = 16;

/// Adds the keys of a mapping in flow style.
fn flow<'a>(out: &mut Vec<Node<'a>>, line: usize, above: &[&'a str], value: &'a str) {
    let Some(inside) = value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else { return };
    for part in parts(inside).filter(|_| above.len() < DEPTH) {
        let Some((key, value)) = part.split_once(':') else { continue };
        let value = value.trim().trim_matches(['"', '\'']);
        let mut path = above.to_vec();
        path.push(key.trim().trim_matches(['"', '\'']));
        out.push(Node { line, path: path.clone(), value });
        flow(out, line, &path, value);
    }
}

/// What commas keep apart, those in brackets and quotes aside.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let (mut depth, mut quote) = (0_i32, None);
    text.split(move |c| {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (_, Some(open)) if open == c => quote = None,
            (_, Some(_)) => {}
            ('{' | '[', None) => depth += 1,
            ('}' | ']', None) => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0 && quote.is_none()
    })
}

/// The values of a key that has one or a list of them, in either style.
pub fn items<'a>(text: &'a str, node: &Node<'a>) -> Vec<&'a str> {
    if let Some(inside) = node.value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let items = parts(inside).map(|item| item.trim().trim_matches(['"', '\'']));
        return items.filter(|item| !item.is_empty()).collect();
    }
    if !node.value.is_empty() {
        return vec![node.value];
    }
    let mut out = Vec::new();
    for line in lines(text).skip(node.line) {
        let body = line.body.trim();
        match body.strip_prefix('-') {
            Some(item) => {
                let item = item.split(" #").next().unwrap_or(item);
                // What is behind a colon says more of the item: `- 10.0.0.4/24: {label: x}`.
                let item = item.trim().strip_suffix(':').unwrap_or(item).trim();
                out.push(item.trim_matches(['"', '\'']));
            }
            None if body.is_empty() || body.starts_with('#') => {}
            None => break,
        }
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

    #[test]
    fn mappings_and_lists_are_found_in_both_styles() {
        let text = "network:\n  ethernets:\n    a: {match: {name: \"e*\", driver: [x, y]}, dhcp4: yes}\n  bridges:\n    br0:\n      interfaces:\n        - a # port\n\n        - 'b'\n      addresses: [10.0.0.4/24, \"fe80::1/64\"]\n";
        let nodes = outline(text);
        let node = |path: &[&str]| nodes.iter().find(|node| node.path == path).unwrap();
        let at = ["network", "ethernets", "a"];
        assert_eq!(node(&[&at[..], &["match", "name"]].concat()).value, "e*");
        assert_eq!(items(text, node(&[&at[..], &["match", "driver"]].concat())), ["x", "y"]);
        assert_eq!(node(&[&at[..], &["dhcp4"]].concat()).value, "yes");
        let br0 = ["network", "bridges", "br0"];
        assert_eq!(items(text, node(&[&br0[..], &["interfaces"]].concat())), ["a", "b"]);
        let addresses = node(&[&br0[..], &["addresses"]].concat());
        assert_eq!(items(text, addresses), ["10.0.0.4/24", "fe80::1/64"]);
        let deep = format!("a: {}x{}", "{b: ".repeat(5000), "}".repeat(5000));
        assert!(outline(&deep).len() <= DEPTH + 1);
    }
}
