//! Who works here, for the record.

use std::fs::read_to_string;

use rustix::process::getuid;

/// The name of the user: as an engine or a shell has it, or else by the number of the user, or that number.
pub(super) fn user() -> String {
    let named = ["SLURM_JOB_USER", "USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    named.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| {
        let id = getuid().as_raw().to_string();
        let users = read_to_string("/etc/passwd").unwrap_or_default();
        name_of(&users, &id).map_or(id.clone(), str::to_owned)
    })
}

/// The name in passwd(5), `NAME:PASSWORD:UID:…`.
fn name_of<'a>(users: &'a str, id: &str) -> Option<&'a str> {
    let name = |line: &'a str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1) == Some(id)).then_some(name)
    };
    users.lines().find_map(name)
}

/// Who works here: no two processes are the same.
pub(super) fn owner() -> String {
    let host = read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let engine = super::engine::task().map(|task| format!(", {task}")).unwrap_or_default();
    format!("process {} on {}{engine}", std::process::id(), host.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_by_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\n\nbroken\nops:x:1000:0::/:/bin/sh\n";
        assert_eq!(["0", "1000", "10"].map(|id| name_of(users, id)), [Some("root"), Some("ops"), None]);
    }
}
