//! GRUB's configuration in the shape `grub-mkconfig` gives it. Our own text: only what GRUB's language asks
//! for is alike.

/// One generated `grub.cfg`.
pub(super) struct Grub<'a> {
    /// The name in the menu, such as `Debian GNU/Linux`.
    pub(super) name: &'a str,
    /// Newest first.
    pub(super) releases: &'a [&'a str],
    /// The value of `root=`.
    pub(super) root: &'a str,
    /// The UUID of the file system that holds the kernels.
    pub(super) boot_uuid: &'a str,
    /// The directory of the kernels there: `/boot`, or nothing when that is a file system of its own.
    pub(super) boot: &'a str,
    /// The rest of the command line.
    pub(super) arguments: &'a str,
    /// GRUB's module for the partition table.
    pub(super) table: &'a str,
    /// Whether the image boots without its initramfs first, as Ubuntu's for AWS do: the `PARTUUID` to name
    /// then.
    pub(super) initrdless: Option<&'a str>,
    /// How the name of an initramfs begins and ends around the release.
    pub(super) initrd: (&'a str, &'a str),
}

impl Grub<'_> {
    /// The text of `grub.cfg`.
    pub(super) fn configuration(&self) -> String {
        let Self { name, root, boot_uuid, .. } = self;
        let newest = self.releases.first().copied().unwrap_or_default();
        let submenu: String = self
            .releases
            .iter()
            .flat_map(|release| {
                let title = format!("{name}, with Linux {release}");
                [
                    self.entry(
                        "\t",
                        &title,
                        &format!("gnulinux-{release}-advanced-{boot_uuid}"),
                        release,
                        self.arguments,
                    ),
                    self.entry(
                        "\t",
                        &format!("{title} (recovery mode)"),
                        &format!("gnulinux-{release}-recovery-{boot_uuid}"),
                        release,
                        "single",
                    ),
                ]
            })
            .collect();
        let simple = self.entry("", name, &format!("gnulinux-simple-{boot_uuid}"), newest, self.arguments);
        let fallback = match self.initrdless {
            Some(partition) => format!("GRUB_FORCE_PARTUUID={partition}\n\n{INITRDFAIL}"),
            None => String::new(),
        };
        let serial =
            "serial --speed=115200 --unit=0\nterminal_input console serial\nterminal_output console serial\n";
        format!(
            "#\n# Generated file: a synthetic for tests, in the shape of grub-mkconfig's\n#\n\n\
             ### BEGIN /etc/grub.d/00_header ###\n{HEADER}{fallback}{serial}\
             set timeout=0\n### END /etc/grub.d/00_header ###\n\n\
             ### BEGIN /etc/grub.d/10_linux ###\n{simple}\
             submenu 'Advanced options for {name}' $menuentry_id_option 'gnulinux-advanced-{boot_uuid}' {{\n{submenu}}}\n\
             ### END /etc/grub.d/10_linux ###\n\n\
             ### BEGIN /etc/grub.d/40_custom ###\n# root={root} is what this machine was installed with.\n\
             ### END /etc/grub.d/40_custom ###\n"
        )
    }

    fn entry(&self, indent: &str, title: &str, id: &str, release: &str, arguments: &str) -> String {
        let Self { root, boot, boot_uuid, table, .. } = self;
        let class = self.name.split(' ').next().unwrap_or_default().to_lowercase();
        let kernel = format!("{boot}/vmlinuz-{release}");
        let (start, end) = self.initrd;
        let initrd = format!("initrd\t{boot}/{start}{release}{end}");
        let mut lines = vec![
            "load_video".to_owned(),
            "insmod gzio".to_owned(),
            format!("insmod {table}"),
            "insmod ext2".to_owned(),
            format!("search --no-floppy --fs-uuid --set=root {boot_uuid}"),
            format!("echo\t'Loading Linux {release} ...'"),
        ];
        match self.initrdless {
            None => lines.extend([
                format!("linux\t{kernel} root={root} ro {arguments}"),
                "echo\t'Loading initial ramdisk ...'".to_owned(),
                initrd,
            ]),
            Some(partition) => lines.extend([
                "if [ \"${initrdfail}\" = 1 ]; then".to_owned(),
                "  echo\t'GRUB_FORCE_PARTUUID set, initrdless boot failed. Attempting with initrd.'"
                    .to_owned(),
                format!("  linux\t{kernel} root={root} ro {arguments}"),
                format!("  {initrd}"),
                "else".to_owned(),
                "  echo\t'GRUB_FORCE_PARTUUID set, attempting initrdless boot.'".to_owned(),
                format!("  linux\t{kernel} root=PARTUUID={partition} ro {arguments} panic=-1"),
                "fi".to_owned(),
                "initrdfail".to_owned(),
            ]),
        }
        let body: String = lines.iter().map(|line| format!("{indent}\t{line}\n")).collect();
        format!(
            "{indent}menuentry '{title}' --class {class} --class gnu-linux --class os $menuentry_id_option '{id}' {{\n\
             {body}{indent}}}\n"
        )
    }
}

/// GRUB's environment block: 1024 bytes, filled up with `#`.
pub(super) fn environment(variables: &[&str]) -> Vec<u8> {
    let mut block = b"# GRUB Environment Block\n".to_vec();
    for variable in variables {
        block.extend(variable.as_bytes());
        block.push(b'\n');
    }
    block.resize(1024, b'#');
    block
}

const HEADER: &str = r#"if [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${next_entry}" ]; then
  set default="${next_entry}"
  set next_entry=
  save_env next_entry
else
  set default="0"
fi
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
function load_video {
  insmod all_video
}
"#;

const INITRDFAIL: &str = r"function initrdfail {
  if [ -n ${initrdfail} ]; then
    set initrdfail=2
  else
    set initrdfail=1
  fi
  save_env initrdfail
}
";
