//! The cut-over of one machine, step by step, for whoever does it that night.

use super::document::{Block, Step};
use super::licence;
use super::model::{Handover, Licence, Security};
use super::references::{Reference, References};
use crate::edit::Edit;
use crate::facts::Facts;
use crate::plan::Plan;
use crate::report::Support;
use crate::text::bytes;
use crate::{Severity, View, rules};

/// What a runbook is made of.
pub struct Runbook<'a> {
    /// The machine that is to be.
    pub handover: &'a Handover,
    /// The machine as it is.
    pub view: &'a dyn View,
    /// What is known of it.
    pub facts: &'a Facts,
    /// What refloat changes of it.
    pub plan: &'a Plan,
    /// What it still says of AWS.
    pub references: &'a References,
    /// The command that moves it.
    pub migrate: String,
}

/// The most rows of a table of places; the rest is counted.
const ROWS: usize = 500;

impl Runbook<'_> {
    /// The whole document.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = vec![Block::Heading(1, format!("Cut-over of {} to Azure", self.handover.name))];
        blocks.extend(self.machine());
        blocks.extend(self.before());
        blocks.extend(self.changes());
        blocks.extend(self.licence());
        blocks.extend(self.references());
        blocks.extend(self.cut_over());
        blocks.extend(self.acceptance());
        blocks.extend(self.traffic());
        blocks.extend(self.back());
        blocks
    }

    fn machine(&self) -> Vec<Block> {
        let (it, machine) = (self.handover, self.view.machine());
        let os = self.facts.os.as_ref().map_or("unknown", |os| os.pretty_name.as_str());
        let support = Support::of(self.facts.os.as_ref(), it.target.platform);
        let mut rows = vec![
            row("system", os),
            row("host name", self.facts.hostname.as_deref().unwrap_or("none")),
            row("becomes", &format!("{} ({}) in {}, {}", it.name, it.size, it.group, it.location)),
            row("generation", it.target.name),
            row("supported by Azure", &support.why),
            row("start, as it is", &self.plan.boot.to_string()),
            row("start, with the changes", &self.plan.boot_after.to_string()),
        ];
        for ((place, size), disk) in machine.sizes().zip(&it.disks) {
            rows.push(row(&place.to_string(), &format!("{size} bytes, becomes {}", disk.name())));
        }
        vec![Block::Heading(2, "The machine".into()), Block::Table(vec!["what", "value"], rows)]
    }

    fn before(&self) -> Vec<Block> {
        let mut steps = vec![
            Step::new("Agree on the time of the cut-over, on who decides to go back, and until when."),
            Step::new("Lower the TTL of every DNS record of this machine to 60 seconds, a day before."),
            Step::new(
                "Do a test migration first (refloat emit az --test): it is cut off from production and expires.",
            ),
        ];
        for fault in &self.plan.by_hand {
            let what = &fault.what;
            steps.push(Step::new(format!("By hand, {} ({}): {what}", weight(fault.severity), fault.rule)));
        }
        for unknown in &self.plan.unknown {
            let why = unknown.unread.first().map(ToString::to_string).unwrap_or_default();
            steps.push(Step::new(format!("Find out what refloat could not tell ({}): {why}", unknown.rule)));
        }
        vec![Block::Heading(2, "Before".into()), Block::Steps(steps)]
    }

    fn changes(&self) -> Vec<Block> {
        let mut blocks = vec![Block::Heading(2, "What refloat changes".into())];
        if self.plan.steps.is_empty() {
            blocks.push(Block::Text("Nothing.".into()));
            return blocks;
        }
        let title = |id: &String| {
            rules::ALL
                .iter()
                .find(|rule| rule.meta.id == *id)
                .map_or(id.as_str(), |rule| rule.meta.title)
                .to_owned()
        };
        let step = |step: &crate::edit::Step| {
            vec![subject(&step.edit), step.rules.iter().map(title).collect::<Vec<_>>().join("; ")]
        };
        let rows = self.plan.steps.iter().map(step).collect();
        blocks.push(Block::Table(vec!["what", "so that"], rows));
        blocks.push(Block::Text("refloat plan shows every change as a diff.".into()));
        blocks
    }

    fn licence(&self) -> Vec<Block> {
        let it = self.handover;
        let mut blocks = vec![Block::Heading(2, "Licence and activation".into())];
        let notes = licence::notes(self.facts.os.as_ref(), it.sql.is_some());
        blocks.extend(notes.iter().map(|note| Block::Text(format!("{}: {}", note.subject, note.what))));
        if let Some(licence) = it.licence {
            blocks.push(Block::Text(format!("The template says {}.", Licence::name(licence))));
        }
        blocks
    }

    fn references(&self) -> Vec<Block> {
        let all = self.references;
        let mut blocks = vec![Block::Heading(2, "What its configuration still says of AWS".into())];
        let count = all.found.len();
        blocks.push(Block::Text(match count {
            0 => format!("Nothing was found in {} files.", all.files),
            _ => format!("{count} places in {} files. Decide for each: does it work from Azure?", all.files),
        }));
        if count > 0 {
            let one = |it: &Reference| {
                vec![it.place.to_string(), it.kind.to_owned(), bytes::shown(&it.text).into_owned()]
            };
            let rows = all.found.iter().take(ROWS).map(one).collect();
            blocks.push(Block::Table(vec!["place", "what", "text"], rows));
        }
        if count > ROWS {
            blocks.push(Block::Text(format!(
                "{} more places: refloat emit runbook --json has all.",
                count - ROWS
            )));
        }
        let left_out = all.left_out.iter().map(|(why, count)| format!("{why}: {count}"));
        let unread = all.unread.iter().map(|unread| format!("could not be read: {unread}"));
        let not_looked_at: Vec<String> = left_out.chain(unread).collect();
        if !not_looked_at.is_empty() {
            blocks.push(Block::Text(format!("Not looked at: {}.", not_looked_at.join("; "))));
        }
        blocks
    }

    fn cut_over(&self) -> Vec<Block> {
        let it = self.handover;
        let name = &it.name;
        let steps = vec![
            Step::new("Stop the applications, then the instance in AWS. From here on it takes no writes."),
            Step::new("Take the last snapshots of all of its disks, at one time."),
            Step::by("Move it. If it is interrupted, the same command goes on.", &self.migrate),
            Step::by(
                "Make the machine around the disks.",
                format!(
                    "az deployment group create --resource-group {} --template-file {name}.bicep",
                    it.group
                ),
            ),
            Step::by(
                "Watch it start. Nothing is proven before a login prompt is seen.",
                format!("az vm boot-diagnostics get-boot-log --resource-group {} --name {name}", it.group),
            ),
        ];
        vec![Block::Heading(2, "Cut-over".into()), Block::Steps(steps)]
    }

    fn acceptance(&self) -> Vec<Block> {
        let mut steps = vec![
            Step::new("It shows a login prompt on its serial console."),
            Step::new("It answers by its administrators' usual way (SSH or RDP), with their own accounts."),
            Step::new("Its host name, time and time zone are right."),
        ];
        for mount in self.facts.fstab.iter().filter(|mount| mount.volume.is_some() && mount.target != "none")
        {
            steps.push(Step::new(format!("{} is mounted and has its data.", bytes::shown(&mount.target))));
        }
        steps.extend([
            Step::new("No unit has failed (systemctl --failed), and the journal has no new errors."),
            Step::new("The applications pass their own health checks, reading and writing."),
            Step::new("Backup, monitoring and patching see the machine."),
        ]);
        if let Security::TrustedLaunch { .. } = self.handover.security {
            steps.push(Step::new("Azure says that the machine's boot integrity is healthy."));
        }
        vec![Block::Heading(2, "Acceptance".into()), Block::Steps(steps)]
    }

    fn traffic(&self) -> Vec<Block> {
        let steps = vec![
            Step::new("Point DNS records, load balancers and firewalls at the new address."),
            Step::new("Watch the old address until nothing asks there any more."),
            Step::new("Raise the TTLs again when the machine is accepted."),
        ];
        vec![Block::Heading(2, "DNS and traffic".into()), Block::Steps(steps)]
    }

    fn back(&self) -> Vec<Block> {
        let text = "The instance in AWS and its volumes are as they were: refloat only read snapshots of them. What \
                    was written in Azure since the cut-over is lost on the way back, unless the applications carry \
                    it over.";
        let it = self.handover;
        let steps = vec![
            Step::by(
                "Stop the machine in Azure, so that there are never two.",
                format!("az vm deallocate --resource-group {} --name {}", it.group, it.name),
            ),
            Step::new("Point DNS records, load balancers and firewalls at the old address."),
            Step::new("Start the instance in AWS."),
            Step::new("Keep instance and snapshots until the machine in Azure is signed off."),
        ];
        vec![Block::Heading(2, "How to go back".into()), Block::Text(text.into()), Block::Steps(steps)]
    }
}

fn row(name: &str, value: &str) -> Vec<String> {
    vec![name.to_owned(), bytes::shown(value).into_owned()]
}

fn weight(severity: Severity) -> &'static str {
    match severity {
        Severity::Blocker => "or it does not start",
        Severity::Warning => "or something is broken",
        Severity::Note => "to be known",
    }
}

/// What an edit changes.
fn subject(edit: &Edit) -> String {
    let shown = |path: &str| bytes::shown(path).into_owned();
    match edit {
        Edit::Wrap { .. } => "the disk: a partition table and a boot loader before it".to_owned(),
        Edit::ReplayJournal { volume } => format!("the journal of {volume}, which is replayed"),
        Edit::PutFile { path, .. } | Edit::PutLink { path, .. } => shown(path),
        Edit::Remove { path, .. } => format!("{}, which is removed", shown(path)),
        Edit::PutBytes { disk, offset, .. } => {
            format!("{} at byte {offset:#x}", libdisk::volume::volume_name(*disk, None))
        }
    }
}
