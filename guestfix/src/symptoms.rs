//! What a boot that fails shows on the serial console, what it means, and the rules that are about it.
//!
//! One table for all who read consoles: a test boot takes its verdicts from it, and whoever has a line or a
//! whole log of Azure's serial console finds by it what to do. The texts were read in the programs' own
//! sources and seen in boots that failed on purpose.

mod firmware;
mod grub;
mod kernel;
mod system;
mod windows;

use std::sync::LazyLock;

use crate::bootwalk::HopKind;
use crate::rule::Source;

pub use kernel::NO_ROOT;

const GRUB_2: Source = Source::new("GRUB 2", "grub-core/", "2026-11");
const NO_INIT: &str = "the root has no init that can be started";
const WALK_INIT: &str = "refloat check names what /sbin/init needs and is not there: put it back on the machine \
                         (reinstall the package), then take a new snapshot";

/// What texts of one cause mean.
#[derive(Debug, Clone, Copy)]
pub struct Symptom {
    /// The hop that the boot does not get past; `None` for that at which it is.
    pub hop: Option<HopKind>,
    /// How well it explains a failure, from 1 up; the best of a boot is shown.
    pub worth: u8,
    /// What it means.
    pub why: &'static str,
    /// Texts of a failure, after which the boot may yet go on.
    pub hints: &'static [&'static str],
    /// Texts after which nothing comes.
    pub ends: &'static [&'static str],
    /// Texts that no verdict hangs on, as examples: their numbers, paths and quoted names are any.
    pub tells: &'static [&'static str],
    /// The ids of the rules that find the cause, the likeliest first; none where only the boot walk does.
    pub rules: &'static [&'static str],
    /// What to do.
    pub advice: &'static str,
    /// Who writes such lines, or tells of them.
    pub source: Source,
}

const fn at(hop: HopKind, worth: u8, why: &'static str) -> Symptom {
    Symptom { hop: Some(hop), ..from_here(worth, why) }
}

const fn from_here(worth: u8, why: &'static str) -> Symptom {
    let (hints, ends, tells, rules): (&[&str], &[&str], &[&str], &[&str]) = (&[], &[], &[], &[]);
    Symptom { hop: None, worth, why, hints, ends, tells, rules, advice: "", source: GRUB_2 }
}

impl Symptom {
    const fn see(self, rules: &'static [&'static str], advice: &'static str, source: Source) -> Self {
        Self { rules, advice, source, ..self }
    }

    const fn hints(self, hints: &'static [&'static str]) -> Self {
        Self { hints, ..self }
    }

    const fn ends(self, ends: &'static [&'static str]) -> Self {
        Self { ends, ..self }
    }

    const fn tells(self, tells: &'static [&'static str]) -> Self {
        Self { tells, ..self }
    }

    /// All its texts.
    pub fn texts(&self) -> impl Iterator<Item = &'static str> {
        [self.hints, self.ends, self.tells].into_iter().flatten().copied()
    }
}

/// The symptoms whose texts any line may have.
pub static ANYWHERE: &[&[Symptom]] = &[firmware::TABLE, kernel::TABLE, system::TABLE, windows::TABLE];
/// Those of which only [what GRUB says it cannot do](grub_error) has the texts.
pub static GRUB: &[Symptom] = grub::TABLE;

/// What a console shows of what a rule finds: the texts of all symptoms that lead to it.
pub fn texts_of(rule: &str) -> Vec<&'static str> {
    let tables = ANYWHERE.iter().copied().chain([GRUB]);
    let of_rule = tables.flatten().filter(|symptom| symptom.rules.contains(&rule));
    of_rule.flat_map(Symptom::texts).collect()
}

/// What GRUB complains of: `error: no such device: UUID.`, or `error: ../kern/fs.c:122:unknown filesystem.`
pub fn grub_error(line: &str) -> Option<&str> {
    let said = line.strip_prefix("error: ")?;
    let behind_place = said.split_once(".c:").and_then(|(_, rest)| rest.split_once(':'));
    Some(behind_place.map_or(said, |(_, said)| said))
}

/// The symptoms that a line shows, the one that explains most first, one for each meaning. Of texts of three
/// words and more, case, numbers, paths and quoted names may be others than in the table.
pub fn of_line(line: &str) -> Vec<&'static Symptom> {
    let error = line.find("error: ").and_then(|start| grub_error(line.get(start..)?)).map(Line::of);
    let line = Line::of(line);
    let shows = |known: &&Known| match (known.grub, &error) {
        (true, Some(said)) => known.texts.iter().any(|text| said.shows(text)),
        (true, None) => false,
        (false, _) => known.texts.iter().any(|text| line.shows(text)),
    };
    best_first(KNOWN.iter().filter(shows))
}

/// The symptoms that words may be about: what [`of_line`] finds; else those with all of the words in one of
/// their texts, or in what they mean.
pub fn like(words: &str) -> Vec<&'static Symptom> {
    let found = of_line(words);
    if !found.is_empty() {
        return found;
    }
    let wanted: Vec<String> = words_of(words).into_iter().filter(|word| !PLACES.contains(&&**word)).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let has_all = |words: &[String]| wanted.iter().all(|word| words.contains(word));
    let is_like =
        |known: &&Known| known.texts.iter().any(|text| has_all(&text.words)) || has_all(&known.meaning);
    best_first(KNOWN.iter().filter(is_like))
}

/// Reads a console's log, line by line.
#[derive(Debug, Default)]
pub struct Log {
    /// What loaders say means nothing in the mouths of others.
    kernel_speaks: bool,
}

impl Log {
    /// The symptoms that the next line shows.
    pub fn line(&mut self, line: &str) -> Vec<&'static Symptom> {
        let starts = |texts: &[&str]| texts.iter().any(|text| line.contains(text));
        if starts(&["Linux version "]) {
            self.kernel_speaks = true;
        } else if starts(&["SeaBIOS", "BdsDxe: ", "GRUB loading", "Welcome to GRUB", "GNU GRUB"]) {
            // The machine starts anew.
            self.kernel_speaks = false;
        }
        let mut found = of_line(line);
        found.retain(|symptom| !self.is_past(symptom));
        found
    }

    /// Whether the boot got past what this symptom, of an earlier line perhaps, is about.
    pub fn is_past(&self, symptom: &Symptom) -> bool {
        self.kernel_speaks && symptom.hop.is_some_and(|hop| hop <= HopKind::Kernel)
    }
}

/// A symptom, with its texts made ready to be compared.
struct Known {
    symptom: &'static Symptom,
    grub: bool,
    texts: Vec<Line>,
    meaning: Vec<String>,
}

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let anywhere = ANYWHERE.iter().copied().flatten().map(|symptom| (symptom, false));
    let all = anywhere.chain(GRUB.iter().map(|symptom| (symptom, true)));
    let known = all.map(|(symptom, grub)| Known {
        symptom,
        grub,
        texts: symptom.texts().map(Line::of).collect(),
        meaning: words_of(symptom.why),
    });
    known.collect()
});

fn best_first<'a>(known: impl Iterator<Item = &'a Known>) -> Vec<&'static Symptom> {
    let mut all: Vec<_> = known.map(|known| known.symptom).collect();
    all.sort_by_key(|symptom| std::cmp::Reverse(symptom.worth));
    let mut found: Vec<&'static Symptom> = Vec::new();
    for symptom in all {
        if !found.iter().any(|known| known.why == symptom.why) {
            found.push(symptom);
        }
    }
    found
}

/// A line, as it is compared.
struct Line {
    text: String,
    words: Vec<String>,
}

impl Line {
    fn of(text: &str) -> Self {
        Self { text: text.to_owned(), words: words_of(text) }
    }

    /// Whether another's text is in it, or its words are, in their order; of fewer than three words the text
    /// itself has to be.
    fn shows(&self, other: &Self) -> bool {
        let run = &*other.words;
        self.text.contains(&other.text)
            || run.len() >= 3 && self.words.windows(run.len()).any(|window| window == run)
    }
}

/// What stands for any path, and for any name in quotes.
const PLACES: [&str; 2] = ["/", "'"];

/// The words of a line in lower case, without numbers.
fn words_of(line: &str) -> Vec<String> {
    let line = line.to_lowercase();
    let mut words = Vec::new();
    for token in line.split_whitespace() {
        let bare = token.trim_matches(|c: char| !c.is_alphanumeric() && c != '/' && c != '\\');
        let is_path = bare.len() > 1 && (bare.starts_with(['/', '\\']) || bare.contains(".device"));
        let quoted = token.trim_end_matches(['.', ',', ':', ';', ')']);
        let is_quoted =
            quoted.len() > 2 && quoted.starts_with(['"', '\'', '`']) && quoted.ends_with(['"', '\'']);
        if is_path {
            words.push(PLACES[0].to_owned());
        } else if is_quoted {
            words.push(PLACES[1].to_owned());
        } else {
            let pieces = token.split(|c: char| !c.is_alphanumeric()).filter(|piece| !piece.is_empty());
            let is_word = |piece: &&str| !piece.contains(|c: char| c.is_ascii_digit());
            words.extend(pieces.filter(is_word).map(str::to_owned));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules;

    fn why(line: &str) -> &'static str {
        of_line(line).first().map_or("", |symptom| symptom.why)
    }

    #[test]
    fn every_symptom_names_rules_that_are_and_what_to_do() {
        assert!(KNOWN.len() >= 60, "{}", KNOWN.len());
        for Symptom { why, rules, advice, source, .. } in KNOWN.iter().map(|known| known.symptom) {
            for id in *rules {
                assert!(rules::ALL.iter().any(|rule| rule.meta.id == *id), "{why}: there is no rule {id}");
            }
            assert!(advice.len() > 10 && !advice.ends_with('.'), "{why}: {advice:?}");
            assert!(source.is_whole(), "{why}");
        }
    }

    #[test]
    fn every_text_is_found_in_a_line_of_its_own() {
        for Known { symptom, grub, .. } in KNOWN.iter() {
            assert!(symptom.texts().next().is_some(), "{}", symptom.why);
            for text in symptom.texts() {
                let line =
                    if *grub { format!("error: {text}.") } else { format!("[   17.21] x[31]: {text}") };
                let found = of_line(&line);
                assert!(found.iter().any(|found| found.why == symptom.why), "{line}: {found:?}");
                let found = like(text);
                assert!(!found.is_empty(), "{text}");
            }
        }
    }

    #[test]
    fn lines_as_azure_shows_them() {
        let shown = [
            (
                "[  187.10] dracut-initqueue[355]: Warning: dracut-initqueue timeout - starting timeout scripts",
                NO_ROOT,
            ),
            ("[  188.42] dracut-initqueue[355]: Warning: /dev/disk/by-uuid/0fa1-77 does not exist", NO_ROOT),
            ("  Volume group \"vg_main\" not found", NO_ROOT),
            ("ALERT!  UUID=24e7baea does not exist.  Dropping to a shell!", NO_ROOT),
            ("error: no such device: 24e7baea-6b4c.", GRUB[0].why),
            ("error: ../../grub-core/kern/fs.c:122:unknown filesystem.", GRUB[0].why),
            (
                "[    2.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
                "the kernel was started without an initramfs that finds the root",
            ),
            (
                "[ TIME ] Timed out waiting for device dev-disk-by\\x2duuid-77.device - /dev/disk/by-uuid/77.",
                "/etc/fstab names a device that is not there",
            ),
            (
                "[ ***  ] A start job is running for /dev/xvdb (42s / 1min 30s)",
                "/etc/fstab names a device that is not there",
            ),
            (
                "[  241.3] nvme nvme1: I/O 3 QID 14 timeout, completion polled",
                "an NVMe disk does not answer in time",
            ),
            (
                "Bringing up interface eth1:  Device eth1 has different MAC address than expected, ignoring.",
                CARD,
            ),
            (
                "[FAILED] Failed to start sshd.service - OpenSSH server daemon.",
                "the SSH server does not start",
            ),
            ("*** STOP: 0x0000007B (0xFFFFF880009A97E8,0xFFFFFFFFC0000034)", STOP_7B),
            ("Stop code: INACCESSIBLE_BOOT_DEVICE", STOP_7B),
            (
                "    Status: 0xc000000e",
                "the boot configuration names a disk or partition that is not there (0xc000000e)",
            ),
            ("BOOTMGR is missing", "the active partition has no boot manager"),
            (
                "Devices file PVID pYJ4x9 last seen on /dev/nvme1n1p3 not found.",
                "LVM does not look at the disk: its filter or its list of devices is that of EC2",
            ),
        ];
        for (line, meaning) in shown {
            assert_eq!(why(line), meaning, "{line}");
        }
    }

    const STOP_7B: &str = "Windows has no driver for the disk that it is on (stop code 0x7B)";
    const CARD: &str = "the network's configuration is for the card of EC2";

    #[test]
    fn lines_of_a_sound_boot_show_nothing() {
        for line in [
            "[    0.000000] Linux version 6.1.0-50-amd64 (debian-kernel@lists.debian.org)",
            "[  OK  ] Started ssh.service - OpenBSD Secure Shell server.",
            "[  OK  ] Reached target local-fs.target - Local File Systems.",
            "         Starting systemd-fsck-root.service - File System Check on Root Device...",
            "[    3.1] hv_vmbus: Vmbus version:5.2",
            "[ *** ] A start job is running for Hold until boot process finishes up (9s / no limit)",
            "/dev/sda1: clean, 12/34 files",
            "Welcome to Debian GNU/Linux 12 (bookworm) dracut-059-4 (Initramfs)!",
            "ip-10-0-0-4 login: ",
        ] {
            assert_eq!(why(line), "", "{line}");
        }
    }

    #[test]
    fn a_few_words_find_what_they_are_in() {
        assert_eq!(like("dracut-initqueue timeout").first().map(|found| found.why), Some(NO_ROOT));
        assert_eq!(like("No Such Device").first().map(|found| found.why), Some(GRUB[0].why));
        assert!(like("emergency mode").iter().any(|found| found.why.contains("emergency mode")));
        assert!(like("passphrase").iter().any(|found| found.why.contains("encrypted")));
        for words in ["", "/dev/xvda1", "0x7b 12", "the moon is made of green cheese"] {
            assert!(like(words).is_empty(), "{words}");
        }
    }

    #[test]
    fn words_of_loaders_mean_nothing_once_the_kernel_speaks() {
        let mut log = Log::default();
        assert!(!log.line("error: no such device: 24e7baea.").is_empty());
        assert!(log.line("[    0.0] Linux version 6.1").is_empty());
        assert!(log.line("app[3]: Boot error").is_empty());
        assert!(log.line("error: no such device: 24e7baea.").is_empty());
        assert!(!log.line("dracut-initqueue timeout").is_empty());
        let menu = like("Press enter to boot the selected OS");
        assert!(log.is_past(menu[0]), "{menu:?}");
        assert!(log.line("BdsDxe: loading Boot0001").is_empty());
        assert!(!log.line("Boot error").is_empty());
    }
}
