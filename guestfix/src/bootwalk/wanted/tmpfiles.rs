//! What systemd-tmpfiles takes away at each start, makes or gives another mode, by lines of the administrator's
//! (tmpfiles.d(5)).

use crate::systemd::needs::Fault;
use crate::{Result, View, glob};

const DIRS: &[&str] = &["/etc/tmpfiles.d", "/usr/local/lib/tmpfiles.d"];
/// What the logins need, and what they need in it.
const NEEDED: &[&str] = &[
    "/boot/grub",
    "/etc/fstab",
    "/etc/pam.d",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/ssh/sshd_config",
    "/etc/systemd/system",
    "/home",
    "/root/.ssh/authorized_keys",
    "/usr/bin",
    "/usr/lib/systemd",
    "/usr/sbin/sshd",
];

/// While it is there nobody but root may log in.
const NO_LOGINS: &str = "/etc/nologin";
const SSH: &str = "/etc/ssh";

/// One line.
struct Line {
    /// File and number.
    place: String,
    kind: char,
    path: String,
    mode: Option<u16>,
    text: String,
}

impl Line {
    /// Whether it takes a file away.
    fn takes(&self, needed: &str) -> bool {
        match self.kind {
            // a file, or an empty folder
            'r' => glob::matches(&self.path, needed),
            // all below it, too
            'R' | 'D' => self.has_below(needed),
            _ => false,
        }
    }

    /// Whether it is for a file, or for a folder that this is in.
    fn has_below(&self, file: &str) -> bool {
        let above = file.match_indices('/').filter_map(|(at, _)| file.get(..at));
        above.chain([file]).any(|part| !part.is_empty() && glob::matches(&self.path, part))
    }

    /// Whether it gives a file that is there a mode.
    fn sets_mode(&self, file: &str) -> bool {
        match self.kind {
            'z' | 'm' | 'f' | 'F' => glob::matches(&self.path, file),
            'Z' => self.has_below(file),
            _ => false,
        }
    }
}

fn lines(view: &dyn View) -> Result<Vec<Line>> {
    let mut out = Vec::new();
    for dir in DIRS {
        for file in view.glob(dir, ".conf")? {
            let text = view.text(&file)?.unwrap_or_default();
            for (number, line) in text.lines().enumerate() {
                let mut words = line.split_whitespace();
                let (Some(kind), Some(path)) = (words.next(), words.next()) else { continue };
                let Some(kind) = kind.chars().next().filter(|kind| *kind != '#') else { continue };
                // "~0644" leaves out what the file does not have now.
                let mode =
                    words.next().and_then(|mode| u16::from_str_radix(mode.trim_start_matches(':'), 8).ok());
                out.push(Line {
                    place: format!("{file}:{}", number.saturating_add(1)),
                    kind,
                    path: path.trim_matches(['"', '\'']).trim_end_matches('/').to_owned(),
                    mode,
                    text: line.trim().to_owned(),
                });
            }
        }
    }
    Ok(out)
}

/// The line that takes a file away.
pub(in crate::bootwalk) fn takes_away(view: &dyn View, file: &str) -> Result<Option<Fault>> {
    let line = lines(view)?.into_iter().find(|line| line.takes(file));
    Ok(line.map(|line| Fault::sure(&line.place, format!("it takes {file} away at the start: {}", line.text))))
}

/// The line that takes away what the logins need, or keeps them from it.
pub(super) fn fault(view: &dyn View) -> Result<Option<Fault>> {
    let lines = lines(view)?;
    let keys = view.glob(SSH, "_key")?;
    for line in &lines {
        for needed in NEEDED.iter().filter(|needed| line.takes(needed)) {
            if view.exists(needed)? {
                let why = format!("it takes {needed} away at the start: {}", line.text);
                return Ok(Some(Fault::sure(&line.place, why)));
            }
        }
        if matches!(line.kind, 'f' | 'F' | 'C' | 'L' | 'w' | 'd') && line.path == NO_LOGINS {
            let why = format!("while {NO_LOGINS} is there nobody but root may log in: {}", line.text);
            return Ok(Some(Fault::sure(&line.place, why)));
        }
        if line.mode.is_some_and(|mode| mode & 0o037 != 0)
            && let Some(key) = keys.iter().find(|key| line.sets_mode(key))
        {
            let why = format!("sshd takes no host key that others may read, as {key} then is: {}", line.text);
            return Ok(Some(Fault::sure(&line.place, why)));
        }
    }
    Ok(None)
}
