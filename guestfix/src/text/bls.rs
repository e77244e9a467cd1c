//! An entry of the Boot Loader Specification: lines of a key, blanks and a value
//! (uapi-group.org/specifications/specs/boot_loader_specification). systemd-boot's `loader.conf` is written
//! so, too.

use super::{Line, append, lines, rewrite};

/// The values of a key, each with the number of its line.
pub fn values<'a>(text: &'a str, key: &str) -> Vec<(usize, &'a str)> {
    lines(text).filter_map(|line| Some((line.number, value(&line, key)?))).collect()
}

/// The first value of a key.
pub fn get<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    values(text, key).first().map(|(_, value)| *value)
}

/// The text with some `options` changed: `change` gets the number of a line and answers its new value, or
/// `None` to leave it.
pub fn edit_options(text: &str, mut change: impl FnMut(usize) -> Option<String>) -> String {
    rewrite(text, |line| {
        let old = value(line, "options")?;
        let head = &line.body[..line.body.len() - old.len()];
        Some(format!("{head}{}", change(line.number)?))
    })
}

/// The text with this value for a key, at its end if the key is not there.
pub fn set(text: &str, key: &str, new: &str) -> String {
    if values(text, key).is_empty() {
        return append(text, &format!("{key} {new}"));
    }
    rewrite(text, |line| {
        let old = value(line, key)?;
        Some(format!("{}{new}", &line.body[..line.body.len() - old.len()]))
    })
}

/// What stands behind the key and the blanks, blanks at the end included.
fn value<'a>(line: &Line<'a>, key: &str) -> Option<&'a str> {
    let rest = line.body.trim_start().strip_prefix(key)?;
    let value = rest.trim_start_matches([' ', '\t']);
    (value.len() < rest.len()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn values_are_read_and_options_changed_in_place() {
        let text = "title Red Hat\nversion 5.14\nlinux /vmlinuz-5.14\noptions\t root=x ro $tuned_params \noptionsx y\n";
        assert_eq!(get(text, "title"), Some("Red Hat"));
        assert_eq!(values(text, "options"), [(4, "root=x ro $tuned_params ")]);
        assert_eq!(get(text, "initrd"), None);
        let new = edit_options(text, |line| (line == 4).then(|| "ro".into()));
        assert_eq!(new, text.replace("root=x ro $tuned_params ", "ro"));
        assert_eq!(set(text, "version", "6"), text.replace("5.14\nlinux", "6\nlinux"));
        assert_eq!(set("timeout 3", "default", "a"), "timeout 3\ndefault a\n");
    }

    #[test]
    fn random_text_is_neither_changed_nor_a_problem() {
        let mut random = Random(8);
        for _ in 0..3000 {
            let text = random.text();
            assert_eq!(edit_options(&text, |_| None), text);
            for (line, value) in values(&text, "options") {
                assert_eq!(edit_options(&text, |number| (number == line).then(|| value.into())), text);
            }
        }
    }
}
