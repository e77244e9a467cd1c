//! `extlinux.conf`, the menu of Syslinux: keywords in any case, the first entry begins with the first `LABEL`
//! (wiki.syslinux.org, Config).

use super::{Line, lines, rewrite};

/// One entry that starts a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What it is called by.
    pub label: &'a str,
    /// What the menu shows; the label where it has no other title.
    pub title: &'a str,
    /// The kernel's path, from the directory of the file if it does not begin with `/`.
    pub kernel: &'a str,
    /// The line of its `APPEND`, from 1, and the kernel command line, blanks at its end included.
    pub append: Option<(usize, &'a str)>,
    /// Initramfs images likewise.
    pub initrds: Vec<&'a str>,
    /// `MENU DEFAULT` stands in it.
    pub is_menu_default: bool,
}

/// All entries that start a kernel.
pub fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut out: Vec<Entry<'_>> = Vec::new();
    for line in lines(text) {
        let Some((keyword, value)) = keyword(&line) else { continue };
        let word = value.trim_end();
        if keyword.eq_ignore_ascii_case("label") {
            out.push(Entry {
                label: word,
                title: word,
                kernel: "",
                append: None,
                initrds: Vec::new(),
                is_menu_default: false,
            });
        }
        let Some(open) = out.last_mut() else { continue };
        match keyword.to_ascii_lowercase().as_str() {
            "linux" | "kernel" => open.kernel = word,
            "initrd" => open.initrds = word.split(',').collect(),
            "append" => open.append = Some((line.number, value)),
            "menu" => {
                let (second, rest) = word.split_once([' ', '\t']).unwrap_or((word, ""));
                match second.to_ascii_lowercase().as_str() {
                    "label" => open.title = rest.trim(),
                    "default" => open.is_menu_default = true,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    // a module of Syslinux is no kernel
    out.retain(|entry| !entry.kernel.is_empty() && !entry.kernel.ends_with(".c32"));
    out
}

/// The label of the entry that starts by itself, or the name of the menu that is shown.
pub fn default(text: &str) -> Option<&str> {
    lines(text).filter_map(|line| Some(setting(&line, "default")?.1.trim_end())).last()
}

/// The text with another entry to start by itself.
pub fn set_default(text: &str, label: &str) -> String {
    let is_menu = default(text).is_some_and(|name| name.ends_with(".c32"));
    if !is_menu {
        let has_one = default(text).is_some();
        let text = rewrite(text, |line| {
            let (head, _) = setting(line, "default")?;
            Some(format!("{head}{label}"))
        });
        return if has_one { text } else { format!("DEFAULT {label}\n{text}") };
    }
    let moved = |line: &Line<'_>| {
        let words: Vec<&str> = line.words().take(2).collect();
        matches!(words[..], [menu, default] if menu.eq_ignore_ascii_case("menu") && default.eq_ignore_ascii_case("default"))
    };
    let without: String =
        lines(text).filter(|line| !moved(line)).flat_map(|line| [line.body, line.ending]).collect();
    rewrite(&without, |line| {
        let (_, value) = setting(line, "label")?;
        (value.trim_end() == label).then(|| format!("{}\n  MENU DEFAULT", line.body))
    })
}

/// How long a menu waits, in tenths of a second; 0, which is what a file without a word of it means, is for
/// ever.
pub fn timeout(text: &str) -> u32 {
    let values = lines(text).filter_map(|line| setting(&line, "timeout")?.1.trim_end().parse().ok());
    values.last().unwrap_or(0)
}

/// The text with another time to wait.
pub fn set_timeout(text: &str, tenths: u32) -> String {
    rewrite(text, |line| {
        let (head, _) = setting(line, "timeout")?;
        Some(format!("{head}{tenths}"))
    })
}

/// Whether the menu is on a serial port.
pub fn has_serial(text: &str) -> bool {
    lines(text).any(|line| setting(&line, "serial").is_some())
}

/// The text with some command lines changed: `change` gets the number of an `APPEND` line and answers the new
/// command line, or `None` to leave it.
pub fn edit_cmdlines(text: &str, mut change: impl FnMut(usize) -> Option<String>) -> String {
    rewrite(text, |line| {
        let (head, _) = setting(line, "append")?;
        Some(format!("{head}{}", change(line.number)?))
    })
}

/// A keyword and what stands behind the blanks after it.
fn keyword<'a>(line: &Line<'a>) -> Option<(&'a str, &'a str)> {
    let body = line.body.trim_start();
    let (keyword, rest) = body.split_once([' ', '\t'])?;
    (!keyword.starts_with('#')).then(|| (keyword, rest.trim_start_matches([' ', '\t'])))
}

/// What stands before the value of this keyword, and the value.
fn setting<'a>(line: &Line<'a>, name: &str) -> Option<(&'a str, &'a str)> {
    let (_, value) = keyword(line).filter(|(keyword, _)| keyword.eq_ignore_ascii_case(name))?;
    Some((&line.body[..line.body.len() - value.len()], value))
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    const SAMPLE: &str = "SERIAL 0 115200\nDEFAULT menu.c32\nTIMEOUT 10\nLABEL virt\n  MENU DEFAULT\n  MENU LABEL Linux virt\n  \
                          LINUX vmlinuz-virt\n  INITRD initramfs-virt\n  APPEND root=/dev/xvda1 modules=ext4 \n\nLABEL lts\n  LINUX vmlinuz-lts\n\
                          label reboot\n  com32 reboot.c32\nLABEL menu\n  KERNEL vesamenu.c32\n";

    #[test]
    fn entries_have_labels_kernels_and_initramfs() {
        let entries = entries(SAMPLE);
        assert_eq!(entries.len(), 2);
        let virt = &entries[0];
        assert_eq!((virt.label, virt.title, virt.kernel), ("virt", "Linux virt", "vmlinuz-virt"));
        assert_eq!(virt.append, Some((9, "root=/dev/xvda1 modules=ext4 ")));
        assert!(virt.is_menu_default && virt.initrds == ["initramfs-virt"]);
        assert!(entries[1].append.is_none() && !entries[1].is_menu_default);
        assert_eq!(default(SAMPLE), Some("menu.c32"));
    }

    #[test]
    fn edits_keep_the_rest() {
        let new = edit_cmdlines(SAMPLE, |line| (line == 9).then(|| "ro".into()));
        assert_eq!(new, SAMPLE.replace("root=/dev/xvda1 modules=ext4 ", "ro"));
        let moved = set_default(SAMPLE, "lts");
        let expected =
            SAMPLE.replace("  MENU DEFAULT\n", "").replace("LABEL lts\n", "LABEL lts\n  MENU DEFAULT\n");
        assert_eq!(moved, expected);
        assert_eq!(set_default("default a\nlabel a\n", "b"), "default b\nlabel a\n");
        assert_eq!(set_default("label a\n", "b"), "DEFAULT b\nlabel a\n");
        assert_eq!((timeout(SAMPLE), timeout("label a\n")), (10, 0));
        assert_eq!(set_timeout(SAMPLE, 50), SAMPLE.replace("TIMEOUT 10", "TIMEOUT 50"));
        assert!(has_serial(SAMPLE) && !has_serial("#SERIAL 0\nmenu title serial\n"));
    }

    #[test]
    fn random_text_is_neither_changed_nor_a_problem() {
        let mut random = Random(9);
        for _ in 0..3000 {
            let text = random.text();
            assert_eq!(edit_cmdlines(&text, |_| None), text);
            let _ = (
                entries(&text),
                default(&text),
                set_default(&text, "x"),
                timeout(&text),
                set_timeout(&text, 1),
            );
        }
    }
}
