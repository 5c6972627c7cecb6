//! Caches every package record of this machine and shows what each tier costs.
//!
//!     cargo run --release --example demo [STATUS_FILE]
//!
//! Reads dpkg's list of packages (/var/lib/dpkg/status, or a file of that format), makes an object of each record, puts
//! them all into a cache, opens it anew, and gets every one of them from disk and from memory.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Instant;
use std::{env, fs};

use diskbackedcache::{Cache, TypedCache};
use serde::{Deserialize, Serialize};

const BATCH: usize = 100;
const ROUNDS: usize = 20; // over all records, to time what takes less than a microsecond

#[derive(Debug, Serialize, Deserialize)]
struct Package {
    package: String,
    version: Option<String>,
    architecture: Option<String>,
    section: Option<String>,
    installed_size_kib: Option<u64>,
    depends: Vec<String>,
    description: String,
}

/// The records of a file in dpkg's format: "Field: value" lines, continued by indented ones; blank lines between.
fn packages(text: &str) -> BTreeMap<String, Package> {
    text.split("\n\n").filter_map(package).map(|package| (key(&package), package)).collect()
}

fn key(package: &Package) -> String {
    format!("{}:{}", package.package, package.architecture.as_deref().unwrap_or("any"))
}

fn package(paragraph: &str) -> Option<Package> {
    let mut fields: BTreeMap<&str, String> = BTreeMap::new();
    let mut last = "";
    for line in paragraph.lines() {
        if let Some(more) = line.strip_prefix(' ') {
            let value = fields.get_mut(last)?;
            value.push('\n');
            value.push_str(more);
        } else if let Some((name, value)) = line.split_once(": ") {
            last = name;
            fields.insert(name, value.to_owned());
        }
    }
    let depends = fields.remove("Depends").unwrap_or_default();
    Some(Package {
        package: fields.remove("Package")?,
        version: fields.remove("Version"),
        architecture: fields.remove("Architecture"),
        section: fields.remove("Section"),
        installed_size_kib: fields.remove("Installed-Size").and_then(|size| size.parse().ok()),
        depends: depends.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        description: fields.remove("Description").unwrap_or_default(),
    })
}

fn open(path: &Path) -> diskbackedcache::Result<TypedCache<Package>> {
    Cache::builder().max_memory_items(100_000).open_typed(path, "1")
}

/// Says how long one of `count` takes.
fn timed<T>(what: &str, count: usize, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    println!("{what:32} {:10.2} us each", began.elapsed().as_secs_f64() * 1e6 / count.max(1) as f64);
    result
}

fn main() -> Result<(), Box<dyn Error>> {
    let status = env::args().nth(1).unwrap_or_else(|| "/var/lib/dpkg/status".to_owned());
    let packages =
        packages(&String::from_utf8_lossy(&fs::read(&status).map_err(|error| format!("{status}: {error}"))?));
    let keys: Vec<String> = packages.keys().cloned().collect();
    let count = keys.len();
    println!("{count} packages in {status}\n");

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("packages.db");
    let cache = open(&path)?;
    let mut packages = packages.into_iter().peekable();
    timed("put_many, 100 at a time", count, || {
        while packages.peek().is_some() {
            cache.put_many(packages.by_ref().take(BATCH))?;
        }
        Ok::<_, diskbackedcache::Error>(())
    })?;
    cache.close()?;

    let cache = open(&path)?;
    let get_all = || keys.iter().try_for_each(|key| cache.get(key).map(|found| assert!(found.is_some(), "{key}")));
    timed("get from disk, decoded", count, get_all)?;
    timed("get from memory, the same object", count * ROUNDS, || (0..ROUNDS).try_for_each(|_| get_all()))?;
    println!("\n{:#?}", cache.stats()?);
    Ok(())
}
