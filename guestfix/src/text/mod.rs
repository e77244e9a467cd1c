//! Lossless editors of configuration files: what is not meant to change does not, to the byte.
//!
//! Every editor here works on lines and leaves alone comments, spacing, order, line endings and a missing
//! last newline. There is no parse tree to print again, so there is nothing that printing could lose.

pub mod bls;
pub mod bytes;
pub mod cmdline;
pub mod crypttab;
pub mod extlinux;
pub mod file_contexts;
pub mod fstab;
pub mod grub_cfg;
pub mod grubenv;
pub mod ini;
pub mod interfaces;
pub mod lvm_conf;
pub mod menu_lst;
pub mod modprobe;
pub mod pam;
pub mod shell_assign;
pub mod sshd_config;
pub mod yaml_outline;

/// One line of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// From 1.
    pub number: usize,
    /// Without its ending.
    pub body: &'a str,
    /// "\n", "\r\n", or nothing at the end of the text.
    pub ending: &'a str,
}

impl<'a> Line<'a> {
    /// The words of the line, comments from `#` at the start of a word on left out.
    pub fn words(&self) -> impl Iterator<Item = &'a str> {
        self.body.split_whitespace().take_while(|word| !word.starts_with('#'))
    }
}

/// The lines of a text.
pub fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.split_inclusive('\n').enumerate().map(|(index, line)| {
        let body = line.strip_suffix('\n').unwrap_or(line);
        let body = body.strip_suffix('\r').filter(|_| line.ends_with('\n')).unwrap_or(body);
        Line { number: index + 1, body, ending: &line[body.len()..] }
    })
}

/// The text with some lines changed: `change` answers the new body of a line, or `None` to leave it.
///
/// A body may hold more than one line, joined by "\n"; they all get the ending of the line they replace.
pub fn rewrite(text: &str, mut change: impl FnMut(&Line<'_>) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    for line in lines(text) {
        match change(&line) {
            None => out.push_str(line.body),
            Some(body) if line.ending == "\r\n" => out.push_str(&body.replace('\n', "\r\n")),
            Some(body) => out.push_str(&body),
        }
        out.push_str(line.ending);
    }
    out
}

/// The text with a line more at its end, in the file's own line ending.
pub fn append(text: &str, line: &str) -> String {
    let ending = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { ending };
    format!("{text}{gap}{}{ending}", line.replace('\n', ending))
}

/// A line made a comment that says why and still holds it all.
pub fn comment_out(body: &str, why: &str) -> String {
    format!("# refloat: {why}: {body}")
}

#[cfg(test)]
pub(crate) mod random {
    //! Random configuration text, the same for the same seed.

    /// Xorshift: enough to vary a text.
    pub(crate) struct Random(pub(crate) u64);

    impl Random {
        pub(crate) fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % limit as u64) as usize
        }

        /// A text of pieces that configuration files are made of, in any order.
        pub(crate) fn text(&mut self) -> String {
            const PIECES: &[&str] = &[
                "\n",
                "\n",
                "\r\n",
                " ",
                "\t",
                "#",
                "=",
                "\"",
                "'",
                "\\",
                "{",
                "}",
                "[a]",
                "key",
                "/dev/xvda1",
                "UUID=1-2",
                "linux",
                "initrd",
                "menuentry",
                "set default=",
                "root=",
                "console=hvc0",
                "--",
                "\\040",
                "é",
                "GRUB_X",
                "  - ",
                ": ",
                "auto",
                "iface",
                "eth0",
                "$",
                "\0",
            ];
            (0..self.below(60)).map(|_| PIECES[self.below(PIECES.len())]).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_stays_to_the_byte() {
        let mut random = random::Random(0x5eed);
        for _ in 0..5000 {
            let text = random.text();
            assert_eq!(rewrite(&text, |_| None), text);
            assert_eq!(rewrite(&text, |line| Some(line.body.to_owned())), text);
        }
    }

    #[test]
    fn a_changed_line_keeps_its_ending() {
        let change = |line: &Line<'_>| (line.number == 2).then(|| "x\ny".to_owned());
        assert_eq!(rewrite("a\r\nb\r\nc", change), "a\r\nx\r\ny\r\nc");
        assert_eq!(rewrite("a\nb", change), "a\nx\ny");
    }

    #[test]
    fn a_line_is_appended_below_a_last_line_without_newline() {
        assert_eq!(append("a", "b"), "a\nb\n");
        assert_eq!(append("a\r\n", "b"), "a\r\nb\r\n");
        assert_eq!(append("", "b"), "b\n");
    }
}
