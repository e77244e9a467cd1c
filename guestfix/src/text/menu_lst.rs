//! `menu.lst` or `grub.conf`, the menu of GRUB before version 2, which PV-GRUB reads too: commands, the first
//! entry begins with the first `title` (GRUB legacy manual, 14).

use super::{Line, lines, rewrite};

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its title.
    pub title: &'a str,
    /// The line of its `kernel` command, from 1.
    pub line: usize,
    /// The kernel's path on the volume it is on.
    pub kernel: &'a str,
    /// The kernel command line, blanks at its end included.
    pub cmdline: &'a str,
    /// The initramfs, if it has one.
    pub initrd: Option<&'a str>,
    /// Its number in the menu, which counts entries without a kernel too.
    pub index: usize,
}

/// All entries that start a kernel.
pub fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut out: Vec<Entry<'_>> = Vec::new();
    let mut open: Option<(usize, &str)> = None;
    for line in lines(text) {
        let Some((command, rest)) = command(&line) else { continue };
        match (command, open) {
            ("title", _) => open = Some((open.map_or(0, |(index, _)| index + 1), rest.trim_end())),
            ("kernel", Some((index, title))) => {
                let (kernel, cmdline) = kernel(rest);
                out.push(Entry { title, line: line.number, kernel, cmdline, initrd: None, index });
            }
            ("initrd", Some((index, _))) => {
                if let Some(entry) = out.last_mut().filter(|entry| entry.index == index) {
                    entry.initrd = rest.split_whitespace().next().map(without_device);
                }
            }
            _ => {}
        }
    }
    out
}

/// The number of the entry that starts by itself; "saved" for the one that was chosen last.
pub fn default(text: &str) -> Option<&str> {
    before_menu(text).filter_map(|line| Some(setting(&line, "default")?.1)).last()
}

/// For how many seconds the menu waits; `None` for ever.
pub fn timeout(text: &str) -> Option<u64> {
    before_menu(text).filter_map(|line| setting(&line, "timeout")?.1.trim_end().parse().ok()).last()
}

/// The text with another entry to start by itself.
pub fn set_default(text: &str, index: usize) -> String {
    let last = before_menu(text).filter(|line| setting(line, "default").is_some()).last();
    match last.map(|line| line.number) {
        None => format!("default {index}\n{text}"),
        Some(number) => rewrite(text, |line| {
            let (head, _) = setting(line, "default").filter(|_| line.number == number)?;
            Some(format!("{head}{index}"))
        }),
    }
}

/// The text with some command lines changed: `change` gets the number of a `kernel` line and answers the new
/// command line, or `None` to leave it.
pub fn edit_cmdlines(text: &str, mut change: impl FnMut(usize) -> Option<String>) -> String {
    rewrite(text, |line| {
        let (_, rest) = command(line).filter(|(command, _)| *command == "kernel")?;
        let (kernel, cmdline) = kernel(rest);
        if kernel.is_empty() {
            return None;
        }
        let head = &line.body[..line.body.len() - cmdline.len()];
        let gap = if head.ends_with([' ', '\t']) { "" } else { " " };
        Some(format!("{head}{gap}{}", change(line.number)?))
    })
}

/// What Debian's update-grub of old reads from a comment, as from `# kopt=root=/dev/xvda1 ro`: the line and
/// the value.
pub fn comment<'a>(text: &'a str, key: &str) -> Option<(usize, &'a str)> {
    lines(text).find_map(|line| Some((line.number, value_in_comment(&line, key)?)))
}

/// The text with such a value changed.
pub fn set_comment(text: &str, key: &str, value: &str) -> String {
    rewrite(text, |line| {
        let old = value_in_comment(line, key)?;
        Some(format!("{}{value}", &line.body[..line.body.len() - old.len()]))
    })
}

/// The lines before the menu by which it is not shown, and what they are to be for one that is, for so many
/// seconds.
pub fn hidden_menu(text: &str, seconds: &str) -> Vec<(usize, String)> {
    let shown = |line: Line<'_>| {
        if let Some((head, "0")) = setting(&line, "timeout") {
            return Some((line.number, format!("{head}{seconds}")));
        }
        (line.words().next() == Some("hiddenmenu")).then(|| (line.number, format!("#{}", line.body)))
    };
    before_menu(text).filter_map(shown).collect()
}

fn before_menu(text: &str) -> impl Iterator<Item = Line<'_>> {
    lines(text).take_while(|line| command(line).is_none_or(|(command, _)| command != "title"))
}

/// A command and what stands behind it; blanks, and one `=`, are between the two.
fn command<'a>(line: &Line<'a>) -> Option<(&'a str, &'a str)> {
    let body = line.body.trim_start();
    let end = body.find([' ', '\t', '='])?;
    let (command, rest) = body.split_at(end);
    (!command.is_empty() && !command.starts_with('#'))
        .then(|| (command, rest.trim_start_matches([' ', '\t', '='])))
}

/// The line up to a setting's value, and the value.
fn setting<'a>(line: &Line<'a>, key: &str) -> Option<(&'a str, &'a str)> {
    let (_, rest) = command(line).filter(|(command, _)| *command == key)?;
    let head = &line.body[..line.body.len() - rest.len()];
    rest.split_whitespace().next().map(|value| (head, value))
}

/// The kernel's path and its command line; options of the command itself come before them.
fn kernel(rest: &str) -> (&str, &str) {
    let mut rest = rest;
    loop {
        let end = rest.find([' ', '\t']).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        rest = tail.trim_start();
        if !word.starts_with("--") {
            return (without_device(word), rest);
        }
    }
}

fn without_device(path: &str) -> &str {
    path.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(path, |(_, path)| path)
}

fn value_in_comment<'a>(line: &Line<'a>, key: &str) -> Option<&'a str> {
    line.body.strip_prefix("# ")?.strip_prefix(key)?.strip_prefix('=')
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    const SAMPLE: &str = "# kopt=root=/dev/xvda1 ro\ndefault=1\ntimeout 0\nhiddenmenu\n\ntitle memtest\nroot (hd0)\n\n\
                          title Amazon Linux 4.14\nroot (hd0,0)\nkernel --no-mem-option (hd0)/boot/vmlinuz-4.14 root=LABEL=/ \
                          console=hvc0 \ninitrd (hd0)/boot/initramfs-4.14.img\n";

    #[test]
    fn entries_have_numbers_kernels_and_initramfs() {
        let entries = entries(SAMPLE);
        assert_eq!(entries.len(), 1);
        let entry = &entries[0];
        assert_eq!((entry.title, entry.line, entry.index), ("Amazon Linux 4.14", 11, 1));
        assert_eq!((entry.kernel, entry.cmdline), ("/boot/vmlinuz-4.14", "root=LABEL=/ console=hvc0 "));
        assert_eq!(entry.initrd, Some("/boot/initramfs-4.14.img"));
        assert_eq!(default(SAMPLE), Some("1"));
        assert_eq!(comment(SAMPLE, "kopt"), Some((1, "root=/dev/xvda1 ro")));
    }

    #[test]
    fn edits_keep_the_rest() {
        let new = edit_cmdlines(SAMPLE, |line| (line == 11).then(|| "ro".into()));
        assert_eq!(new, SAMPLE.replace("root=LABEL=/ console=hvc0 ", "ro"));
        assert_eq!(
            edit_cmdlines("title x\nkernel /vmlinuz\n", |_| Some("ro".into())),
            "title x\nkernel /vmlinuz ro\n"
        );
        assert_eq!(set_default(SAMPLE, 3), SAMPLE.replace("default=1", "default=3"));
        assert_eq!(set_default("title x\n", 3), "default 3\ntitle x\n");
        assert_eq!(set_comment(SAMPLE, "kopt", "ro"), SAMPLE.replace("root=/dev/xvda1 ro", "ro"));
        assert_eq!(hidden_menu(SAMPLE, "5"), [(3, "timeout 5".to_owned()), (4, "#hiddenmenu".to_owned())]);
    }

    #[test]
    fn random_text_is_neither_changed_nor_a_problem() {
        let mut random = Random(9);
        for _ in 0..3000 {
            let text = random.text().replace("linux", "kernel").replace("menuentry", "title");
            let _ = (entries(&text), default(&text), hidden_menu(&text, "5"));
            assert_eq!(edit_cmdlines(&text, |_| None), text);
        }
    }
}
