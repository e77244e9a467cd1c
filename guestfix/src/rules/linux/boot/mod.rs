//! Boot loaders, their menus and command lines, and the console.

pub(in crate::rules) mod arguments;
pub(in crate::rules) mod boot_entries;
pub(in crate::rules) mod boot_modules;
pub(in crate::rules) mod esp_fallback_loader;
pub(in crate::rules) mod extlinux_menu;
pub(in crate::rules) mod grub_absent_volumes;
pub(in crate::rules) mod grub_defaults;
pub(in crate::rules) mod grub_initrdless;
pub(in crate::rules) mod grub_numa;
pub(in crate::rules) mod grub_root_device;
pub(in crate::rules) mod grub_serial_console;
pub(in crate::rules) mod grub_serial_menu;
pub(in crate::rules) mod grub_stale_arguments;
pub(in crate::rules) mod immutable;
pub(in crate::rules) mod loader_conf;
pub(in crate::rules) mod next_upgrade;
pub(in crate::rules) mod serial_login;
pub(in crate::rules) mod unified_kernel;
