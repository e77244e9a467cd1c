//! linux.grub.serial-menu

use super::{boot_entries, extlinux_menu, grub_defaults, loader_conf};
use crate::facts::{Boot, Site};
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::text::{grub_cfg, grubenv, lines, menu_lst, rewrite, shell_assign};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// A boot menu that nobody on Azure gets to see.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.grub.serial-menu",
        title: "the boot menu is on the serial console, long enough to be used",
        pack: Pack::Linux,
        phase: Phase::Boot,
        severity: Severity::Note,
        cause: "A machine on Azure has no other screen than its serial console. A menu that is not there, \
                or for no time, gives no way to boot an older kernel or a rescue shell.",
        fix: "GRUB and extlinux talk to the serial port too, and they and systemd-boot wait 5 s, now and in \
              the files that the next menu is made of (/etc/default/grub, /etc/update-extlinux.conf).",
        source: &[
            Source::new("Microsoft Learn", "Proactively ensure access to GRUB", "2026"),
            Source::new("GRUB manual 2.12", "serial, terminal_output, if", "2023"),
            Source::new("Syslinux wiki", "Config", "2026"),
            Source::new("loader.conf(5)", "", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const SECONDS: &str = "5";
const BOTH: &str = "console serial";
const TERMINALS: [&str; 3] = ["GRUB_TERMINAL", "GRUB_TERMINAL_INPUT", "GRUB_TERMINAL_OUTPUT"];
const COMMAND: &str = "serial --speed=115200 --unit=0 --word=8 --parity=no --stop=1";
/// Variables that must be set, to what, and those that do as well.
const ADDED: [(&str, &str, &[&str]); 2] =
    [(TERMINALS[0], BOTH, &TERMINALS), ("GRUB_SERIAL_COMMAND", COMMAND, &["GRUB_SERIAL_COMMAND"])];
/// Adds a terminal and takes none away; where GRUB has no driver for the port, all stays as it was.
const SCRIPT: &str = "# for Azure (refloat)\n\
                      if serial --unit=0 --speed=115200 --word=8 --parity=no --stop=1 ; then\n  \
                      terminal_input --append serial\n  terminal_output --append serial\nfi";

/// As `SCRIPT`, for GRUB before version 2: the terminal on which a key is pressed is taken.
const LEGACY: &str =
    "# for Azure (refloat)\nserial --unit=0 --speed=115200\nterminal --timeout=5 serial console";
/// A variable of Fedora's and Red Hat's grubenv.
const AUTO_HIDE: &str = "menu_auto_hide";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = Vec::new();
    for config in &guest.facts.boot.configs {
        let text = guest.view.text(config)?.unwrap_or_default();
        if !grub_cfg::has_serial_terminal(&text) && grub_cfg::header_end(&text).is_some() {
            evidence.push(Evidence::new(config, "the menu is not on the serial port"));
        }
        for (line, _) in grub_cfg::hidden_menu(&text, SECONDS) {
            evidence.push(Evidence::new(Place::line(config, line), "keeps the menu from being seen"));
        }
    }
    for config in &guest.facts.boot.configs {
        let block = grubenv::beside(config);
        let variables = guest.view.read(&block)?.unwrap_or_default();
        if grubenv::get(&variables, AUTO_HIDE).is_some_and(|value| value != "0") {
            evidence.push(Evidence::new(block, "hides the menu after a boot that went well"));
        }
    }
    if let Some(menu) = legacy_menu(&guest.facts.boot) {
        let text = guest.view.text(menu)?.unwrap_or_default();
        if !has_legacy_serial(&text) {
            evidence.push(Evidence::new(menu, "the menu is not on the serial port"));
        }
        for (line, _) in menu_lst::hidden_menu(&text, SECONDS) {
            evidence.push(Evidence::new(Place::line(menu, line), "keeps the menu from being seen"));
        }
    }
    evidence.extend(extlinux_menu::faults(guest.view, &guest.facts.boot)?);
    evidence.extend(loader_conf::faults(guest.view, &guest.facts.boot)?);
    evidence.extend(default_faults(guest.view)?);
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let boot = stage.guest()?.facts.boot.clone();
    if let Some(menu) = legacy_menu(&boot) {
        stage.edit(menu, |text| {
            let changes = menu_lst::hidden_menu(text, SECONDS);
            let text = changed_lines(text, &changes);
            if has_legacy_serial(&text) { text } else { format!("{LEGACY}\n{text}") }
        })?;
    }
    for config in &boot.configs {
        boot_entries::set_variable(stage, &grubenv::beside(config), AUTO_HIDE, None)?;
        stage.edit(config, |text| {
            let mut changes = grub_cfg::hidden_menu(text, SECONDS);
            if !grub_cfg::has_serial_terminal(text)
                && let Some(end) = grub_cfg::header_end(text)
            {
                changes
                    .extend(lines(text).nth(end - 1).map(|line| (end, format!("{SCRIPT}\n{}", line.body))));
            }
            changed_lines(text, &changes)
        })?;
    }
    extlinux_menu::mend(stage)?;
    loader_conf::mend(stage)?;
    for file in grub_defaults::files(stage.guest()?.view)? {
        stage.edit(&file, |text| {
            shell_assign::edit(text, |one| fault(one.key, one.value).map(|(_, new)| new.to_owned()))
        })?;
    }
    let assigned = grub_defaults::assigned(stage.guest()?.view)?;
    for (key, value, instead) in ADDED {
        if !assigned.iter().any(|one| instead.contains(&one.key.as_str())) {
            stage.edit(grub_defaults::MAIN, |text| shell_assign::set(text, key, value))?;
        }
    }
    Ok(Fixed::Staged)
}

fn changed_lines(text: &str, changes: &[(usize, String)]) -> String {
    rewrite(text, |line| {
        changes.iter().find(|(number, _)| *number == line.number).map(|(_, new)| new.clone())
    })
}

/// The menu of GRUB before version 2.
fn legacy_menu(boot: &Boot) -> Option<&str> {
    let entry = boot.cmdlines.iter().find(|cmdline| cmdline.site == Site::Kernel);
    entry.map(|cmdline| cmdline.file.as_str())
}

fn has_legacy_serial(text: &str) -> bool {
    lines(text)
        .any(|line| line.words().next() == Some("terminal") && line.words().any(|word| word == "serial"))
}

/// What is wrong with the value of a variable of grub-mkconfig, and a better one.
fn fault(key: &str, value: &str) -> Option<(&'static str, &'static str)> {
    let is_serial = || value.split_whitespace().any(|terminal| terminal.starts_with("serial"));
    match key {
        _ if TERMINALS.contains(&key) && !is_serial() => Some(("is not the serial port", BOTH)),
        "GRUB_TIMEOUT" if value == "0" => Some(("leaves no time for the menu", SECONDS)),
        "GRUB_TIMEOUT_STYLE" if value != "menu" => Some(("hides the menu", "menu")),
        "GRUB_HIDDEN_TIMEOUT" if !value.is_empty() => Some(("hides the menu", "")),
        _ => None,
    }
}

fn default_faults(view: &dyn View) -> Result<Vec<Evidence>> {
    let assigned = grub_defaults::assigned(view)?;
    let mut out = Vec::new();
    for one in &assigned {
        if let Some((why, _)) = fault(&one.key, &one.value) {
            out.push(Evidence::new(&one.place, format!("{}={} {why}", one.key, one.value)));
        }
    }
    for (key, _, instead) in ADDED {
        if view.exists(grub_defaults::MAIN)?
            && !assigned.iter().any(|one| instead.contains(&one.key.as_str()))
        {
            out.push(Evidence::new(grub_defaults::MAIN, format!("does not set {key}")));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use testimages::judge;

    use super::*;
    use crate::rules::testing::{Bench, ROOT_UUID, grub_cfg};

    /// As Ubuntu's grub-mkconfig writes it.
    const HEADER: &str = "### BEGIN /etc/grub.d/00_header ###
function recordfail {
  set recordfail=1
}
terminal_output gfxterm
if [ \"${recordfail}\" = 1 ] ; then
  set timeout=30
else
  if [ x$feature_timeout_style = xy ] ; then
    set timeout_style=hidden
    set timeout=0
  elif sleep --interruptible 0 ; then
    set timeout=0
  fi
fi
### END /etc/grub.d/00_header ###
";

    #[test]
    fn the_header_gets_a_terminal_and_time() {
        let menu = "menuentry 'x' {\n\tset timeout=0\n\tlinux /vmlinuz ro\n}\n";
        let bench = Bench::debian().file("/boot/grub/grub.cfg", format!("{HEADER}{menu}"));
        assert_eq!(bench.findings(&RULE).len(), 4);
        let text = bench.mended_text(&RULE, "/boot/grub/grub.cfg");
        let expected = HEADER
            .replace("timeout=0", "timeout=5")
            .replace("hidden", "menu")
            .replace("### END", &format!("{SCRIPT}\n### END"));
        assert_eq!(text, format!("{expected}{menu}"));
        if judge::need("grub-script-check").is_some() {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            judge::run(judge::tool("grub-script-check").arg(file.path()));
        }
    }

    #[test]
    fn a_script_without_marks_gets_its_terminal_before_the_first_entry() {
        let root = format!("UUID={ROOT_UUID}");
        let cfg = grub_cfg(&root, "").replace("terminal_output console serial\n", "");
        let text =
            Bench::debian().file("/boot/grub/grub.cfg", &cfg).mended_text(&RULE, "/boot/grub/grub.cfg");
        assert_eq!(text, cfg.replacen("menuentry", &format!("{SCRIPT}\nmenuentry"), 1));
    }

    #[test]
    fn a_menu_of_old_is_shown_on_the_serial_port_too() {
        let menu = "default 0\ntimeout=0\nhiddenmenu\n\ntitle x\nkernel /boot/vmlinuz-6.1.0-50-amd64 ro\n";
        let path = "/boot/grub/menu.lst";
        let bench = Bench::debian().without("/boot/grub/grub.cfg").file(path, menu);
        assert_eq!(bench.findings(&RULE).len(), 3);
        let text = bench.mended_text(&RULE, path);
        let expected = menu.replace("timeout=0", "timeout=5").replace("hiddenmenu", "#hiddenmenu");
        assert_eq!(text, format!("{LEGACY}\n{expected}"));
    }

    #[test]
    fn the_menu_of_extlinux_is_on_the_serial_port_and_waits() {
        let menu =
            "DEFAULT menu.c32\nTIMEOUT 1\nLABEL virt\n  LINUX vmlinuz-6.1.0-50-amd64\n  APPEND root=UUID=1\n";
        let (path, defaults) = ("/boot/extlinux.conf", "/etc/update-extlinux.conf");
        let bench = Bench::debian()
            .without("/boot/grub/grub.cfg")
            .file(path, menu)
            .file(defaults, "timeout=1\nserial_port=\nserial_baud=115200\n");
        assert_eq!(
            bench.findings(&RULE),
            [
                "/boot/extlinux.conf: the menu is not on the serial port",
                "/boot/extlinux.conf: leaves no time for the menu",
                "/etc/update-extlinux.conf:1: timeout=1 leaves no time for the menu",
                "/etc/update-extlinux.conf:2: serial_port= keeps the menu from the serial port",
            ]
        );
        bench.mended(&RULE, |view| {
            let text = |path| view.text(path).unwrap().unwrap();
            assert_eq!(text(path), format!("SERIAL 0 115200\n{}", menu.replace("TIMEOUT 1", "TIMEOUT 50")));
            assert_eq!(text(defaults), "timeout=5\nserial_port=0\nserial_baud=115200\n");
        });
        // one that waits for ever does so on EC2 too
        let fine = bench
            .file(path, format!("SERIAL 0\n{}", menu.replace("TIMEOUT 1\n", "")))
            .file(defaults, "timeout=10\n");
        assert_eq!(fine.findings(&RULE), [""; 0]);
    }

    #[test]
    fn the_menu_of_systemd_boot_is_shown() {
        let (config, entry) =
            ("/boot/efi/loader/loader.conf", "/boot/efi/loader/entries/m-6.1.0-50-amd64.conf");
        let bench = Bench::debian()
            .without("/boot/grub/grub.cfg")
            .file(entry, "linux /m/6.1.0-50-amd64/linux\noptions root=UUID=1\n");
        for (before, what, after) in [
            ("#timeout 3\n", "sets no timeout: the menu is not shown", "#timeout 3\ntimeout 5\n"),
            ("timeout 0\nconsole-mode keep\n", "timeout 0 hides the menu", "timeout 5\nconsole-mode keep\n"),
            ("timeout menu-hidden\n", "timeout menu-hidden hides the menu", "timeout 5\n"),
        ] {
            let bench = bench.clone().file(config, before);
            assert_eq!(bench.findings(&RULE), [format!("{config}: {what}")]);
            assert_eq!(bench.mended_text(&RULE, config), after);
        }
        assert_eq!(bench.file(config, "timeout 3\n").findings(&RULE), [""; 0]);
    }

    #[test]
    fn a_menu_that_hides_itself_is_shown() {
        let mut block = b"# GRUB Environment Block\nmenu_auto_hide=1\nboot_success=1\n".to_vec();
        block.resize(1024, b'#');
        let bench = Bench::debian().file("/boot/grub/grubenv", block);
        assert_eq!(bench.findings(&RULE).len(), 1);
        let text = bench.mended_text(&RULE, "/boot/grub/grubenv");
        assert!(text.starts_with("# GRUB Environment Block\nboot_success=1\n##"), "{text}");
    }

    #[test]
    fn the_defaults_are_mended_where_they_are_set() {
        let bench = Bench::debian()
            .file("/etc/default/grub", "GRUB_TIMEOUT=10\nGRUB_TERMINAL=\"serial\"\n")
            .file("/etc/default/grub.d/50-cloudimg-settings.cfg", "GRUB_TIMEOUT=0\nGRUB_TERMINAL=console\n");
        assert_eq!(
            bench.findings(&RULE),
            [
                "/etc/default/grub.d/50-cloudimg-settings.cfg:1: GRUB_TIMEOUT=0 leaves no time for the menu",
                "/etc/default/grub.d/50-cloudimg-settings.cfg:2: GRUB_TERMINAL=console is not the serial port",
                "/etc/default/grub: does not set GRUB_SERIAL_COMMAND",
            ]
        );
        bench.mended(&RULE, |view| {
            let text = |path| view.text(path).unwrap().unwrap();
            assert_eq!(
                text("/etc/default/grub.d/50-cloudimg-settings.cfg"),
                "GRUB_TIMEOUT=5\nGRUB_TERMINAL=\"console serial\"\n"
            );
            assert_eq!(
                text("/etc/default/grub"),
                format!("GRUB_TIMEOUT=10\nGRUB_TERMINAL=\"serial\"\nGRUB_SERIAL_COMMAND=\"{COMMAND}\"\n")
            );
        });
    }
}
