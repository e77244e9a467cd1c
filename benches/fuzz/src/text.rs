//! The lossless editors of configuration files, and plans.

use guestfix::plan::Plan;
use guestfix::text::{
    bls, cmdline, crypttab, extlinux, fstab, grub_cfg, grubenv, ini, interfaces, lvm_conf, menu_lst,
    shell_assign, yaml_outline,
};

/// Every editor leaves alone, to the byte, what it is not told to change.
pub fn text(input: &[u8]) {
    let text = &*String::from_utf8_lossy(input);
    assert_eq!(cmdline::edit(text, |_| cmdline::Change::Keep), text);
    assert_eq!(fstab::edit(text, |_| None), text);
    assert_eq!(crypttab::edit(text, |_| None), text);
    assert_eq!(grub_cfg::edit_cmdlines(text, |_| None), text);
    assert_eq!(menu_lst::edit_cmdlines(text, |_| None), text);
    assert_eq!(extlinux::edit_cmdlines(text, |_| None), text);
    assert_eq!(bls::edit_options(text, |_| None), text);
    assert_eq!(ini::edit(text, |_| None), text);
    assert_eq!(interfaces::comment_out_stanzas(text, "fuzz", |_| false), text);
    assert_eq!(shell_assign::edit(text, |_| None), text);
    let gone = fstab::edit(text, |_| Some(fstab::Change::CommentOut("fuzz")));
    assert!(fstab::entries(&gone).is_empty(), "{gone:?}");
    let _ = (grub_cfg::entries(text), grub_cfg::default(text), grub_cfg::initrdless_lines(text));
    let _ = (lvm_conf::settings(text), yaml_outline::outline(text), grubenv::set(input, "a", Some("b")));
}

/// A plan as a file.
pub fn plan(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(plan) = Plan::from_json(&text) {
        let _ = (plan.ready(), plan.digest(), plan.to_json());
    }
}
