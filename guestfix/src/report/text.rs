//! A report for people.

use super::{Drift, Ink, Line, Page, Report, Suitability, Waiver, counted};
use crate::Severity;
use crate::bootwalk::Walk;
use crate::handover::licence::Note;
use crate::plan::{Assessed, Check, Count, Item, Remedy, Verdict};
use crate::registry;
use crate::rule::Evidence;
use crate::sizing::Sizing;

/// Columns before what a finding says: the longest severity and a gap.
const INDENT: usize = 9;

impl Report {
    /// The report as lines for people, without what to do next; `all` shows every piece of evidence, not the
    /// first alone.
    pub fn page(&self, all: bool) -> Page {
        let mut page = Page::new();
        page.line(Line::default().ink(Ink::Heading, self.guest.to_string()).hang(2));
        page.gap();
        let unknown = unknown(&self.check);
        for severity in [Severity::Blocker, Severity::Warning, Severity::Note] {
            for (item, evidence, remedy) in self.check.faults(severity) {
                fault(&mut page, item, evidence, remedy, all);
            }
            for (unread, items) in unknown.iter().filter(|(_, items)| gravest(items) == Some(severity)) {
                unreadable(&mut page, severity, unread, items, all);
            }
        }
        let Count { ok, not_applicable, unknown, .. } = self.count;
        page.line(
            label(Ink::Good, "ok").text(format!("{ok}, not applicable {not_applicable}, unknown {unknown}")),
        );
        page.gap();
        self.walk(&mut page, all);
        for shortage in &self.check.shortages {
            page.prose(0, format!("no room for the fixes: {shortage}"));
        }
        page.prose(0, format!("support: {}", self.supported.why));
        for Note { subject, what } in &self.licence {
            page.prose(0, format!("licence: {subject}: {what}"));
        }
        for pack in &self.check.packs {
            self.pack(&mut page, pack, all);
        }
        if let Some(sizing) = &self.sizing {
            self::sizing(&mut page, sizing);
        }
        if let Some(drift) = &self.drift {
            self::drift(&mut page, drift);
        }
        for waiver in self.gate.iter().flat_map(|gate| &gate.waived) {
            let Waiver { rule, owner, expires, reason } = waiver;
            page.prose(0, format!("waived: {rule}, by {owner} until {expires}: {reason}"));
        }
        for waiver in self.gate.iter().flat_map(|gate| &gate.expired) {
            let Waiver { rule, owner, expires, .. } = waiver;
            page.prose(0, format!("waiver expired: {rule}, by {owner}, on {expires}: it counts no more"));
        }
        for remark in &self.remarks {
            page.prose(0, format!("note: {remark}"));
        }
        page
    }

    /// What a further pack says: its verdict, and what it found if that was asked for.
    fn pack(&self, page: &mut Page, pack: &Assessed, all: bool) {
        let ink = match pack.verdict {
            Suitability::Ready => Ink::Good,
            Suitability::NotReady => Ink::Bad,
            Suitability::ConditionallyReady | Suitability::ReadinessUnknown => Ink::Warning,
        };
        let count = |severity: Severity, name: &str| {
            let found = |item: &&Item| {
                item.severity == severity && matches!(item.verdict, Verdict::Wrong { .. } | Verdict::Unknown)
            };
            match pack.items.iter().filter(found).count() {
                0 => None,
                count => Some(counted(count, name)),
            }
        };
        let counts =
            [(Severity::Blocker, "blocker"), (Severity::Warning, "warning"), (Severity::Note, "note")];
        let counts: Vec<String> =
            counts.into_iter().filter_map(|(severity, name)| count(severity, name)).collect();
        let counts = if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) };
        let words = pack.verdict.words().to_lowercase();
        let line = Line::new(format!("{} of {}: ", pack.pack, pack.date)).ink(ink, words);
        let hidden = if counts.is_empty() || all || self.detailed { "" } else { ", shown by -v" };
        page.line(line.text(format!("{counts}{hidden}")).hang(2));
        if all || self.detailed {
            for item in &pack.items {
                let Verdict::Wrong { evidence, remedy } = &item.verdict else {
                    item.unread
                        .iter()
                        .for_each(|unread| unreadable(page, item.severity, unread, &[item], all));
                    continue;
                };
                fault(page, item, evidence, remedy, all);
            }
        }
    }

    /// Where the boot stops, which no rule says.
    fn stop(&self) -> String {
        self.check.walk.chain().why().unwrap_or_else(|| "nobody can tell how it boots".to_owned())
    }

    /// The boot walk: a line, or each hop and the other entries of the menu.
    fn walk(&self, page: &mut Page, all: bool) {
        let Check { walk, walk_after_fix, .. } = &self.check;
        page.line(Line::new(format!("boot walk: {}", walk.chain())).hang(2));
        if all {
            hops(page, walk);
        }
        if let Some(after) = walk_after_fix.as_ref().filter(|after| after.chain() != walk.chain()) {
            page.line(Line::new(format!("with the fixes: {}", after.chain())).hang(2));
        }
    }

    /// Whether a plan would change anything for the better.
    pub fn fixes_something(&self) -> bool {
        let severities = [Severity::Blocker, Severity::Warning, Severity::Note];
        let mut faults = severities.iter().flat_map(|severity| self.check.faults(*severity));
        faults.any(|(_, _, remedy)| *remedy == Remedy::Fix)
    }

    /// The answer in a line: "not ready: 2 blockers, both fixable".
    pub fn answer(&self) -> String {
        let warnings = self.check.faults(Severity::Warning).count();
        let blockers: Vec<_> = self.check.faults(Severity::Blocker).map(|(_, _, remedy)| remedy).collect();
        let by_hand = blockers.iter().filter(|remedy| ***remedy != Remedy::Fix).count();
        let unknown = self.check.unknown().filter(|item| item.severity == Severity::Blocker).count();
        let blind = format!("{} cannot tell", counted(unknown, "rule"));
        let count = match (blockers.len(), unknown) {
            (0, 1..) => return format!("not ready: {blind}"),
            (0, 0) if !self.ready => return format!("not ready: {}", self.stop()),
            (blockers, 0) => counted(blockers, "blocker"),
            (blockers, _) => format!("{blind}, {}", counted(blockers, "blocker")),
        };
        let sentence = match (blockers.len(), by_hand) {
            (0, _) if warnings == 0 => return "ready".to_owned(),
            (0, _) => return format!("ready, with {}", counted(warnings, "warning")),
            (1, 0) => format!("not ready: {count}, fixable"),
            (2, 0) => format!("not ready: {count}, both fixable"),
            (_, 0) => format!("not ready: {count}, all fixable"),
            (1, 1) => return format!("not ready: {count}, which needs a manual fix"),
            (all, by_hand) if all == by_hand => {
                return format!("not ready: {count}, which need a manual fix");
            }
            (_, 1) => return format!("not ready: {count}, 1 of them needs a manual fix"),
            (_, by_hand) => return format!("not ready: {count}, {by_hand} of them need a manual fix"),
        };
        // All that the rules have found is fixed, and that is not enough.
        match self.check.after_fix().chain().why() {
            Some(why) => format!("{sentence}, but then {why}"),
            None => sentence,
        }
    }
}

/// The size and the disks that it would get, in a line each.
fn sizing(page: &mut Page, it: &Sizing) {
    let name = |name: &String| match &it.prices {
        Some(list) => format!("{name} ({})", list.month(name)),
        None => name.clone(),
    };
    let names: Vec<String> = it.sizes.iter().map(|size| name(&size.name)).collect();
    if let (Some(instance), Some((first, others))) = (&it.instance, names.split_first()) {
        let others = if others.is_empty() { String::new() } else { format!(", or {}", others.join(" or ")) };
        page.prose(0, format!("size: {first} for {}{others} ({})", instance.kind, it.confidence));
    }
    if let Some(why) = &it.no_size {
        page.prose(0, format!("size: none: {why}"));
    }
    if let Some(list) = &it.prices {
        page.prose(0, format!("prices: {}", list.source()));
    }
    let asked = it.instance.is_some() || it.disks.iter().any(|disk| disk.given.is_some());
    for (number, disk) in (1..).zip(it.disks.iter().filter(|_| asked)) {
        let (premium, standard) = (disk.premium(), disk.standard());
        let what = format!("Premium SSD {premium}, or Standard SSD {standard}, by {}", disk.chosen_by());
        page.prose(0, format!("disk {number}: {what}"));
    }
    if let Some(cost) = &it.cost {
        page.prose(0, format!("cost of the move: {} ({})", cost.at_most(), cost.source));
    }
}

/// What changed since an earlier report.
fn drift(page: &mut Page, it: &Drift) {
    if it.is_empty() {
        return page.prose(0, format!("since the report on {}: nothing changed", it.since));
    }
    page.prose(0, format!("since the report on {}:", it.since));
    for (sign, ink, list) in [("+", Ink::Removed, &it.appeared), ("-", Ink::Added, &it.gone)] {
        for found in list {
            page.line(
                Line::default()
                    .ink(ink, format!("  {sign} {}", found.rule))
                    .text(format!("{}  {}: {}", it.why_new(found), found.place, found.what))
                    .hang(4),
            );
        }
    }
    for hop in &it.boot {
        for (sign, list) in [("-", &hop.was), ("+", &hop.is)] {
            for text in list {
                page.line(Line::new(format!("  {sign} boot walk, {}: {text}", hop.kind)).hang(4));
            }
        }
    }
}

/// Every hop of a walk, the default entry's before those of other entries.
fn hops(page: &mut Page, walk: &Walk) {
    let mut line = |indent: usize, text: String| {
        page.line(Line::new(format!("{:indent$}{text}", "")).hang(indent + 2));
    };
    for hop in walk.hops() {
        line(2, hop.to_string());
    }
    for route in walk.routes.iter().filter(|route| !route.entry.default) {
        line(2, format!("another entry, {}: {}", route.entry.place, route.entry.title));
        for hop in route.hops.iter().filter(|hop| !hop.is_reached()) {
            line(4, hop.to_string());
        }
    }
}

/// One fault: its rule, what shows it, and what to do by hand.
fn fault(page: &mut Page, item: &Item, evidence: &[Evidence], remedy: &Remedy, all: bool) {
    let fixable = if *remedy == Remedy::Fix { "can fix" } else { "by hand" };
    page.line(severity(item.severity).text(item.rule).ink(Ink::Faint, format!("  {fixable}")));
    self::evidence(page, INDENT, evidence, all);
    if let Remedy::ByHand { what } = remedy {
        page.line(Line::new(format!("{:INDENT$}fix: {what}", "")).hang(INDENT + 5));
    }
}

/// What could not be read, with the rules that look at it.
fn unknown(check: &Check) -> Vec<(&Evidence, Vec<&Item>)> {
    let mut rules: Vec<(&Evidence, Vec<&Item>)> = Vec::new();
    for item in check.unknown() {
        for unread in &item.unread {
            match rules.iter_mut().find(|(known, _)| *known == unread) {
                Some((_, items)) => items.push(item),
                None => rules.push((unread, vec![item])),
            }
        }
    }
    rules
}

fn gravest(items: &[&Item]) -> Option<Severity> {
    items.iter().map(|item| item.severity).min()
}

/// One thing that could not be read: the gravest rule that looks at it, and how many more, or all.
fn unreadable(page: &mut Page, grave: Severity, unread: &Evidence, items: &[&Item], all: bool) {
    let mut rules = items.iter().filter(|item| item.severity == grave).map(|item| item.rule);
    let first = rules.next().unwrap_or_default();
    page.line(severity(grave).text(first).ink(Ink::Faint, "  unknown"));
    let others: Vec<&str> = items.iter().map(|item| item.rule).filter(|rule| *rule != first).collect();
    let more = match others.len() {
        0 => String::new(),
        _ if all => format!(" ({} cannot tell either)", others.join(", ")),
        more => format!(" ({} more cannot tell)", counted(more, "rule")),
    };
    page.line(Line::new(format!("{:INDENT$}{unread}{more}", "")).hang(INDENT + 2));
    if let Some(what) = registry::remedy(&unread.place) {
        page.line(Line::new(format!("{:INDENT$}fix: {what}", "")).hang(INDENT + 5));
    }
}

/// What shows a fault: the first piece of evidence, or all, each with its place.
pub fn evidence(page: &mut Page, columns: usize, evidence: &[Evidence], all: bool) {
    let shown = if all { evidence.len() } else { 1 };
    for (piece, number) in evidence.iter().take(shown).zip(1..) {
        let more = match evidence.len() - number {
            more @ 1.. if number == shown => format!(" (and {more} more, shown by -v)"),
            _ => String::new(),
        };
        let text = format!("{:columns$}{piece}{more}", "");
        page.line(Line::new(text).hang(columns + 2));
    }
}

/// A severity at the start of a line.
pub fn severity(severity: Severity) -> Line {
    match severity {
        Severity::Blocker => label(Ink::Bad, "BLOCKER"),
        Severity::Warning => label(Ink::Warning, "WARNING"),
        Severity::Note => label(Ink::Note, "NOTE"),
    }
}

/// The first column of a line.
fn label(ink: Ink, name: &str) -> Line {
    Line::default().ink(ink, name).text(" ".repeat(INDENT.saturating_sub(name.len())))
}
