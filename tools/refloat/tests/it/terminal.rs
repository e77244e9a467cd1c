//! What reaches a terminal: whatever is in a guest, and whatever a user types, nothing of it steers one.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use guestfix::report::escape::steers;
use testimages::{judge, synthetic};

use crate::program::command;

/// Where the file system of the demo's guest begins, and its size.
const START: u64 = 1 << 20;
const KIB: u64 = 31 << 10;

/// What guests are made of here: each steers a terminal in its own way.
const PIECES: &[&str] = &[
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x1b[31m",
    "\u{9b}31m",
    "\u{9d}0;x\u{9c}",
    "\u{202e}",
    "\u{2066}",
    "\u{200f}",
    "\u{61c}",
    "\u{2028}",
    "\u{7f}",
    "\r",
    "\x08\x08",
    "\x0b",
    "\x0e",
    "\u{85}",
    "plain",
    "Grüße",
    "日本",
    "{}",
    "\\n",
];

struct Hostile(fastrand::Rng);

impl Hostile {
    fn text(&mut self) -> String {
        (0..self.0.usize(2..6)).map(|_| PIECES[self.0.usize(..PIECES.len())]).collect()
    }

    /// Not only text: a name is any bytes but two.
    fn name(&mut self) -> Vec<u8> {
        let mut name = self.text().into_bytes();
        match self.0.u8(0..3) {
            0 => name.push(0xe9),
            1 => name.extend(b"\nready\n"),
            _ => {}
        }
        name
    }

    /// A text file of the guest with something in every line.
    fn dirty(&mut self, path: &Path) {
        let Ok(text) = fs::read_to_string(path) else { return };
        let lines = text.lines().map(|line| match line.starts_with(['#', ' ', '\t']) {
            true => format!("{line} {}\n", self.text()),
            false => format!("{line}\n"),
        });
        let lines: String = lines.collect();
        fs::write(path, format!("{lines}# {}\n", self.text())).unwrap();
    }
}

/// The demo's guest, with hostile names and contents wherever people look.
fn guest(folder: &Path, seed: u64) -> Option<PathBuf> {
    if !judge::need_all(&["debugfs", "mke2fs"]) {
        return None;
    }
    let image = synthetic::demo().copy_into(folder)?;
    let root = folder.join("root");
    fs::create_dir(&root).unwrap();
    let at = format!("{}?offset={START}", image.display());
    judge::run(judge::tool("debugfs").args(["-R", &format!("rdump / {}", root.display()), &at]));
    let mut hostile = Hostile(fastrand::Rng::with_seed(seed));
    let path = |name: &str| root.join(name);
    for name in ["etc/fstab", "boot/grub/grub.cfg", "etc/default/grub", "etc/network/interfaces"] {
        hostile.dirty(&path(name));
    }
    let add = |name: &str, text: String| {
        let before = fs::read_to_string(path(name)).unwrap_or_default();
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        fs::write(path(name), before + &text).unwrap();
    };
    let [a, b, c, d, e, f] = std::array::from_fn(|_| hostile.text().replace(['\r', '\u{b}', '\n'], ""));
    add(
        "etc/fstab",
        format!("/dev/xvdf{a} /data{b} ext4 defaults 0 2\nLABEL={c} /mnt{d} xfs defaults 0 0\n"),
    );
    add("etc/hostname", format!("{a}\n"));
    add("etc/os-release", format!("PRETTY_NAME=\"Debian {e}\"\n"));
    let entry = format!("menuentry '{f}' {{\n linux /vmlinuz root=/dev/xvda1 {a}\n initrd /initrd.img\n}}\n");
    add("boot/grub/grub.cfg", entry);
    add("etc/netplan/x.yaml", format!("network:\n  ethernets:\n    {b}ens5:\n      dhcp4: true\n"));
    for _ in 0..8 {
        let name = hostile.name();
        fs::write(path("etc").join(OsStr::from_bytes(&name)), hostile.text()).unwrap();
        let link = path("etc").join(OsStr::from_bytes(&[b"link", &hostile.name()[..]].concat()));
        drop(symlink(OsStr::from_bytes(&hostile.name()), link));
        let modules = path("lib/modules").join(OsStr::from_bytes(&hostile.name()));
        fs::create_dir_all(modules).unwrap();
    }
    let label = format!("{:.4}\x1b[31m\u{9b}", seed);
    let options = format!("offset={START},root_owner=0:0");
    let mut mke2fs = judge::tool("mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-L", &label, "-E", &options, "-d"]).arg(&root).arg(&image);
    judge::run(mke2fs.arg(KIB.to_string()));
    fs::remove_dir_all(root).unwrap();
    Some(image)
}

/// Runs the program, and looks at every character that it writes.
#[track_caller]
fn harmless(folder: &Path, line: &[&str]) -> String {
    let output = command(folder, "").args(line).output().unwrap();
    for (stream, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        let text =
            std::str::from_utf8(bytes).unwrap_or_else(|error| panic!("refloat {line:?}: {stream}: {error}"));
        let bad = text.char_indices().find(|(_, c)| steers(*c) && !matches!(c, '\n' | '\t'));
        if let Some((at, c)) = bad {
            let around: String =
                text[..at].chars().rev().take(80).collect::<Vec<_>>().into_iter().rev().collect();
            panic!("refloat {line:?}: {stream} holds {c:?} after {around:?}");
        }
    }
    assert!(output.status.code().is_some_and(|code| code < 3), "refloat {line:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn no_verb_hands_a_terminal_what_is_in_a_guest() {
    for seed in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let Some(image) = guest(folder.path(), seed) else { return };
        let image = image.file_name().unwrap().to_str().unwrap();
        let (folder, at) = (folder.path(), |path: &str| format!("{image}#{path}"));
        let (etc, fstab) = (at("/etc"), at("/etc/fstab"));
        let listing = harmless(folder, &["fs", "ls", &etc]);
        assert!(listing.contains("\\u{") && !listing.contains("\nready"), "{listing}");
        harmless(folder, &["plan", image, "--for", "azure-gen1", "-o", "plan.json"]);
        for line in [
            &["inspect", image][..],
            &["check", image, "--for", "azure-gen1"],
            &["check", image, "--for", "azure-gen2"],
            &["plan", image, "--for", "azure-gen1"],
            &["fs", "ls", &etc],
            &["fs", "stat", &fstab],
            &["fs", "diff", image, image],
            &["apply", "plan.json", "-o", "fixed.qcow2", "--force"],
            &["convert", image, "out.vhd", "--force"],
            &["verify", "out.vhd", image],
            &["migrate", image, "out.vhd", "--for", "azure-gen1", "--force", "--allow-blockers"],
            &["undo", image],
        ] {
            harmless(folder, line);
            harmless(folder, &[line, &["-v"]].concat());
            harmless(folder, &[line, &["-vvv"]].concat());
            let json = harmless(folder, &[line, &["--json"]].concat());
            assert!(json.is_empty() || serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
        }
        harmless(folder, &["fs", "cat", &fstab, "--json"]);
    }
}

/// What is typed comes back in errors.
#[test]
fn no_error_hands_a_terminal_what_was_typed() {
    let folder = tempfile::tempdir().unwrap();
    let name = "a\x1b[2J\u{202e}\u{9b}.img";
    let at = format!("{name}#/\x1b[31m");
    fs::write(folder.path().join(name), [0; 5000]).unwrap();
    for line in [
        &["inspect", name][..],
        &["check", name, "--for", "azure-gen1"],
        &["check", name, "--for", name],
        &["fs", "cat", &at],
        &["plan", "none\x1b[31m", "--for", "azure-gen1"],
        &["apply", name, "-o", "x.qcow2"],
        &["convert", name, "out\x1b[31m"],
        &["verify", name],
        &["undo", name],
        &["rules", name],
        &[name],
    ] {
        harmless(folder.path(), line);
        harmless(folder.path(), &[line, &["--json"]].concat());
    }
}

/// Only `present/` may write to a stream: what goes past it is not escaped.
#[test]
fn nothing_is_written_past_the_one_place_that_escapes() {
    fn look(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("present") {
                    look(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                for word in ["io::stdout", "io::stderr", "print!(", "println!(", "ProgressDrawTarget"] {
                    if text.contains(word) {
                        found.push(format!("{}: {word}", path.display()));
                    }
                }
            }
        }
    }
    let mut found = Vec::new();
    look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.is_empty(), "{found:#?}");
}
