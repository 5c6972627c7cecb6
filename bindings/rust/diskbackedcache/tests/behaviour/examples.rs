//! The example programs, which cargo has built beside the tests.

use std::env;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::tempdir;

/// Its standard output.
fn run(example: &str, arguments: &[&str], folder: &Path, input: &str) -> String {
    // target/debug/deps/behaviour-... and target/debug/examples/...
    let program = env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples").join(example);
    let mut child = Command::new(&program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error} (cargo test builds it, unless told --test)", program.display()));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn users() {
    let folder = tempdir().unwrap();
    let first = run("users", &[], folder.path(), "");
    assert!(first.starts_with("found from an earlier run: None\n") && first.contains("items: 99"), "{first}");
    let second = run("users", &[], folder.path(), "");
    assert!(second.starts_with("found from an earlier run: Some(User { name: \"Ada\""), "{second}");
}

#[test]
fn demo() {
    let folder = tempdir().unwrap();
    let records = "Package: a\nArchitecture: all\nVersion: 1\nDescription: one\n more\n\nPackage: b\nDepends: a, c\n";
    std::fs::write(folder.path().join("status"), records).unwrap();
    let output = run("demo", &["status"], folder.path(), "");
    assert!(output.starts_with("2 packages in status\n"), "{output}");
    assert!(output.contains("memory_hits: 40") && output.contains("disk_hits: 2"), "{output}");
}

/// What the tests of all languages together rely on: answers in order, and errors that do not end it.
#[test]
fn worker() {
    let folder = tempdir().unwrap();
    let record = r#"{"id":1,"name":"Ada","tags":["x"],"score":0.5,"address":null}"#;
    let requests = [
        r#"{"op":"get","key":"k"}"#.to_owned(),
        r#"{"op":"open","path":"c.db","schema_version":"1","options":{"max_memory_items":5}}"#.to_owned(),
        format!(r#"{{"op":"put","key":"k","record":{record}}}"#),
        r#"{"op":"get","key":"k"}"#.to_owned(),
        r#"{"op":"get","key":""}"#.to_owned(),
        "no request".to_owned(),
        r#"{"op":"open","path":"c.db","schema_version":"1","options":{"no_such":5}}"#.to_owned(),
        r#"{"op":"close"}"#.to_owned(),
        r#"{"op":"get","key":"k"}"#.to_owned(),
    ];
    let output = run("interop", &[], folder.path(), &(requests.join("\n") + "\n"));
    let answers: Vec<serde_json::Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let outcomes: Vec<_> = answers.iter().map(|answer| answer["error"].as_str().unwrap_or("")).collect();
    let (bad, closed) = ("DBC_INVALID_ARGUMENT", "DBC_CLOSED");
    assert_eq!(outcomes, [bad, "", "", "", bad, bad, bad, "", closed]);
    assert_eq!(answers[3]["record"], serde_json::from_str::<serde_json::Value>(record).unwrap());
}
