//! Sizes and commands, as people read and type them.

use guestfix::report::escape::steers;
use guestfix::text::bytes;

/// A size for people: "8.0 GiB".
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// One word of a command line, quoted for a shell where that is needed. What would steer a terminal is spelt
/// out, and what is no text, as bash, zsh and ksh read it: `$'a\x1b'`.
pub(crate) fn quote(word: &str) -> String {
    if !word.contains(|c| steers(c) || bytes::byte(c).is_some()) {
        return shlex::try_quote(word).map_or_else(|_| word.to_owned(), |quoted| quoted.into_owned());
    }
    let spelt = word.chars().map(|c| match c {
        '\\' | '\'' => format!("\\{c}"),
        c if let Some(byte) = bytes::byte(c) => format!("\\x{byte:02X}"),
        c if steers(c) && c.is_ascii() => format!("\\x{:02x}", u32::from(c)),
        c if steers(c) => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    });
    format!("$'{}'", spelt.collect::<String>())
}

/// A command to type: `refloat` and its words, each quoted where needed.
pub(crate) fn command<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().fold("refloat".to_owned(), |line, word| line + " " + &quote(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(8 << 30), "8.0 GiB");
        assert_eq!(size(u64::MAX), "16384.0 PiB");
    }

    /// Bash is the judge.
    #[test]
    fn a_shell_reads_every_word_back() {
        for word in [
            "plain.img",
            "two words",
            "it's",
            "$HOME",
            "a;b",
            "",
            "#x",
            "~",
            "*",
            "a\x1b[31m\nb",
            "\u{9b}'\\",
            "é",
        ] {
            let script = format!("printf %s {}", quote(word));
            let output =
                std::process::Command::new("bash").args(["-c", &script]).env("LC_ALL", "C.UTF-8").output();
            let output = output.unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), word, "{script}");
        }
        assert_eq!(command(["check", "my disk.img"]), "refloat check 'my disk.img'");
    }
}
