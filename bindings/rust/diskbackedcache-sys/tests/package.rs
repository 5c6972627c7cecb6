//! A published crate brings the source of the library: everything that is compiled, as it is in the repository.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn files_below(folder: &Path, files: &mut BTreeSet<PathBuf>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "cc" || extension == "h") {
            files.insert(path);
        }
    }
}

#[test]
fn the_package_has_the_source_of_the_library() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wanted = BTreeSet::new();
    files_below(&folder.join("core/src"), &mut wanted);
    files_below(&folder.join("core/include"), &mut wanted);
    assert!(wanted.contains(&folder.join("core/include/dbc.h")));

    let output = Command::new(env::var_os("CARGO").expect("run by cargo"))
        .args(["package", "--list", "--allow-dirty", "--offline", "-p", "diskbackedcache-sys"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let listed = String::from_utf8(output.stdout).unwrap();
    let listed: BTreeSet<PathBuf> = listed.lines().map(|line| folder.join(line)).collect();
    let lacking: Vec<_> = wanted.difference(&listed).collect();
    assert!(lacking.is_empty(), "not in the package: {lacking:?}");
    assert!(listed.contains(&folder.join("LICENSE")) && listed.contains(&folder.join("src/bindings.rs")));
}
