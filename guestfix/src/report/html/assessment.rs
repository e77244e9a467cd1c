//! The parts of the page that are about the machine in Azure: what further packs say, its size and disks, what
//! changed since an earlier report.

use std::fmt::Write;

use super::{EVIDENCE, capital, scrolled, sentence, size};
use crate::Severity;
use crate::plan::{Item, Remedy, Verdict};
use crate::report::escape::escape_html;
use crate::report::{Report, Suitability, code, counted};
use crate::rules::packs::RulePack;

/// What the further packs say, each by itself: the verdict, then a line for each finding.
pub(super) fn packs(report: &Report) -> String {
    let mut body = String::new();
    for pack in &report.check.packs {
        let tone = match pack.verdict {
            Suitability::Ready => "good",
            Suitability::NotReady => "bad",
            Suitability::ConditionallyReady | Suitability::ReadinessUnknown => "warn",
        };
        let title = RulePack::of(pack.pack).map_or("", |pack| pack.title);
        let _ = writeln!(
            body,
            "<div class=\"group {tone}\"><h3>{}: {}</h3>\n<p>{}? <span class=\"soft\">Version {}, of {}: {} ok, {} not \
             applicable.</span></p>",
            pack.pack,
            pack.verdict.words(),
            capital(title.trim_end_matches('?')),
            pack.version,
            pack.date,
            pack.count.ok,
            pack.count.not_applicable
        );
        let mut rows = String::new();
        for item in pack
            .items
            .iter()
            .filter(|item| !matches!(item.verdict, Verdict::Ok | Verdict::NotApplicable { .. }))
        {
            rows += &assessed(report, item);
        }
        if !rows.is_empty() {
            let table = format!(
                "<table><thead><tr><th scope=\"col\">rule</th><th scope=\"col\">what was found</th>\
                 <th scope=\"col\">what to do</th></tr></thead><tbody>\n{rows}</tbody></table>"
            );
            body += &scrolled(&format!("Findings of {}", pack.pack), &table);
        }
        body += "</div>\n";
    }
    body
}

/// What it would get on Azure, and what its data costs on the way.
pub(super) fn sizing(report: &Report) -> String {
    let Some(it) = &report.sizing else { return String::new() };
    let mut body = String::new();
    if let Some(instance) = &it.instance {
        let gib = instance.memory_mib as f64 / 1024.0;
        let _ = writeln!(
            body,
            "<p>It ran on <code>{}</code>: {} and {gib:.0} GiB of memory.</p>",
            escape_html(&instance.kind),
            counted(usize::try_from(instance.vcpus).unwrap_or(usize::MAX), "processor")
        );
        if let Some(why) = &it.no_size {
            let _ = writeln!(body, "<p>No size is chosen: {}.</p>", escape_html(why));
        }
        let mut rows = String::new();
        for size in &it.sizes {
            let gib = size.memory_mib as f64 / 1024.0;
            let name = escape_html(&size.name);
            let price = it.prices.as_ref().map(|list| escape_html(&list.month(&size.name)));
            let price = price.map(|price| format!("<td class=\"num\">{price}</td>")).unwrap_or_default();
            let _ = writeln!(
                rows,
                "<tr><td><code>{name}</code></td><td class=\"num\">{}</td><td class=\"num\">{gib:.0} GiB</td>{price}</tr>",
                size.vcpus
            );
        }
        let price = it.prices.as_ref().map_or("", |_| "<th scope=\"col\" class=\"num\">price</th>");
        let head = format!(
            "<tr><th scope=\"col\">size</th><th scope=\"col\" class=\"num\">processors</th>\
             <th scope=\"col\" class=\"num\">memory</th>{price}</tr>"
        );
        let table = format!("<table><thead>{head}</thead><tbody>\n{rows}</tbody></table>");
        if !it.sizes.is_empty() {
            body += &scrolled("Sizes that hold it", &table);
        }
        if let Some(list) = &it.prices {
            let _ = writeln!(body, "<p class=\"soft\">Prices: {}.</p>", escape_html(&list.source()));
        }
    } else {
        body += "<p>Its type of instance is not known, so no size is chosen: <code>--instance-type m5.large</code> \
                 says it.</p>\n";
    }
    let mut rows = String::new();
    for (number, disk) in (1..).zip(&it.disks) {
        let _ = writeln!(
            rows,
            "<tr><td>disk {number}</td><td class=\"num\">{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            size(disk.size),
            escape_html(&disk.premium()),
            escape_html(&disk.standard()),
            escape_html(&disk.chosen_by())
        );
    }
    let head = "<tr><th scope=\"col\">disk</th><th scope=\"col\" class=\"num\">size</th>\
                <th scope=\"col\">as Premium SSD</th><th scope=\"col\">as Standard SSD</th>\
                <th scope=\"col\">chosen by</th></tr>";
    let table = format!("<table><thead>{head}</thead><tbody>\n{rows}</tbody></table>");
    body += &scrolled("Tiers of the disks", &table);
    if let Some(cost) = &it.cost {
        let _ = writeln!(
            body,
            "<p>To move {} costs {} <span class=\"soft\">({})</span>.</p>",
            size(cost.bytes),
            cost.at_most(),
            escape_html(&cost.source)
        );
    }
    let _ = writeln!(
        body,
        "<p class=\"soft\">{}. {}.</p>",
        capital(it.confidence),
        escape_html(&it.sources.join(". "))
    );
    body
}

/// What changed since an earlier report, and who answers for what.
pub(super) fn drift(report: &Report) -> String {
    let mut body = String::new();
    if let Some(drift) = &report.drift {
        let _ = write!(body, "<p>Since the report on <code>{}</code>:</p>\n<pre>", escape_html(&drift.since));
        for (class, sign, list) in [("del", "+", &drift.appeared), ("add", "-", &drift.gone)] {
            for it in list {
                let line = format!("{sign} {}{}  {}: {}", it.rule, drift.why_new(it), it.place, it.what);
                let line = escape_html(&line);
                let _ = writeln!(body, "<span class=\"{class}\">{line}</span>");
            }
        }
        for hop in &drift.boot {
            let was = hop.was.iter().map(|text| format!("- boot walk, {}: {text}", hop.kind));
            let is = hop.is.iter().map(|text| format!("+ boot walk, {}: {text}", hop.kind));
            was.chain(is).for_each(|line| body += &(escape_html(&line) + "\n"));
        }
        body += if drift.is_empty() { "nothing changed</pre>\n" } else { "</pre>\n" };
    }
    if let Some(gate) = &report.gate {
        let waived = gate.waived.iter().map(|it| (it, "waived"));
        let expired = gate.expired.iter().map(|it| (it, "expired, and counts no more"));
        for (it, word) in waived.chain(expired) {
            let text = format!("{}: {word} (by {}, until {}: {})", it.rule, it.owner, it.expires, it.reason);
            let _ = writeln!(body, "<p>{}</p>", escape_html(&text));
        }
    }
    body
}

/// A finding of a further pack, as a row.
fn assessed(report: &Report, item: &Item) -> String {
    let (evidence, todo) = match &item.verdict {
        Verdict::Wrong { evidence, remedy: Remedy::ByHand { what } } => (evidence, what.as_str()),
        Verdict::Wrong { evidence, remedy: Remedy::Fix } => (evidence, "a plan fixes it"),
        _ => (&item.unread, "find out why it cannot be read"),
    };
    let (tone, severity) = match item.severity {
        Severity::Blocker => ("bad", "blocker"),
        Severity::Warning => ("warn", "warning"),
        Severity::Note => ("note", "note"),
    };
    let code = code(item.rule, report.check.facts.os.peek().as_ref());
    let code = code.map(|code| format!("<br><code class=\"soft\">{code}</code>")).unwrap_or_default();
    let told: Vec<String> = evidence
        .iter()
        .take(EVIDENCE)
        .map(|it| format!("<code>{}</code>: {}", escape_html(&it.place.to_string()), escape_html(&it.what)))
        .collect();
    format!(
        "<tr id=\"{id}\"><td class=\"rule\"><code>{id}</code>{code}<br><span class=\"chip {tone}\">{severity}</span></td><td>{}</td>\
         <td>{}</td></tr>\n",
        told.join("<br>"),
        sentence(todo),
        id = item.rule
    )
}
