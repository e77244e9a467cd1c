//! ufw: files of rules in the format of iptables, and the chains that its own scripts hang them into (ufw(8),
//! `ufw-init-functions`).

use crate::text::shell_assign;
use crate::{Result, View};

pub(super) const CONFIG: &str = "/etc/ufw/ufw.conf";
pub(super) const UNIT: &str = "ufw.service";
const DEFAULTS: &str = "/etc/default/ufw";
const BEFORE: &str = "/etc/ufw/before.rules";
const AFTER: &str = "/etc/ufw/after.rules";
/// Of these the first that is there counts.
const USER: [&str; 2] = ["/etc/ufw/user.rules", "/lib/ufw/user.rules"];

/// All its rules of IPv4, as iptables takes them; `None` if it is switched off.
pub(super) fn rules(view: &dyn View) -> Result<Option<String>> {
    let get = |file: &str, key: &str| {
        let text = view.text(file)?.unwrap_or_default();
        Ok::<_, crate::Error>(shell_assign::get(&text, key).unwrap_or_default().to_ascii_lowercase())
    };
    if get(CONFIG, "ENABLED")? != "yes" {
        return Ok(None);
    }
    let mut out = "*filter\n".to_owned();
    for (chain, key, default) in
        [("INPUT", "DEFAULT_INPUT_POLICY", "drop"), ("OUTPUT", "DEFAULT_OUTPUT_POLICY", "accept")]
    {
        let policy = get(DEFAULTS, key)?;
        let policy = if policy.is_empty() { default } else { policy.as_str() };
        let policy = if policy == "accept" { "ACCEPT" } else { "DROP" };
        let part = chain.to_ascii_lowercase();
        out += &format!(":{chain} {policy}\n");
        out += &format!(":ufw-skip-to-policy-{part} -\n-A ufw-skip-to-policy-{part} -j {policy}\n");
        for place in ["before", "user", "after"] {
            out += &format!(":ufw-{place}-{part} -\n-A {chain} -j ufw-{place}-{part}\n");
        }
    }
    // They only write logs.
    out += ":ufw-logging-allow -\n:ufw-logging-deny -\n";
    let mut files = vec![BEFORE, AFTER];
    for file in USER {
        if view.exists(file)? {
            files.push(file);
            break;
        }
    }
    for file in files {
        out += &view.text(file)?.unwrap_or_default();
        out.push('\n');
    }
    Ok(Some(out))
}
