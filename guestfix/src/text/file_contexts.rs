//! `file_contexts`, which label of SELinux each path is to have: a regular expression, a file type if it is
//! for one only, and the label (file_contexts(5), selabel_file(5)).
//!
//! The expressions are Perl's; those that this crate's engine does not know, look-around above all, match
//! nothing. No policy of a distribution has one.

use libdisk::vfs::FileType;
use regex::RegexBuilder;

use super::lines;

/// Five times the lines of the largest policies.
const MOST_SPECS: usize = 50_000;
/// How many expressions one path is held against: of the thousands of a policy, few start as the path does.
const MOST_TRIED: usize = 1000;
/// In bytes, of one compiled expression.
const LARGEST_PROGRAM: usize = 1 << 20;

/// The contexts of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileContexts {
    /// Those that are patterns first, plain paths behind them; the last that matches counts.
    specs: Vec<Spec>,
    /// `/lib` is labelled as `/usr/lib` is: of these pairs the first that fits.
    aliases: Vec<(String, String)>,
    /// The administrator's own aliases, which are applied before.
    own_aliases: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Spec {
    pattern: String,
    file_type: Option<FileType>,
    /// `None` for `<<none>>`: such a path is to keep the label it has.
    label: Option<String>,
}

impl FileContexts {
    /// The policy of these files: `file_contexts`, then `file_contexts.homedirs` and `file_contexts.local`.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut specs: Vec<Spec> =
            texts.into_iter().flat_map(lines).filter_map(|line| spec(line.body)).take(MOST_SPECS).collect();
        // stable: otherwise the order of the files counts
        specs.sort_by_key(|spec| !is_pattern(&spec.pattern));
        Self { specs, ..Self::default() }
    }

    /// The same with the aliases of `file_contexts.subs_dist` and of `file_contexts.subs`.
    pub fn with_aliases(self, distribution: &str, own: &str) -> Self {
        Self { aliases: aliases(distribution), own_aliases: aliases(own), ..self }
    }

    /// The label for a path of this type; `None` where the policy knows none.
    pub fn label(&self, path: &str, file_type: FileType) -> Option<&str> {
        let path = aliased(&self.own_aliases, path);
        let path = aliased(&self.aliases, &path);
        let may_match = |spec: &&Spec| {
            spec.file_type.is_none_or(|only| only == file_type)
                && path.starts_with(&literal_start(&spec.pattern))
        };
        let mut tried = self.specs.iter().rev().filter(may_match).take(MOST_TRIED);
        tried.find(|spec| spec.matches(&path))?.label.as_deref()
    }
}

impl Spec {
    fn matches(&self, path: &str) -> bool {
        // few of some thousand expressions get this far and are worth compiling
        RegexBuilder::new(&format!("^(?s:{})$", self.pattern))
            .size_limit(LARGEST_PROGRAM)
            .build()
            .is_ok_and(|regex| regex.is_match(path))
    }
}

fn spec(body: &str) -> Option<Spec> {
    let mut words = body.split_whitespace();
    let pattern = words.next().filter(|word| !word.starts_with('#'))?.to_owned();
    let (second, third) = (words.next()?, words.next());
    let file_type = match (second, third) {
        (_, None) => None,
        ("--", _) => Some(FileType::Regular),
        ("-d", _) => Some(FileType::Directory),
        ("-l", _) => Some(FileType::Symlink),
        ("-b", _) => Some(FileType::BlockDevice),
        ("-c", _) => Some(FileType::CharDevice),
        ("-p", _) => Some(FileType::Fifo),
        ("-s", _) => Some(FileType::Socket),
        _ => return None,
    };
    let label = third.unwrap_or(second);
    Some(Spec { pattern, file_type, label: (label != "<<none>>").then(|| label.to_owned()) })
}

fn aliases(text: &str) -> Vec<(String, String)> {
    let pair = |body: &str| {
        let mut words = body.split_whitespace().take_while(|word| !word.starts_with('#'));
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    };
    lines(text).filter_map(|line| pair(line.body)).collect()
}

fn aliased(aliases: &[(String, String)], path: &str) -> String {
    let moved = aliases.iter().find_map(|(from, to)| {
        let rest = path.strip_prefix(from.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{to}{rest}"))
    });
    moved.unwrap_or_else(|| path.to_owned())
}

fn is_meta(c: char) -> bool {
    ".^$?*+|[({".contains(c)
}

fn is_pattern(pattern: &str) -> bool {
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => _ = chars.next(),
            c if is_meta(c) => return true,
            _ => {}
        }
    }
    false
}

/// What every path that matches begins with.
fn literal_start(pattern: &str) -> String {
    let mut out = String::new();
    if has_two_beginnings(pattern) {
        return out;
    }
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let literal = match c {
            // an escaped letter is a class: \d
            '\\' => match chars.next() {
                Some(escaped) if !escaped.is_alphanumeric() => escaped,
                _ => break,
            },
            c if is_meta(c) || c == ')' => break,
            c => c,
        };
        // what may be there or not is no literal
        if matches!(chars.peek(), Some('?' | '*' | '{')) {
            break;
        }
        out.push(literal);
    }
    out
}

/// Whether there is an alternative outside all groups.
fn has_two_beginnings(pattern: &str) -> bool {
    let mut depth = 0;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => _ = chars.next(),
            '(' => depth += 1,
            ')' => depth -= 1,
            '|' if depth <= 0 => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    const POLICY: &str = "# comment
/.*\tsystem_u:object_r:default_t:s0
/etc/.*\tsystem_u:object_r:etc_t:s0
/etc/fstab\t--\tsystem_u:object_r:fstab_t:s0
/etc/(udev|hal)/rules\\.d(/.*)?\t\tsystem_u:object_r:rules_t:s0
/etc/netplan(/.*)?\t-d\tsystem_u:object_r:net_t:s0
/run/.*\t<<none>>
/usr/lib/systemd/system(/.*)?\tsystem_u:object_r:unit_t:s0
/opt/a|/opt/b\tsystem_u:object_r:opt_t:s0
/usr/lib/(?=x)y\tsystem_u:object_r:never_t:s0
";

    #[test]
    fn the_last_match_counts_and_plain_paths_before_all() {
        let contexts = FileContexts::new([POLICY, "/etc/f.*\tsystem_u:object_r:home_t:s0\n"])
            .with_aliases("/lib /usr/lib\n/etc/systemd/system /usr/lib/systemd/system\n", "/own /etc/udev\n");
        let kind = |path: &str, file_type| {
            contexts.label(path, file_type).map(|label| label.split(':').nth(2).unwrap_or_default())
        };
        for (path, expected) in [
            ("/etc/fstab", Some("fstab_t")),
            ("/etc/fstabs", Some("home_t")),
            ("/etc/udev/rules.d/99-x.rules", Some("rules_t")),
            ("/etc/udev/rulesxd/99-x.rules", Some("etc_t")),
            ("/etc/netplan/x.yaml", Some("etc_t")),
            ("/etc/systemd/system/x.service", Some("unit_t")),
            ("/lib/systemd/system/x.service", Some("unit_t")),
            ("/library", Some("default_t")),
            ("/own/rules.d/x", Some("rules_t")),
            ("/opt/b", Some("opt_t")),
            ("/run/x", None),
            ("/usr/lib/xy", Some("default_t")),
        ] {
            assert_eq!(kind(path, FileType::Regular), expected, "{path}");
        }
        assert_eq!(kind("/etc/netplan", FileType::Directory), Some("net_t"));
        assert_eq!(kind("/etc/fstab", FileType::Symlink), Some("home_t"));
    }

    #[test]
    fn random_text_is_no_problem() {
        let mut random = Random(8);
        for _ in 0..3000 {
            let contexts =
                FileContexts::new([random.text().as_str()]).with_aliases(&random.text(), &random.text());
            let _ = contexts.label("/etc/fstab", FileType::Regular);
        }
    }
}
