//! `modprobe.d/*.conf` and `modprobe.conf`: a command a line, and what it is about (modprobe.d(5)).

use super::{cmdline, comment_out, lines, rewrite};

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command<'a> {
    /// The line that it begins on, from 1.
    pub line: usize,
    /// Its words; a backslash at the end of a line goes on with them on the next.
    pub words: Vec<&'a str>,
}

/// How far a module is kept from being loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ban {
    /// Where a device or a file system asks for it, and by `modprobe -b`. Who names it otherwise loads it, and
    /// so does who loads what needs it.
    Asked,
    /// Whoever loads it.
    Always,
}

impl<'a> Command<'a> {
    /// The module, with underscores, that it keeps from being loaded: by `blacklist`, by an `install` of
    /// something that does nothing, by being an alias of nothing.
    pub fn forbidden(&self) -> Option<(String, Ban)> {
        let (module, ban) = match self.words.as_slice() {
            ["blacklist", module, ..] => (*module, Ban::Asked),
            ["install", module, command @ ..] if is_nothing(command) => (*module, Ban::Always),
            ["alias", module, "off", ..] => (*module, Ban::Always),
            _ => return None,
        };
        Some((module.replace('-', "_"), ban))
    }

    /// The module that an `alias` stands for.
    pub fn alias_of(&self) -> Option<&'a str> {
        match self.words.as_slice() {
            ["alias", _, module, ..] => Some(module),
            _ => None,
        }
    }
}

/// The commands of a text.
pub fn commands(text: &str) -> Vec<Command<'_>> {
    let mut out: Vec<Command<'_>> = Vec::new();
    let mut goes_on = false;
    for line in lines(text) {
        let body = line.body.strip_suffix('\\');
        let words = body.unwrap_or(line.body).split_whitespace();
        match out.last_mut() {
            Some(last) if goes_on => last.words.extend(words),
            _ => out.push(Command { line: line.number, words: words.collect() }),
        }
        goes_on = body.is_some();
    }
    for command in &mut out {
        let comment = command.words.iter().position(|word| word.starts_with('#'));
        command.words.truncate(comment.unwrap_or(command.words.len()));
    }
    out.retain(|command| !command.words.is_empty());
    out
}

/// All modules that a text forbids, each with the line of its command.
pub fn forbidden(text: &str) -> Vec<(usize, String, Ban)> {
    let of = |command: &Command<'_>| {
        let (module, ban) = command.forbidden()?;
        Some((command.line, module, ban))
    };
    commands(text).iter().filter_map(of).collect()
}

/// The text with some commands made comments: `change` answers whether one is. A comment goes on where its
/// line does.
pub fn comment_out_commands(text: &str, why: &str, change: impl Fn(&Command<'_>) -> bool) -> String {
    let hit: Vec<usize> =
        commands(text).iter().filter(|command| change(command)).map(|hit| hit.line).collect();
    rewrite(text, |line| hit.contains(&line.number).then(|| comment_out(line.body, why)))
}

/// The keys of the list of functions of the kernel that are not to be called; it takes both for one.
pub const INITCALLS: [&str; 2] = ["initcall_blacklist", "initcall-blacklist"];

/// The key and the names of a list of forbidden modules on a kernel command line: those of the kernel, of
/// modprobe, of dracut, and of initramfs-tools and mkinitfs. [`INITCALLS`] names functions, not modules.
pub fn list(token: &str) -> Option<(&str, Vec<&str>)> {
    const KEYS: [&str; 8] = [
        "module_blacklist",
        "module-blacklist",
        "modprobe.blacklist",
        "rd.driver.blacklist",
        "rdblacklist",
        "blacklist",
        INITCALLS[0],
        INITCALLS[1],
    ];
    let (key, names) = KEYS.iter().find_map(|key| Some((*key, cmdline::value(token, key)?)))?;
    Some((key, names.split(',').collect()))
}

/// How far the list with this key reaches: the kernel heeds its own, whoever loads a module.
pub fn ban(key: &str) -> Ban {
    if key.starts_with("module") || INITCALLS.contains(&key) { Ban::Always } else { Ban::Asked }
}

/// A command that stands for "do not", by itself or in a shell.
fn is_nothing(command: &[&str]) -> bool {
    let name = |word: &str| word.rsplit('/').next().unwrap_or(word).trim_matches(['"', '\'', ';']).to_owned();
    let command = match command {
        [shell, "-c", rest @ ..] if name(shell).ends_with("sh") => rest,
        command => command,
    };
    let first = command.first().map(|word| name(word)).unwrap_or_default();
    matches!(first.as_str(), "true" | "false" | "null" | ":" | "echo" | "exit")
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn what_is_blacklisted_or_installed_by_nothing_is_forbidden() {
        let text = "# x\nblacklist hv-vmbus\ninstall udf /bin/true\ninstall vfat /sbin/modprobe -i vfat\n\
                    options hv_netvsc a=1\n  install\tsd_mod  /usr/bin/false # no\ninstall xfs \\\n  /bin/true\n\
                    install ext4 /bin/sh -c \"exit 1\"\nalias hv-storvsc off\nalias eth0 e1000\n#blacklist \\\na\n";
        let expected = [
            (2, "hv_vmbus", Ban::Asked),
            (3, "udf", Ban::Always),
            (6, "sd_mod", Ban::Always),
            (7, "xfs", Ban::Always),
            (9, "ext4", Ban::Always),
            (10, "hv_storvsc", Ban::Always),
        ];
        assert_eq!(forbidden(text), expected.map(|(line, name, ban)| (line, name.to_owned(), ban)));
        let aliases: Vec<_> = commands(text).iter().filter_map(Command::alias_of).collect();
        assert_eq!(aliases, ["off", "e1000"]);
    }

    #[test]
    fn a_command_is_made_a_comment_with_the_lines_it_goes_on_in() {
        let text = "install xfs \\\n  /bin/true\nblacklist x\n";
        let new = comment_out_commands(text, "no", |command| command.words.contains(&"xfs"));
        assert_eq!(new, format!("# refloat: no: {text}"));
        assert_eq!(forbidden(&new), [(3, "x".to_owned(), Ban::Asked)]);
    }

    #[test]
    fn random_text_is_no_problem() {
        let mut random = Random(14);
        for _ in 0..3000 {
            let text = random.text().replace("linux", "install");
            forbidden(&text);
            assert_eq!(comment_out_commands(&text, "no", |_| false), text);
        }
    }
}
