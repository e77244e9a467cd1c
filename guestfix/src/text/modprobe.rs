//! `modprobe.d/*.conf` and `modprobe.conf`: a command a line, and what it is about (modprobe.d(5)).

use super::{Line, cmdline, lines};

/// The module, with underscores, that a line keeps from being loaded: by `blacklist`, or by an `install` of
/// something that does nothing.
pub fn forbidden(line: &Line<'_>) -> Option<String> {
    let words: Vec<&str> = line.words().collect();
    let module = match words.as_slice() {
        ["blacklist", module, ..] => *module,
        ["install", module, command, ..] if is_nothing(command) => *module,
        _ => return None,
    };
    Some(module.replace('-', "_"))
}

/// All that a text forbids, each with the number of its line.
pub fn all_forbidden(text: &str) -> Vec<(usize, String)> {
    lines(text).filter_map(|line| Some((line.number, forbidden(&line)?))).collect()
}

/// The key and the names of a list of forbidden modules on a kernel command line: those of the kernel, of
/// modprobe and of dracut.
pub fn list(token: &str) -> Option<(&str, Vec<&str>)> {
    const KEYS: [&str; 4] = ["module_blacklist", "modprobe.blacklist", "rd.driver.blacklist", "rdblacklist"];
    let (key, names) = KEYS.iter().find_map(|key| Some((*key, cmdline::value(token, key)?)))?;
    Some((key, names.split(',').collect()))
}

/// A command that stands for "do not".
fn is_nothing(command: &str) -> bool {
    matches!(command.rsplit('/').next(), Some("true" | "false" | "null" | ":" | "echo" | "exit"))
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn what_is_blacklisted_or_installed_by_nothing_is_forbidden() {
        let text = "# x\nblacklist hv-vmbus\ninstall udf /bin/true\ninstall vfat /sbin/modprobe -i vfat\n\
                    options hv_netvsc a=1\n  install\tsd_mod  /usr/bin/false # no\n";
        let expected =
            [(2, "hv_vmbus"), (3, "udf"), (6, "sd_mod")].map(|(line, name)| (line, name.to_owned()));
        assert_eq!(all_forbidden(text), expected);
    }

    #[test]
    fn random_text_is_no_problem() {
        let mut random = Random(14);
        for _ in 0..3000 {
            all_forbidden(&random.text().replace("linux", "install"));
        }
    }
}
