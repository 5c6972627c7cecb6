//! Runs the table of behaviours that all languages share: `tests/interop/cases.json`, described in the README beside
//! it.
//!
//! Cases for bytes run on a `Cache`, those for records on a `TypedCache`; those that need nothing run on both. Each is
//! a test of its own, and arguments select them by parts of their names.

#[path = "../interop/mod.rs"]
mod interop;
mod operations;
mod run;
mod subjects;
mod table;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use diskbackedcache::{Cache, TypedCache};
use interop::Record;
use run::CaseRun;
use serde_json::Value as Json;
use subjects::{Integer, Subject};
use table::{Members, name_of};

fn needs(case: &Members) -> BTreeSet<&str> {
    let needs = case.get("needs").and_then(Json::as_array);
    needs.map_or_else(BTreeSet::new, |needs| needs.iter().map(|need| need.as_str().expect("a feature")).collect())
}

fn told(name: String, passed: bool) -> (String, bool) {
    println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
    (name, passed)
}

/// Runs the cases that this kind of cache can run, and says which passed.
fn run_all<S: Subject>(kind: &str, cases: &[Json], wanted: &[String], exactly: bool) -> Vec<(String, bool)> {
    let mut outcomes = Vec::new();
    for case in cases {
        let case = case.as_object().expect("a case");
        let needs = needs(case);
        let able = needs.iter().all(|need| S::FEATURES.contains(need)) && (!exactly || !needs.is_empty());
        let name = format!("{kind}::{}", name_of(&case["name"]));
        if !able || !(wanted.is_empty() || wanted.iter().any(|part| name.contains(part))) {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let run = CaseRun::<S>::new(case, folder.path());
        let passed = catch_unwind(AssertUnwindSafe(|| run.run())).is_ok();
        outcomes.push(told(name, passed));
    }
    if wanted.is_empty() {
        for feature in S::FEATURES {
            let name = format!("{kind}::feature_{feature}");
            let passed = cases.iter().any(|case| needs(case.as_object().unwrap()).contains(feature));
            outcomes.push(told(name, passed));
        }
    }
    outcomes
}

/// Prints what the test harness prints.
fn main() -> ExitCode {
    let wanted: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/interop/cases.json");
    let table = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let table: Json = serde_json::from_slice(&table).expect("JSON");
    let cases = table["cases"].as_array().expect("a list");

    let mut outcomes = run_all::<Cache>("bytes", cases, &wanted, false);
    outcomes.extend(run_all::<TypedCache<Integer>>("integers", cases, &wanted, false));
    outcomes.extend(run_all::<TypedCache<Record>>("records", cases, &wanted, true));

    let failed: Vec<&String> = outcomes.iter().filter(|(_, passed)| !passed).map(|(name, _)| name).collect();
    let (verdict, passed) = (if failed.is_empty() { "ok" } else { "FAILED" }, outcomes.len() - failed.len());
    if !failed.is_empty() {
        println!("\nfailures: {failed:?}");
    }
    println!("\ntest result: {verdict}. {passed} passed; {} failed; 0 ignored\n", failed.len());
    if failed.is_empty() && !(outcomes.is_empty() && wanted.is_empty()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
