//! `grub.cfg`, the script that GRUB 2 runs: menu entries are found and the command lines of their kernels
//! edited in place. Never is one generated anew: what grub-mkconfig would say of the guest only the guest can
//! know.

use super::{Line, lines, rewrite};
use crate::limits;

/// Where a menu entry stands: its number among its siblings, title and identifier, from the outermost submenu
/// inwards.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    index: usize,
    title: String,
    id: Option<String>,
}

/// The volume that `search` makes the root of the paths that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Search {
    /// By the UUID of its file system.
    Uuid(String),
    /// By its label.
    Label(String),
}

/// One `linux` command in a menu entry. A menu entry with two branches makes two of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    path: Vec<Step>,
    /// The title of the menu entry.
    pub title: String,
    /// The line of the `linux` command, from 1.
    pub line: usize,
    /// The kernel's path on the volume it is on.
    pub kernel: String,
    /// The kernel command line, blanks at its end included.
    pub cmdline: String,
    /// Initramfs images, in order.
    pub initrds: Vec<String>,
    /// The volume that the paths are on, where the script says.
    pub search: Option<Search>,
}

impl Entry {
    /// Whether the value of `default` selects this entry: an index, a title or an identifier, with `>`
    /// between levels.
    pub fn is_selected_by(&self, default: &str) -> bool {
        let wanted: Vec<&str> = default.split('>').collect();
        let hit = |(step, wanted): (&Step, &&str)| {
            wanted.parse() == Ok(step.index) || step.title == *wanted || step.id.as_deref() == Some(*wanted)
        };
        // an index may stop at a submenu, whose first entry it then stands for
        let first = |step: &Step| step.index == 0;
        wanted.len() <= self.path.len()
            && self.path.iter().zip(&wanted).all(hit)
            && self.path[wanted.len()..].iter().all(first)
    }

    /// A value of `default` that selects this entry: identifiers, or numbers where there are none.
    pub fn selector(&self) -> String {
        let name = |step: &Step| {
            step.id.clone().filter(|id| !id.contains('>')).unwrap_or_else(|| step.index.to_string())
        };
        self.path.iter().map(name).collect::<Vec<_>>().join(">")
    }
}

/// All entries, in the order of the script; of more than are ever looked at, one more than that.
pub fn entries(text: &str) -> Vec<Entry> {
    let mut scan = Scan::default();
    for line in lines(text) {
        scan.line(&line);
        if scan.entries.len() > limits::BOOT_ENTRIES {
            break;
        }
    }
    scan.entries
}

/// What the script sets `default` to if nothing was chosen for one boot only; the last assignment counts.
/// It may be `${saved_entry}`, which the environment block holds.
pub fn default(text: &str) -> Option<String> {
    let assignment = |line: Line<'_>| {
        let words = words(line.body);
        let [set, value] = words.as_slice() else { return None };
        (set.text == "set").then(|| value.text.strip_prefix("default=").map(str::to_owned))?
    };
    lines(text).filter_map(assignment).filter(|value| value != "${next_entry}").last()
}

/// The script with another entry to start by itself, where nothing was chosen for one boot only.
pub fn set_default(text: &str, selector: &str) -> String {
    let is_default = |line: &Line<'_>| {
        let words = words(line.body);
        matches!(words.as_slice(), [set, value] if set.text == "set"
            && value.text.strip_prefix("default=").is_some_and(|value| value != "${next_entry}"))
    };
    rewrite(text, |line| {
        is_default(line).then(|| {
            let indent = &line.body[..line.body.len() - line.body.trim_start().len()];
            format!("{indent}set default=\"{selector}\"")
        })
    })
}

/// The last value in double quotes that the script sets a variable to, with its line.
pub fn variable<'a>(text: &'a str, name: &str) -> Option<(usize, &'a str)> {
    lines(text).filter_map(|line| Some((line.number, quoted(&line, name)?))).last()
}

/// The script with another such value, at this line.
pub fn set_variable(text: &str, number: usize, name: &str, value: &str) -> String {
    rewrite(text, |line| {
        let old = quoted(line, name).filter(|_| line.number == number)?;
        let start = old.as_ptr().addr() - line.body.as_ptr().addr();
        Some(format!("{}{value}{}", &line.body[..start], &line.body[start + old.len()..]))
    })
}

/// `set name="value"`
fn quoted<'a>(line: &Line<'a>, name: &str) -> Option<&'a str> {
    let rest = line.body.trim_start().strip_prefix("set ")?.trim_start().strip_prefix(name)?;
    rest.strip_prefix("=\"")?.trim_end().strip_suffix('"')
}

/// Whether the script takes its entries from `/boot/loader/entries`.
pub fn uses_blscfg(text: &str) -> bool {
    lines(text).any(|line| line.words().next() == Some("blscfg"))
}

/// The text with some command lines changed: `change` gets the number of a `linux` line and answers the new
/// command line, or `None` to leave it.
pub fn edit_cmdlines(text: &str, mut change: impl FnMut(usize) -> Option<String>) -> String {
    rewrite(text, |line| {
        let words = words(line.body);
        let [command, kernel, ..] = words.as_slice() else { return None };
        if !is_linux(&command.text) {
            return None;
        }
        let (head, rest) = line.body.split_at(kernel.end);
        let blanks = rest.len() - rest.trim_start().len();
        let gap = if blanks == 0 { " " } else { &rest[..blanks] };
        Some(format!("{head}{gap}{}", change(line.number)?))
    })
}

/// The lines by which an entry of an Ubuntu made for EC2 boots without its initramfs, unless that failed
/// before: all but the branch that uses the initramfs. The call behind them, which notes a failure, is one of
/// them.
pub fn initrdless_lines(text: &str) -> Vec<usize> {
    let mut out = Vec::new();
    let mut branch = None;
    for line in lines(text) {
        match (line.words().next().unwrap_or_default(), branch) {
            ("if", None) if line.body.contains("${initrdfail}") && line.body.contains("= 1") => {
                branch = Some(true)
            }
            ("else", Some(true)) => branch = Some(false),
            ("fi", Some(_)) => branch = None,
            ("initrdfail", None) => {}
            (_, Some(false)) => {}
            _ => continue,
        }
        out.push(line.number);
    }
    out
}

/// Whether the script shows its menu on a serial port.
pub fn has_serial_terminal(text: &str) -> bool {
    lines(text).any(|line| {
        let words = words(line.body);
        words.first().is_some_and(|command| command.text == "terminal_output")
            && words.iter().any(|terminal| terminal.text.starts_with("serial"))
    })
}

/// The line before which the header of the script ends: where grub-mkconfig marks that, else the first of the
/// menu.
pub fn header_end(text: &str) -> Option<usize> {
    let marked = lines(text).find(|line| line.body.starts_with("### END /etc/grub.d/00_header"));
    marked.or_else(|| first_of_menu(text)).map(|line| line.number)
}

/// The lines before the menu by which it is not shown, and what they are to be for one that is, for so many
/// seconds.
pub fn hidden_menu(text: &str, seconds: &str) -> Vec<(usize, String)> {
    let end = first_of_menu(text).map_or(usize::MAX, |line| line.number);
    let shown = |line: Line<'_>| {
        let words = words(line.body);
        let [set, value] = words.as_slice() else { return None };
        let new = match (set.text.as_str(), value.text.as_str()) {
            ("set", "timeout=0") => format!("timeout={seconds}"),
            ("set", "timeout_style=hidden" | "timeout_style=countdown") => "timeout_style=menu".into(),
            _ => return None,
        };
        Some((line.number, format!("{} {new}", &line.body[..set.end])))
    };
    lines(text).take_while(|line| line.number < end).filter_map(shown).collect()
}

fn first_of_menu(text: &str) -> Option<Line<'_>> {
    lines(text).find(|line| matches!(line.words().next(), Some("menuentry" | "submenu" | "blscfg")))
}

fn is_linux(command: &str) -> bool {
    matches!(command, "linux" | "linux16" | "linuxefi")
}

#[derive(Default)]
struct Scan {
    /// Open blocks, with the number of menu items seen in each; `None` for one that is no menu.
    blocks: Vec<Option<(Step, usize)>>,
    /// Open blocks within the deepest of these.
    deeper: usize,
    top_items: usize,
    search: Vec<Option<Search>>,
    top_search: Option<Search>,
    entries: Vec<Entry>,
    /// The last entry may still get an initrd.
    open: bool,
}

impl Scan {
    fn line(&mut self, line: &Line<'_>) {
        let words = words(line.body);
        let Some(command) = words.first() else { return };
        let opens = words.last().is_some_and(|word| word.text == "{");
        let arguments = || words[1..].iter().map(|word| word.text.clone());
        match command.text.as_str() {
            "menuentry" | "submenu" if opens => {
                let title = arguments().next().unwrap_or_default();
                let after = |option: &str| arguments().skip_while(|word| word != option).nth(1);
                let id = after("--id")
                    .or_else(|| after("$menuentry_id_option"))
                    .or_else(|| after("${menuentry_id_option}"));
                let siblings = self
                    .blocks
                    .iter_mut()
                    .rev()
                    .flatten()
                    .next()
                    .map_or(&mut self.top_items, |(_, items)| items);
                let step = Step { index: *siblings, title, id };
                *siblings += 1;
                self.open(Some((step, 0)));
            }
            "}" if self.deeper > 0 => {
                self.deeper -= 1;
                self.open = false;
            }
            "}" => {
                self.blocks.pop();
                self.search.pop();
                self.open = false;
            }
            name if is_linux(name) => self.linux(line.number, arguments().collect(), &words, line.body),
            "initrd" | "initrd16" | "initrdefi" if self.open => {
                if let Some(entry) = self.entries.last_mut() {
                    entry.initrds.extend(arguments().map(|path| without_device(&path)));
                }
            }
            name if (name == "search" || name.starts_with("search.")) && self.deeper == 0 => {
                *self.search.last_mut().unwrap_or(&mut self.top_search) = search(name, arguments().collect());
            }
            "else" | "elif" => self.open = false,
            _ if opens => self.open(None),
            _ => {}
        }
    }

    fn open(&mut self, block: Option<(Step, usize)>) {
        self.open = false;
        // Each entry remembers the menus that it is in, and each line looks through them: deeper ones are only counted.
        if self.blocks.len() == limits::MENU_DEPTH {
            self.deeper += 1;
            return;
        }
        self.blocks.push(block);
        self.search.push(None);
    }

    fn linux(&mut self, line: usize, arguments: Vec<String>, words: &[Word], body: &str) {
        let path: Vec<Step> = self.blocks.iter().flatten().map(|(step, _)| step.clone()).collect();
        let (Some(kernel), Some(step)) = (arguments.first(), path.last()) else { return };
        let cmdline = words.get(1).map_or("", |kernel| &body[kernel.end..]).trim_start().to_owned();
        let search = self.search.iter().rev().flatten().next().or(self.top_search.as_ref()).cloned();
        let title = step.title.clone();
        self.entries.push(Entry {
            path,
            title,
            line,
            kernel: without_device(kernel),
            cmdline,
            initrds: Vec::new(),
            search,
        });
        self.open = true;
    }
}

/// What a `search` command looks for: its last argument that is no option.
fn search(command: &str, arguments: Vec<String>) -> Option<Search> {
    let mut names = arguments.iter().filter(|word| !word.starts_with('-'));
    let has = |option: &str| arguments.iter().any(|word| word == option);
    match command {
        "search.fs_uuid" => names.next().cloned().map(Search::Uuid),
        "search.fs_label" => names.next().cloned().map(Search::Label),
        _ if has("--fs-uuid") || has("-u") => names.next_back().cloned().map(Search::Uuid),
        _ if has("--label") || has("--fs-label") || has("-l") => {
            names.next_back().cloned().map(Search::Label)
        }
        _ => None,
    }
}

/// A path without the device before it: `($root)/boot/vmlinuz`.
fn without_device(path: &str) -> String {
    match path.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((_, path)) => path.to_owned(),
        None => path.to_owned(),
    }
}

/// A word of the script without its quotes, and where it ends in the line.
struct Word {
    text: String,
    end: usize,
}

/// The words of a line, as in a shell: quotes, backslashes, comments.
fn words(body: &str) -> Vec<Word> {
    let mut out = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = body.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                if let Some((_, next)) = chars.next() {
                    word.get_or_insert_default().push(next);
                }
            }
            (None, c) if c.is_whitespace() || c == ';' => {
                out.extend(word.take().map(|text| Word { text, end: at }));
            }
            (None, '#') if word.is_none() => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    out.extend(word.map(|text| Word { text, end: body.len() }));
    out
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    const SAMPLE: &str = r#"### BEGIN /etc/grub.d/00_header ###
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
else
   set default="1>gnulinux-b"
fi
function recordfail {
  set recordfail=1
}
search --no-floppy --fs-uuid --set=root aaaa
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple' {
	set root='hd0,gpt1'
	search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt1 bbbb
	linux	/vmlinuz-6 root=/dev/xvda1 ro  console=hvc0
	initrd	/ucode.img /initrd.img-6
}
submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced' {
	menuentry 'a' --id gnulinux-a {
		linux	/vmlinuz-5
	}
	menuentry "b" $menuentry_id_option 'gnulinux-b' {
	if [ "${initrdfail}" = 1 ]; then
		linux	($root)/vmlinuz-4 root=UUID=1
		initrd	/initrd.img-4
	else
		linux	/vmlinuz-4 root=PARTUUID=2 panic=-1
	fi
	initrdfail
	}
}
"#;

    #[test]
    fn entries_have_their_kernels_initrds_and_volumes() {
        let entries = entries(SAMPLE);
        assert_eq!(entries.len(), 4);
        let first = &entries[0];
        assert_eq!(
            (first.title.as_str(), first.line, first.kernel.as_str()),
            ("Debian GNU/Linux", 14, "/vmlinuz-6")
        );
        assert_eq!(first.cmdline, "root=/dev/xvda1 ro  console=hvc0");
        assert_eq!(first.initrds, ["/ucode.img", "/initrd.img-6"]);
        assert_eq!(first.search, Some(Search::Uuid("bbbb".into())));
        assert_eq!(entries[1].cmdline, "");
        assert_eq!(entries[1].search, Some(Search::Uuid("aaaa".into())));
        assert_eq!((entries[2].kernel.as_str(), entries[2].initrds.len()), ("/vmlinuz-4", 1));
        assert_eq!((entries[3].title.as_str(), entries[3].initrds.len()), ("b", 0));
    }

    #[test]
    fn the_default_is_found_by_index_title_or_id() {
        let entries = entries(SAMPLE);
        let default = default(SAMPLE).unwrap();
        let selected: Vec<bool> = entries.iter().map(|entry| entry.is_selected_by(&default)).collect();
        assert_eq!(selected, [false, false, true, true]);
        assert!(entries[0].is_selected_by("0") && entries[0].is_selected_by("Debian GNU/Linux"));
        assert!(entries[1].is_selected_by("1") && entries[1].is_selected_by("Advanced options>0"));
        assert!(!entries[1].is_selected_by("0"));
    }

    #[test]
    fn another_entry_is_made_the_default() {
        let selectors: Vec<String> = entries(SAMPLE).iter().map(Entry::selector).collect();
        let advanced = "gnulinux-advanced";
        let b = format!("{advanced}>gnulinux-b");
        assert_eq!(selectors, ["gnulinux-simple".into(), format!("{advanced}>gnulinux-a"), b.clone(), b]);
        for (entry, selector) in entries(SAMPLE).iter().zip(&selectors) {
            assert!(entry.is_selected_by(selector));
            let new = set_default(SAMPLE, selector);
            assert_eq!(new, SAMPLE.replace("1>gnulinux-b", selector));
            assert_eq!(default(&new).as_ref(), Some(selector));
        }
    }

    #[test]
    fn a_variable_is_read_and_changed() {
        let text = "if [ -z \"${kernelopts}\" ]; then\n  set kernelopts=\"root=x ro \"\nfi\n";
        assert_eq!(variable(text, "kernelopts"), Some((2, "root=x ro ")));
        assert_eq!(set_variable(text, 2, "kernelopts", "ro"), text.replace("root=x ro ", "ro"));
        assert_eq!(variable(text, "kernel"), None);
    }

    #[test]
    fn a_command_line_is_edited_in_place() {
        let entries = entries(SAMPLE);
        let (first, second) = (&entries[0], &entries[1]);
        let new = edit_cmdlines(SAMPLE, |line| {
            (line == first.line).then(|| first.cmdline.replace("/dev/xvda1", "UUID=x"))
        });
        assert_eq!(new, SAMPLE.replace("root=/dev/xvda1", "root=UUID=x"));
        let new = edit_cmdlines(SAMPLE, |line| (line == second.line).then(|| "ro".into()));
        assert_eq!(new, SAMPLE.replace("/vmlinuz-5", "/vmlinuz-5 ro"));
    }

    #[test]
    fn the_branch_with_an_initramfs_stays() {
        let lines = initrdless_lines(SAMPLE);
        let text: Vec<&str> = lines.iter().map(|line| SAMPLE.lines().nth(line - 1).unwrap().trim()).collect();
        assert_eq!(
            text,
            [
                "if [ \"${initrdfail}\" = 1 ]; then",
                "else",
                "linux	/vmlinuz-4 root=PARTUUID=2 panic=-1",
                "fi",
                "initrdfail"
            ]
        );
        let new = rewrite(SAMPLE, |line| {
            lines.contains(&line.number).then(|| super::super::comment_out(line.body, "gone"))
        });
        assert!(initrdless_lines(&new).is_empty());
        assert!(
            entries(&new).iter().filter(|entry| entry.title == "b").all(|entry| entry.initrds.len() == 1)
        );
    }

    #[test]
    fn random_text_is_neither_changed_nor_a_problem() {
        let mut random = Random(3);
        for _ in 0..3000 {
            let text = random.text();
            let _ = (entries(&text), default(&text), hidden_menu(&text, "5"), header_end(&text));
            assert_eq!(edit_cmdlines(&text, |_| None), text);
        }
    }
}
