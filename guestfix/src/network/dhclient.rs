//! What dhclient is told: whose answers it takes, and what it asks for (dhclient.conf(5)).

use std::net::Ipv4Addr;

use crate::text::lines;
use crate::{Result, View};

const FILES: [&str; 4] = [
    "/etc/dhcp/dhclient.conf",
    "/etc/dhcp/dhclient-eth0.conf",
    "/etc/dhclient.conf",
    "/etc/dhclient-eth0.conf",
];
/// The server of Azure.
const SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// Why it gets no address and router from the server of the target.
pub(super) fn fault(view: &dyn View) -> Result<Option<String>> {
    for file in FILES {
        let Some(text) = view.text(file)? else { continue };
        let text: String = lines(&text)
            .map(|line| line.body.split('#').next().unwrap_or_default())
            .flat_map(|line| [line, " "])
            .collect();
        let mut is_elsewhere = false;
        for statement in text.split_inclusive([';', '{', '}']) {
            // What is said of another card.
            if let Some(card) = statement.trim().strip_prefix("interface ") {
                is_elsewhere = !card.contains("\"eth0\"");
            }
            let is_end = statement.ends_with('}');
            if is_elsewhere {
                is_elsewhere = !is_end;
                continue;
            }
            let statement = statement.trim_end_matches([';', '{', '}']);
            let words: Vec<&str> = statement
                .split(|c: char| c.is_whitespace() || c == ',')
                .filter(|word| !word.is_empty())
                .collect();
            match words.as_slice() {
                ["reject", nets @ ..] if nets.iter().any(|net| has_server(net)) => {
                    return Ok(Some(format!("{file} has dhclient take no answer of the target's server")));
                }
                ["request", options @ ..] if !options.contains(&"routers") => {
                    return Ok(Some(format!("{file} has dhclient ask for no router")));
                }
                ["supersede", "routers" | "subnet-mask", ..] => {
                    return Ok(Some(format!(
                        "{file} has dhclient set aside what the server says of the net"
                    )));
                }
                _ => {}
            }
        }
    }
    Ok(None)
}

/// Whether an address or a net has the server.
fn has_server(net: &str) -> bool {
    let (address, len) = net.split_once('/').unwrap_or((net, "32"));
    let (Ok(address), Ok(len)) = (address.parse::<Ipv4Addr>(), len.parse::<u32>()) else { return false };
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(len)).unwrap_or(0);
    u32::from(address) & mask == u32::from(SERVER) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_net_has_the_server_or_not() {
        for net in ["0.0.0.0/0", "168.63.129.16", "168.0.0.0/8"] {
            assert!(has_server(net), "{net}");
        }
        for net in ["192.168.0.0/16", "10.0.0.1", "x", "168.63.129.17/32"] {
            assert!(!has_server(net), "{net}");
        }
    }
}
