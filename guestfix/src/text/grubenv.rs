//! `grubenv`, GRUB's environment block: 1024 bytes, `key=value` lines behind a signature, filled up with `#`
//! (GRUB manual, 17.3).

use super::bytes::{decode, encode};

const SIGNATURE: &str = "# GRUB Environment Block\n";

/// Where the block of a grub.cfg is.
pub fn beside(config: &str) -> String {
    let dir = config.rsplit_once('/').map_or("", |(dir, _)| dir);
    format!("{dir}/grubenv")
}

/// The value of a variable, if the block is one and holds it.
pub fn get(block: &[u8], key: &str) -> Option<String> {
    let text = decode(block);
    let text = text.strip_prefix(SIGNATURE)?;
    let value = |line: &str| Some(unescape(line.strip_prefix(key)?.strip_prefix('=')?));
    text.lines().filter(|line| !line.starts_with('#')).find_map(value)
}

/// All variables of the block with their values; `None` if it is no block.
pub fn variables(block: &[u8]) -> Option<Vec<(String, String)>> {
    let text = decode(block);
    let text = text.strip_prefix(SIGNATURE)?;
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), unescape(value)));
    Some(text.lines().filter(|line| !line.starts_with('#')).filter_map(pair).collect())
}

/// The block with a variable set, or with `None` taken away; `None` if it is no block or has no room. A block
/// whose last line is not whole is none: what that line should say is not known.
pub fn set(block: &[u8], key: &str, value: Option<&str>) -> Option<Vec<u8>> {
    let text = decode(block);
    let text = text.strip_prefix(SIGNATURE)?;
    let padding = text.rsplit('\n').next().unwrap_or_default();
    if padding.bytes().any(|byte| byte != b'#') {
        return None;
    }
    let is_key = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.starts_with('='));
    let mut out = String::from(SIGNATURE);
    let mut todo =
        value.map(|value| format!("{key}={}\n", value.replace('\\', "\\\\").replace('\n', "\\\n")));
    for line in text.split_inclusive('\n').take_while(|line| line.ends_with('\n')) {
        if is_key(line) {
            out.extend(todo.take());
        } else {
            out.push_str(line);
        }
    }
    out.extend(todo);
    let mut out = encode(&out).into_owned();
    let room = block.len().checked_sub(out.len())?;
    out.extend(std::iter::repeat_n(b'#', room));
    Some(out)
}

fn unescape(value: &str) -> String {
    let mut chars = value.chars();
    let mut out = String::with_capacity(value.len());
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(lines: &str) -> Vec<u8> {
        let mut block = format!("{SIGNATURE}{lines}").into_bytes();
        block.resize(1024, b'#');
        block
    }

    #[test]
    fn variables_are_read_set_and_taken_away() {
        let old = block("saved_entry=a b\ninitrdfail=1\n");
        assert_eq!(get(&old, "saved_entry").as_deref(), Some("a b"));
        assert_eq!(get(&old, "saved"), None);
        let new = set(&old, "initrdfail", None).unwrap();
        assert_eq!(new, block("saved_entry=a b\n"));
        assert_eq!(set(&new, "saved_entry", Some("x\\y")).unwrap(), block("saved_entry=x\\\\y\n"));
        assert_eq!(get(&set(&new, "k", Some("x\\y")).unwrap(), "k").as_deref(), Some("x\\y"));
        assert_eq!(set(&old, "saved_entry", Some("a b")).unwrap(), old);
    }

    #[test]
    fn the_block_keeps_its_size_or_is_refused() {
        assert_eq!(set(&block(""), "k", Some(&"v".repeat(1024))), None);
        assert_eq!(set(b"no block", "k", Some("v")), None);
        assert_eq!(get(b"\xff", "k"), None);
    }

    #[test]
    fn bytes_that_are_not_utf8_stay_as_they_are() {
        let mut old = b"# GRUB Environment Block\nsaved_entry=caf\xe9\nk=1\n".to_vec();
        old.resize(1024, b'#');
        let new = set(&old, "k", Some("22")).unwrap();
        assert_eq!(new.len(), 1024);
        assert!(new.starts_with(b"# GRUB Environment Block\nsaved_entry=caf\xe9\nk=22\n##"));
        assert_eq!(get(&new, "saved_entry").as_deref(), Some("caf\u{10ffe9}"));
    }
}
