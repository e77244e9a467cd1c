//! What to type next: complete, quoted, and true of this image.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use guestfix::Target;
use guestfix::platform::{Firmware, azure};
use guestfix::report::{Ink, Line, Page, Report};
use libdisk::{Address, Destination, Location};

use crate::cli::{CheckArgs, GoalArgs};
use crate::context::Context;
use crate::name;
use crate::present;

/// The last word on an image.
pub(crate) fn verdict(good: bool, text: impl Into<String>) -> Line {
    Line::default().ink(if good { Ink::Good } else { Ink::Bad }, text).hang(2)
}

/// A command to type next. It is never broken, so that it can be copied.
pub(crate) fn line(command: &Command) -> Line {
    Line::default().ink(Ink::Heading, "next:").text(format!(" {}", command.text()))
}

/// What to do next where no command does it.
pub(crate) fn advice(text: &str) -> Line {
    Line::default().ink(Ink::Heading, "next:").text(format!(" {text}")).hang(6)
}

/// A command of this program in the making.
#[derive(Debug, Clone)]
pub(crate) struct Command(Vec<String>);

impl Command {
    pub(crate) fn new(verb: &str) -> Self {
        Self(vec![verb.to_owned()])
    }

    /// A word as it is: an option, or an address.
    #[must_use]
    pub(crate) fn word(mut self, word: impl Into<String>) -> Self {
        self.0.push(word.into());
        self
    }

    /// A path: one that begins with a dash is no option.
    #[must_use]
    pub(crate) fn path(self, path: &Path) -> Self {
        let text = name::text(path);
        let text = if text.starts_with('-') { format!("./{text}") } else { text };
        self.word(text)
    }

    /// An option with its value.
    #[must_use]
    pub(crate) fn option(self, name: &str, value: impl Into<String>) -> Self {
        self.word(name).word(value)
    }

    /// What the image needs to be opened, as the user gave it.
    #[must_use]
    pub(crate) fn opening(self, context: &Context) -> Self {
        let command = match &context.global.allow_backing {
            Some(folder) => self.word("--allow-backing").path(folder),
            None => self,
        };
        let global = &context.global;
        let command = global.disks.iter().fold(command, |command, disk| command.option("--disk", disk));
        let left_out = |command: Self, disk| command.option("--exclude-disk", disk);
        let command = global.exclude_disks.iter().fold(command, left_out);
        global.aws_role.iter().fold(command, |command, role| command.option("--aws-role", role))
    }

    /// What was written there.
    #[must_use]
    pub(crate) fn written(self, to: &dyn Destination) -> Self {
        match to.path() {
            Some(path) => self.path(path),
            None => self.word(to.name()),
        }
    }

    /// Further disks of the machine.
    #[must_use]
    pub(crate) fn disks(self, paths: &[PathBuf]) -> Self {
        paths.iter().fold(self, |command, path| command.word("--disk").path(path))
    }

    /// Where the guest is to boot, and how, as the user gave it.
    #[must_use]
    pub(crate) fn goal(self, args: &GoalArgs) -> Self {
        let mut command = self.option("--for", args.target.id);
        if let Some(policy) = args.cloud_init_given() {
            command = command.option("--cloud-init", policy);
        }
        let folders = [("--grub", &args.grub), ("--windows-agent", &args.windows_agent)];
        for (option, folder) in folders {
            if let Some(folder) = folder {
                command = command.word(option).path(folder);
            }
        }
        if args.strict { command.word("--strict") } else { command }
    }

    pub(crate) fn text(&self) -> String {
        present::command(self.0.iter().map(String::as_str))
    }
}

/// After a check: the plan, the other firmware, or the copy.
pub(crate) fn after_check(context: &Context, args: &CheckArgs, report: &Report) -> Vec<Line> {
    let command = |verb: &str| Command::new(verb).word(&args.image);
    if let Some(fits) = other_firmware(report) {
        let goal = GoalArgs { target: fits, ..args.goal.clone() };
        return vec![line(&command("check").goal(&goal).opening(context))];
    }
    let warned = report.ready && report.answer() != "ready";
    if report.ready && !warned {
        let output = free(output_name(&args.image, "vhd"));
        return vec![line(&command("convert").path(&output).opening(context))];
    }
    if warned || report.ready_after_fix || report.fixes_something() {
        let plan = command("plan").goal(&args.goal).opening(context).word("-o").path(&plan_name());
        return vec![line(&plan)];
    }
    vec![advice(
        "fix that in the machine, or from another one that has its disk, take a new snapshot or image of it, \
         and check again",
    )]
}

/// The target for the firmware that the disk can start by, where it is not the one that was asked for.
fn other_firmware(report: &Report) -> Option<&'static Target> {
    let target = report.goal.target;
    let other = match target.firmware {
        Firmware::Bios => Firmware::Uefi,
        Firmware::Uefi => Firmware::Bios,
    };
    let fits = report.guest.firmware.as_slice() == [other.name()];
    target.with(other).filter(|_| fits)
}

/// A name in this folder for what is made of `image`: never the image itself.
pub(crate) fn output_name(image: &str, extension: &str) -> PathBuf {
    let location = image.parse::<Address>().map(|address| address.location);
    let stem = match &location {
        Ok(Location::File { path, .. }) => path.file_stem().and_then(OsStr::to_str).unwrap_or("disk"),
        Ok(Location::Ebs(name)) => name.split('@').next().unwrap_or("disk"),
        Ok(Location::Azure(url)) => {
            let name = url.rsplit('/').next().unwrap_or("disk");
            name.rsplit_once('.').map_or(name, |(stem, _)| stem)
        }
        Err(_) => "disk",
    };
    name::path(&format!("{stem}-azure.{extension}"))
}

/// This name, or one like it that no file has yet.
pub(crate) fn free(path: PathBuf) -> PathBuf {
    let stem = name::text(path.file_stem().unwrap_or_default());
    let extension =
        path.extension().map(|extension| format!(".{}", name::text(extension))).unwrap_or_default();
    let numbered =
        (2..1000).map(|number| path.with_file_name(name::path(&format!("{stem}-{number}{extension}"))));
    let is_free = |path: &PathBuf| path.symlink_metadata().is_err();
    std::iter::once(path.clone()).chain(numbered).find(is_free).unwrap_or(path)
}

/// The file for a plan.
pub(crate) fn plan_name() -> PathBuf {
    free("plan.json".into())
}

/// How a VHD gets into Azure: a managed disk of its size, the copy, and the end of the permission to write.
/// `azcopy` and `az` are Microsoft's.
pub(crate) fn upload(vhd: &Path, target: &Target, is_os: bool) -> Page {
    let mut page = Page::new();
    if *target.platform != azure::AZURE {
        return page;
    }
    let Ok(size) = vhd.metadata().map(|metadata| metadata.len()) else { return page };
    let name = vhd.file_stem().unwrap_or_default().to_string_lossy();
    // What Azure takes for a name.
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    // What a disk of data has no need of.
    let system = match (is_os, target.firmware) {
        (false, _) => "",
        (true, Firmware::Bios) => " --os-type Linux --hyper-v-generation V1",
        (true, Firmware::Uefi) => " --os-type Linux --hyper-v-generation V2",
    };
    let disk = format!("--resource-group $RG --name {name}");
    page.line(advice("upload it, with RG and LOCATION set to your resource group and region:"));
    for command in [
        format!(
            "az disk create {disk} --location $LOCATION --upload-type Upload --upload-size-bytes {size} \
             --sku StandardSSD_LRS{system}"
        ),
        format!(
            "azcopy copy {} \"$(az disk grant-access {disk} --access-level Write --duration-in-seconds 86400 \
             --query '* | [0]' --output tsv)\" --blob-type PageBlob",
            present::quote(&name::text(vhd))
        ),
        format!("az disk revoke-access {disk}"),
    ] {
        page.line(Line::new(format!("  {command}")));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_named_after_the_image_and_are_another_file() {
        for (image, output) in [
            ("disk.qcow2", "disk-azure.vhd"),
            ("raw:dir/my disk.img", "my disk-azure.vhd"),
            ("disk.vhd", "disk-azure.vhd"),
            ("ebs:snap-0abc@eu-west-1", "snap-0abc-azure.vhd"),
            ("a.vhd#p2", "a-azure.vhd"),
            ("azure:https://a.blob.core.windows.net/c/os.vhd", "os-azure.vhd"),
            ("build#7.img", "build#7-azure.vhd"),
            ("builds/web:2024#3/a:b#1.img#vg0/root", "a:b#1-azure.vhd"),
            ("a@home.img", "a@home-azure.vhd"),
        ] {
            assert_eq!(output_name(image, "vhd"), Path::new(output), "{image}");
        }
    }

    #[test]
    fn commands_are_quoted_and_a_dash_is_no_option() {
        let command = Command::new("plan").path(Path::new("-x y.img")).option("-o", "plan.json");
        assert_eq!(command.text(), "refloat plan './-x y.img' -o plan.json");
    }
}
