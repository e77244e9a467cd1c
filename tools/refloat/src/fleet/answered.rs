//! What the program of a task answered, and what that comes to.

use std::process::ExitStatus;

use serde_json::Value;

use super::state::Stage;
use super::task::Ended;

/// How a program ended that answered so.
pub(super) fn ended(status: ExitStatus, answer: &Value) -> Ended {
    let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    // Whom a signal ends is gone on with like one that was told to stop.
    let code = status.code().map_or(3, |code| u8::try_from(code).unwrap_or(2));
    let why = match (text("error"), answer.get("by_hand").and_then(Value::as_array)) {
        (Some(error), _) => Some(causes(&error, answer)),
        (None, Some(faults)) if code == 1 => Some(by_hand(faults)),
        _ if code == 0 => None,
        _ if code == 1
            && let Some(why) = not_started(answer) =>
        {
            Some(why)
        }
        _ => Some(format!("it ended with {status}")),
    };
    let help = text("help").or_else(|| (code == 1).then(|| "mend the machine, or leave it out".to_owned()));
    Ended { stage: Stage::of_exit(code), why, help }
}

/// The snapshots of AWS that an answer is about, in the order of the disks.
pub(super) fn snapshots(answer: &Value) -> Vec<&str> {
    let disks = answer.get("source").and_then(Value::as_array).into_iter().flatten();
    disks.filter_map(|disk| disk.get("address")?.as_str()?.strip_prefix("ebs:")).collect()
}

/// The snapshot's own part of its address.
pub(super) fn id(address: &str) -> &str {
    address.split('@').next().unwrap_or(address)
}

/// The same as they are typed behind `--since`, if all of its disks are such.
pub(super) fn since(answer: &Value) -> Option<String> {
    let all = snapshots(answer);
    let disks = answer.get("source").and_then(Value::as_array).map_or(0, Vec::len);
    let ids: Vec<&str> = all.iter().map(|address| id(address)).collect();
    let region = all.first().filter(|_| ids.len() == disks)?.split_once('@').map(|(_, region)| region);
    let region = region.map(|region| format!("@{region}")).unwrap_or_default();
    Some(format!("ebs:{}{region}", ids.join(",")))
}

/// Why a test machine did not come to its login, or was not made.
fn not_started(answer: &Value) -> Option<String> {
    if let Some(faults) = answer.pointer("/migrated/by_hand").and_then(Value::as_array)
        && answer.get("test").is_none()
    {
        return Some(by_hand(faults));
    }
    let text = |at: &str| answer.pointer(at).and_then(Value::as_str);
    let hop = text("/test/hop").map(|hop| format!(" at the {hop}")).unwrap_or_default();
    Some(format!("does not boot in Azure: it stops{hop}: {}", text("/test/why")?))
}

/// An error and why.
fn causes(error: &str, answer: &Value) -> String {
    let causes = answer.get("causes").and_then(Value::as_array).into_iter().flatten();
    std::iter::once(error).chain(causes.filter_map(Value::as_str)).collect::<Vec<_>>().join(": ")
}

/// The rules of what has to be mended by hand.
fn by_hand(faults: &[Value]) -> String {
    let mut rules: Vec<&str> = faults.iter().filter_map(|fault| fault.get("rule")?.as_str()).collect();
    rules.dedup();
    if rules.is_empty() { "it is not ready".to_owned() } else { format!("not ready: {}", rules.join(", ")) }
}
