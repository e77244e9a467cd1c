//! What the program is made of.

use std::process::Command;

use testimages::judge;

/// The stand-in for AWS is for tests alone, and so is a server.
#[test]
fn no_server_and_no_stand_in_is_in_the_program() {
    let mut tree = Command::new(env!("CARGO"));
    tree.current_dir(env!("CARGO_MANIFEST_DIR"));
    tree.args(["tree", "--package", "refloat", "--edges", "normal", "--prefix", "none", "--locked"]);
    let listed = judge::run(&mut tree);
    let names: Vec<String> = String::from_utf8_lossy(&listed.stdout)
        .lines()
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect();
    assert!(names.iter().any(|name| name == "libdisk"), "{names:?}");
    for unwanted in ["axum", "hyper", "standin", "testimages", "h2"] {
        assert!(!names.iter().any(|name| name == unwanted), "{unwanted} is in the program");
    }
}
