//! What happens with files: persistence, schema versions, files that are something else, busy ones.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use diskbackedcache::{Cache, Compression, Error, OnCorrupt, TypedCache, WriteMode};
use tempfile::tempdir;

/// What the sqlite3 shell answers.
fn sqlite3(path: &Path, sql: &str) -> String {
    let output = Command::new("sqlite3").arg(path).arg(sql).output().expect("the sqlite3 shell");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn items_survive() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a/b/cache.db");
    let cache = Cache::open(&path, "1.0.0").unwrap();
    cache.put("key", "value").unwrap();
    drop(cache);
    let cache = Cache::open(&path, "1.0.0").unwrap();
    assert_eq!(&*cache.get("key").unwrap().unwrap(), b"value");
    assert_eq!(cache.stats().unwrap().disk_hits, 1);
    assert_eq!(cache.path(), path);
}

#[test]
fn items_of_another_schema_version_are_gone() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("cache.db");
    TypedCache::<Vec<u32>>::open(&path, "1.0.0").unwrap().put("key", vec![1]).unwrap();
    let cache = TypedCache::<Vec<u32>>::open(&path, "2.0.0").unwrap();
    assert!(cache.get("key").unwrap().is_none());
    assert_eq!((cache.count().unwrap(), cache.stats().unwrap().discarded), (0, 1));
}

#[test]
fn anyone_may_look_in() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("cache.db");
    let cache = TypedCache::<Vec<String>>::open(&path, "1.2.3").unwrap();
    cache.put_at("key", vec!["ü".to_owned()], 1000.5).unwrap();
    cache.flush().unwrap();
    assert_eq!(
        sqlite3(&path, "select key, value, typeof(value), timestamp, schema_version, size from cache"),
        "key|[\"ü\"]|text|1000.5|1.2.3|6\n"
    );
}

#[test]
fn two_handles_see_each_others_writes() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("cache.db");
    let [one, two] = [0, 1].map(|_| TypedCache::<String>::open(&path, "1.0.0").unwrap());
    one.put("key", "from one".to_owned()).unwrap();
    assert_eq!(*two.get("key").unwrap().unwrap(), "from one");
    two.put("key", "from two".to_owned()).unwrap();
    assert_eq!(*one.get("key").unwrap().unwrap(), "from two");
    one.delete("key").unwrap();
    assert!(two.get("key").unwrap().is_none());
    assert_eq!(two.get_many(["key"]).unwrap(), [None]);
}

#[test]
fn a_directory_is_no_file() {
    let folder = tempdir().unwrap();
    let error = Cache::open(folder.path(), "1.0.0").unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error:?}");
    assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
}

#[test]
fn a_damaged_file() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("cache.db");
    fs::write(&path, "no database at all").unwrap();
    let error = Cache::builder().on_corrupt(OnCorrupt::Fail).open(&path, "1.0.0").unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), b"no database at all");
    Cache::open(&path, "1.0.0").unwrap().put("key", "value").unwrap();
    let aside = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(aside.filter(|name| name.contains(".corrupt-")).count(), 1);
}

#[test]
fn somebody_elses_database() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("cache.db");
    sqlite3(&path, "create table theirs(x)");
    let before = fs::read(&path).unwrap();
    let error = Cache::open(&path, "1.0.0").unwrap_err();
    assert!(matches!(error, Error::Foreign(_)), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_newer_format() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("cache.db");
    drop(Cache::open(&path, "1.0.0").unwrap());
    sqlite3(&path, "pragma user_version = 1000");
    let error = Cache::open(&path, "1.0.0").unwrap_err();
    assert!(matches!(error, Error::Version(_)), "{error:?}");
}

/// Another program that has begun to write, until its input ends.
fn holding(path: &Path) -> Child {
    let mut shell = Command::new("sqlite3")
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the sqlite3 shell");
    writeln!(shell.stdin.as_mut().unwrap(), "begin immediate; select 'begun';").unwrap();
    let mut line = String::new();
    BufReader::new(shell.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    shell
}

fn let_go(mut shell: Child) {
    drop(shell.stdin.take());
    shell.wait().unwrap();
}

#[test]
fn a_file_that_others_keep_busy() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("cache.db");
    let cache = Cache::builder().busy_timeout_seconds(0.05).open(&path, "1.0.0").unwrap();
    cache.put("key", "before").unwrap();
    let shell = holding(&path);
    let error = cache.put("key", "after").unwrap_err();
    let_go(shell);
    assert!(matches!(error, Error::Busy(_)), "{error:?}");
    assert_eq!(&*cache.get("key").unwrap().unwrap(), b"before");
    cache.put("key", "after").unwrap();
}

#[test]
fn closing_tells_that_something_is_lost() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("cache.db");
    let builder = Cache::builder().write_mode(WriteMode::Behind).write_behind_delay_seconds(3600.0);
    let cache = builder.busy_timeout_seconds(0.05).open(&path, "1.0.0").unwrap();
    cache.put("key", "value").unwrap();
    let shell = holding(&path);
    let [flushed, closed] = [cache.flush(), cache.close()];
    let_go(shell);
    assert!(matches!(flushed, Err(Error::Busy(_))), "{flushed:?}");
    assert!(matches!(closed, Err(Error::Busy(_))), "{closed:?}");
    cache.close().unwrap();
    assert_eq!(Cache::open(&path, "1.0.0").unwrap().count().unwrap(), 0);
}

#[test]
fn a_value_that_does_not_decode_is_a_miss_while_others_write() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("cache.db");
    let texts: TypedCache<String> = Cache::builder().open_typed(&path, "1").unwrap();
    texts.put("bad", "no number".to_string()).unwrap();
    drop(texts);
    let numbers: TypedCache<u32> = Cache::builder().busy_timeout_seconds(0.05).open_typed(&path, "1").unwrap();
    numbers.put("good", 1).unwrap();
    let shell = holding(&path);
    assert!(numbers.get("bad").unwrap().is_none());
    let found = numbers.get_many(["good", "bad"]).unwrap();
    assert_eq!(found.iter().map(|number| number.as_deref().copied()).collect::<Vec<_>>(), [Some(1), None]);
    let_go(shell);
    assert!(numbers.get("bad").unwrap().is_none());
    assert_eq!(numbers.stats().unwrap().discarded, 1);
}

#[test]
fn compressed_values_come_back_as_they_were() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("cache.db");
    let builder = Cache::builder().compression(Compression::Zstd);
    let cache: TypedCache<String> = builder.open_typed(&path, "1").unwrap();
    let text = "again and again, ".repeat(1000);
    cache.put("key", text.clone()).unwrap();
    assert_eq!(cache.total_size().unwrap(), text.len() as u64 + 2);
    cache.clear_memory().unwrap();
    assert_eq!(*cache.get("key").unwrap().unwrap(), text);
}

#[test]
fn damage_is_found_and_mended() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("cache.db");
    let cache = TypedCache::<String>::open(&path, "1").unwrap();
    cache.put_many([("a", "one".to_owned()), ("b", "two".to_owned())]).unwrap();
    cache.flush().unwrap();
    assert_eq!(cache.check().unwrap().problems, 0);
    sqlite3(&path, "update item set checksum = checksum + 1 where key = 'a'");
    let checked = cache.check().unwrap();
    assert!(checked.problems > 0 && checked.report.contains('a'), "{checked:?}");
    assert_eq!(cache.repair().unwrap(), checked);
    assert_eq!(cache.check().unwrap().problems, 0);
    assert!(cache.get("a").unwrap().is_none());
    assert_eq!(*cache.get("b").unwrap().unwrap(), "two");
    cache.close().unwrap();
    assert!(matches!(cache.check(), Err(Error::Closed(_))));
}
