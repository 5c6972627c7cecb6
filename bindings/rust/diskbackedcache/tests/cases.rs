//! Runs the table of behaviours that all languages share: `tests/interop/cases.json`, described in the README beside it.
//!
//! Cases for bytes run on a `Cache`, those for records on a `TypedCache`; those that need nothing run on both. Each is
//! a test of its own, and arguments select them by parts of their names.

mod interop;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::{env, fs};

use diskbackedcache::{Answer, Builder, Cache, Error, Result, Stats, Tier, TypedCache};
use interop::{Record, builder, seconds, stats_by_name, tier_name};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

type Members = Map<String, Json>;

/// One of many.
type Row<O> = (&'static str, Option<O>);

/// What a get is answered.
struct Found<O> {
    status: &'static str,
    object: Option<O>,
    version: u64,
    timestamp: f64,
}

impl<O> Found<O> {
    fn new(status: &'static str) -> Found<O> {
        Found { status, object: None, version: 0, timestamp: 0.0 }
    }
}

/// A kind of cache that cases run on.
trait Subject: Sized {
    const FEATURES: &[&str];
    /// What goes in and comes out.
    type Object: Clone + Debug;

    fn open(builder: &Builder, path: &Path, schema_version: &str) -> Result<Self>;
    /// From a value of the table.
    fn object(given: &Json) -> Self::Object;
    fn equal(one: &Self::Object, other: &Self::Object) -> bool;
    fn same(one: &Self::Object, other: &Self::Object) -> bool;
    /// Returns the version, or 0 where that is not told.
    fn put(&self, key: &str, object: Self::Object, text: bool, at: Option<f64>) -> Result<u64>;
    fn put_many(&self, items: Vec<(String, Self::Object)>, text: bool, at: Option<f64>) -> Result<Vec<u64>>;
    fn get(&self, key: &str, held: Option<u64>, at: Option<f64>) -> Result<Found<Self::Object>>;
    /// A status and perhaps an object for each.
    fn get_many(&self, keys: &[String], held: Option<Vec<u64>>, at: Option<f64>) -> Result<Vec<Row<Self::Object>>>;
    /// For those with bytes.
    fn bytes(&self) -> Option<&Cache>;

    fn delete(&self, key: &str) -> Result<bool>;
    fn exists(&self, key: &str, at: Option<f64>) -> Result<bool>;
    fn tier(&self, key: &str, at: Option<f64>) -> Result<Option<Tier>>;
    fn delete_many(&self, keys: &[String]) -> Result<u64>;
    fn purge_expired(&self, at: Option<f64>) -> Result<u64>;
    fn clear(&self) -> Result<()>;
    fn clear_memory(&self) -> Result<()>;
    fn flush(&self) -> Result<()>;
    fn close(&self) -> Result<()>;
    fn count(&self) -> Result<u64>;
    fn total_size(&self) -> Result<u64>;
    fn stats(&self) -> Result<Stats>;
}

/// What both kinds have in common.
macro_rules! common_calls {
    () => {
        fn delete(&self, key: &str) -> Result<bool> {
            self.delete(key)
        }
        fn exists(&self, key: &str, at: Option<f64>) -> Result<bool> {
            at.map_or_else(|| self.exists(key), |at| self.exists_at(key, at))
        }
        fn tier(&self, key: &str, at: Option<f64>) -> Result<Option<Tier>> {
            at.map_or_else(|| self.tier(key), |at| self.tier_at(key, at))
        }
        fn delete_many(&self, keys: &[String]) -> Result<u64> {
            self.delete_many(keys)
        }
        fn purge_expired(&self, at: Option<f64>) -> Result<u64> {
            at.map_or_else(|| self.purge_expired(), |at| self.purge_expired_at(at))
        }
        fn clear(&self) -> Result<()> {
            self.clear()
        }
        fn clear_memory(&self) -> Result<()> {
            self.clear_memory()
        }
        fn flush(&self) -> Result<()> {
            self.flush()
        }
        fn close(&self) -> Result<()> {
            self.close()
        }
        fn count(&self) -> Result<u64> {
            self.count()
        }
        fn total_size(&self) -> Result<u64> {
            self.total_size()
        }
        fn stats(&self) -> Result<Stats> {
            self.stats()
        }
    };
}

impl Subject for Cache {
    /// All but keys that are not UTF-8, which a `&str` cannot be.
    const FEATURES: &[&str] = &["bytes", "versions", "timestamps", "into", "binding", "check"];
    type Object = Vec<u8>;

    fn open(builder: &Builder, path: &Path, schema_version: &str) -> Result<Cache> {
        builder.open(path, schema_version)
    }

    fn object(given: &Json) -> Vec<u8> {
        bytes_of(given)
    }

    fn equal(one: &Vec<u8>, other: &Vec<u8>) -> bool {
        one == other
    }

    fn same(_: &Vec<u8>, _: &Vec<u8>) -> bool {
        unreachable!("no feature of this")
    }

    fn put(&self, key: &str, object: Vec<u8>, text: bool, at: Option<f64>) -> Result<u64> {
        match (text.then(|| std::str::from_utf8(&object).unwrap()), at) {
            (None, None) => self.put(key, object),
            (None, Some(at)) => self.put_at(key, object, at),
            (Some(text), None) => self.put(key, text),
            (Some(text), Some(at)) => self.put_at(key, text, at),
        }
    }

    fn put_many(&self, items: Vec<(String, Vec<u8>)>, text: bool, at: Option<f64>) -> Result<Vec<u64>> {
        if text {
            let items = items.into_iter().map(|(key, value)| (key, String::from_utf8(value).unwrap()));
            return at.map_or_else(|| self.put_many(items.clone()), |at| self.put_many_at(items.clone(), at));
        }
        at.map_or_else(|| self.put_many(items.clone()), |at| self.put_many_at(items.clone(), at))
    }

    fn get(&self, key: &str, held: Option<u64>, at: Option<f64>) -> Result<Found<Vec<u8>>> {
        let value = match (held, at) {
            (None, None) => self.get(key)?,
            (None, Some(at)) => self.get_at(key, at)?,
            (Some(held), at) => {
                let answer = at.map_or_else(|| self.get_changed(key, held), |at| self.get_changed_at(key, held, at))?;
                match answer {
                    Answer::Unchanged => return Ok(Found::new("DBC_UNCHANGED")),
                    Answer::Changed(value) => Some(value),
                    Answer::Missing => None,
                }
            }
        };
        Ok(value.map_or(Found::new("DBC_NOT_FOUND"), |value| Found {
            status: "DBC_OK",
            object: Some(value.to_vec()),
            version: value.version(),
            timestamp: value.timestamp(),
        }))
    }

    fn get_many(&self, keys: &[String], held: Option<Vec<u64>>, at: Option<f64>) -> Result<Vec<Row<Vec<u8>>>> {
        let entries = match (held.map(|held| keys.iter().zip(held)), at) {
            (None, None) => self.get_many(keys)?,
            (None, Some(at)) => self.get_many_at(keys, at)?,
            (Some(held), None) => self.get_many_changed(held)?,
            (Some(held), Some(at)) => self.get_many_changed_at(held, at)?,
        };
        let rows = entries.iter().enumerate().map(|(row, entry)| match entry {
            Some(entry) => ("DBC_OK", Some(entry.to_vec())),
            None if entries.is_unchanged(row) => ("DBC_UNCHANGED", None),
            None => ("DBC_NOT_FOUND", None),
        });
        Ok(rows.collect())
    }

    fn bytes(&self) -> Option<&Cache> {
        Some(self)
    }

    common_calls!();
}

/// What a typed cache may hold here.
trait Typed: Serialize + DeserializeOwned + PartialEq + Debug {
    const FEATURES: &[&str];
    fn from_table(given: &Json) -> Self;
}

impl Typed for Record {
    const FEATURES: &[&str] = &["objects"];

    fn from_table(given: &Json) -> Record {
        serde_json::from_value(given.clone()).expect("a record")
    }
}

/// Without the feature "bytes" all values are decimal integers, which have the same size as JSON. Some are large.
#[derive(Debug, Serialize, Deserialize)]
struct Integer(Box<RawValue>);

impl PartialEq for Integer {
    fn eq(&self, other: &Integer) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Typed for Integer {
    const FEATURES: &[&str] = &[];

    fn from_table(given: &Json) -> Integer {
        Integer(RawValue::from_string(text_of(given)).expect("an integer"))
    }
}

impl<T: Typed> Subject for TypedCache<T> {
    const FEATURES: &[&str] = T::FEATURES;
    type Object = Arc<T>;

    fn open(builder: &Builder, path: &Path, schema_version: &str) -> Result<TypedCache<T>> {
        builder.open_typed(path, schema_version)
    }

    fn object(given: &Json) -> Arc<T> {
        Arc::new(T::from_table(given))
    }

    fn equal(one: &Arc<T>, other: &Arc<T>) -> bool {
        one == other
    }

    fn same(one: &Arc<T>, other: &Arc<T>) -> bool {
        Arc::ptr_eq(one, other)
    }

    fn put(&self, key: &str, object: Arc<T>, _: bool, at: Option<f64>) -> Result<u64> {
        match at {
            None => self.put(key, object)?,
            Some(at) => self.put_at(key, object, at)?,
        }
        Ok(0)
    }

    fn put_many(&self, items: Vec<(String, Arc<T>)>, _: bool, at: Option<f64>) -> Result<Vec<u64>> {
        match at {
            None => self.put_many(items)?,
            Some(at) => self.put_many_at(items, at)?,
        }
        Ok(Vec::new())
    }

    fn get(&self, key: &str, _: Option<u64>, at: Option<f64>) -> Result<Found<Arc<T>>> {
        let object = at.map_or_else(|| self.get(key), |at| self.get_at(key, at))?;
        let status = if object.is_some() { "DBC_OK" } else { "DBC_NOT_FOUND" };
        Ok(Found { object, ..Found::new(status) })
    }

    fn get_many(&self, keys: &[String], _: Option<Vec<u64>>, at: Option<f64>) -> Result<Vec<Row<Arc<T>>>> {
        let found = at.map_or_else(|| self.get_many(keys), |at| self.get_many_at(keys, at))?;
        let status = |object: &Option<Arc<T>>| if object.is_some() { "DBC_OK" } else { "DBC_NOT_FOUND" };
        Ok(found.into_iter().map(|object| (status(&object), object)).collect())
    }

    fn bytes(&self) -> Option<&Cache> {
        None
    }

    common_calls!();
}

/// A text, `{"repeat", "times"}` or `{"hex"}`.
fn bytes_of(given: &Json) -> Vec<u8> {
    if let Some(text) = given.as_str() {
        return text.into();
    }
    if let Some(hex) = given.get("hex").and_then(Json::as_str) {
        let digits = |i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex digits");
        return (0..hex.len()).step_by(2).map(digits).collect();
    }
    given["repeat"].as_str().expect("a text").repeat(given["times"].as_u64().expect("a number") as usize).into()
}

fn text_of(given: &Json) -> String {
    String::from_utf8(bytes_of(given)).expect("a text: raw keys are no feature of this")
}

fn list_of(given: Option<Json>) -> Vec<Json> {
    given.map_or_else(Vec::new, |given| given.as_array().expect("a list").clone())
}

fn name_of(given: &Json) -> String {
    given.as_str().expect("a name").to_owned()
}

/// Takes what the step gives, so that what is left over in the end nobody knew.
struct Step {
    given: Members,
    expect: Members,
}

impl Step {
    fn new(given: &Json) -> Step {
        let mut given = given.as_object().expect("a step").clone();
        let expect = given.remove("expect").map_or_else(Members::new, |expect| expect.as_object().unwrap().clone());
        Step { given, expect }
    }

    fn take(&mut self, name: &str) -> Option<Json> {
        self.given.remove(name)
    }

    fn key(&mut self) -> String {
        text_of(&self.take("key").expect("a key"))
    }

    fn keys(&mut self) -> Vec<String> {
        list_of(self.take("keys")).iter().map(text_of).collect()
    }

    fn is_text(&mut self) -> bool {
        self.take("text").is_some_and(|text| text.as_bool().unwrap())
    }

    #[track_caller]
    fn expects(&mut self, name: &str, actual: impl Into<Json>) {
        assert_eq!(Some(actual.into()), self.expect.remove(name), "{name}");
    }
}

struct Settings {
    path: String,
    schema_version: String,
    options: Members,
}

struct CaseRun<'a, S: Subject> {
    case: &'a Members,
    folder: &'a Path,
    handles: HashMap<String, (S, Settings)>,
    versions: HashMap<String, u64>,
    objects: HashMap<String, S::Object>,
}

impl<S: Subject> CaseRun<'_, S> {
    fn run(mut self) {
        if self.case.get("opened") != Some(&Json::Bool(false)) {
            self.step(&serde_json::json!({"op": "open"}));
        }
        for (number, step) in self.case["steps"].as_array().expect("a list").iter().enumerate() {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.step(step))) {
                eprintln!("in step {}, {step}", number + 1);
                std::panic::resume_unwind(panic);
            }
        }
        for (cache, _) in self.handles.values() {
            cache.close().unwrap();
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        if path == ":memory:" { path.into() } else { self.folder.join(path) }
    }

    fn setting(&self, step: &mut Step, name: &str, default: Json) -> Json {
        step.take(name).or_else(|| self.case.get(name).cloned()).unwrap_or(default)
    }

    fn open(&mut self, name: String, settings: Settings) -> Result<()> {
        let builder = builder(&settings.options).expect("options");
        let cache = S::open(&builder, &self.path(&settings.path), &settings.schema_version)?;
        assert!(self.handles.insert(name, (cache, settings)).is_none(), "that handle is open already");
        Ok(())
    }

    fn step(&mut self, given: &Json) {
        let mut step = Step::new(given);
        let status = step.expect.remove("status").map_or_else(|| "DBC_OK".to_owned(), |status| name_of(&status));
        let message = step.expect.remove("error");
        let part = step.expect.remove("error_part");
        let op = name_of(&step.take("op").expect("an op"));
        match self.operate(&op, &mut step) {
            Ok(actual) => {
                assert_eq!(actual, status);
                assert!(message.is_none() && part.is_none(), "the step did not fail");
                assert!(step.expect.is_empty(), "not known to be expected: {:?}", step.expect);
            }
            Err(error) => {
                assert_eq!(error.name(), status, "{error}");
                assert!(message.is_some() || part.is_some(), "{error}");
                let text = error.to_string();
                assert!(message.is_none_or(|message| message == text), "{text}");
                assert!(part.is_none_or(|part| text.contains(part.as_str().unwrap())), "{text}");
                if let Some(size) = step.expect.remove("size") {
                    let needed = if let Error::BufferTooSmall { needed, .. } = error { needed } else { 0 };
                    assert_eq!(size, needed);
                }
            }
        }
        assert!(step.given.is_empty(), "members that are not known: {:?}", step.given);
    }

    /// The status, when it is no error.
    fn operate(&mut self, op: &str, step: &mut Step) -> Result<&'static str> {
        let handle = step.take("handle").map_or_else(|| "a".to_owned(), |handle| name_of(&handle));
        match op {
            "open" => {
                let settings = Settings {
                    path: name_of(&self.setting(step, "path", "cache.db".into())),
                    schema_version: text_of(&self.setting(step, "schema_version", "1".into())),
                    options: self.setting(step, "options", Members::new().into()).as_object().unwrap().clone(),
                };
                return self.open(handle, settings).map(|()| "DBC_OK");
            }
            "reopen" => {
                let (cache, mut settings) = self.handles.remove(&handle).expect("an open handle");
                cache.close().unwrap();
                drop(cache);
                if let Some(version) = step.take("schema_version") {
                    settings.schema_version = text_of(&version);
                }
                if let Some(options) = step.take("options") {
                    settings.options = options.as_object().unwrap().clone();
                }
                return self.open(handle, settings).map(|()| "DBC_OK");
            }
            "sql" => {
                let path = name_of(&self.setting(step, "path", "cache.db".into()));
                let sql = name_of(&step.take("sql").unwrap());
                let done = Command::new("sqlite3").arg(self.path(&path)).arg(sql).output().expect("the sqlite3 shell");
                assert!(done.status.success(), "{done:?}");
                let wanted = step.expect.remove("output").unwrap_or_default();
                let output = String::from_utf8(done.stdout).unwrap();
                assert_eq!(output.trim_end_matches('\n'), wanted.as_str().unwrap_or_default());
                return Ok("DBC_OK");
            }
            "write_file" => {
                let path = self.path(&name_of(&step.take("path").unwrap()));
                fs::write(path, bytes_of(&step.take("value").unwrap())).unwrap();
                return Ok("DBC_OK");
            }
            _ => {}
        }

        let (cache, _) = self.handles.get(&handle).expect("an open handle");
        let at = step.take("at").map(|at| seconds(&at));
        let found_or_not = |found: bool| if found { "DBC_OK" } else { "DBC_NOT_FOUND" };
        match op {
            "close" => cache.close()?,
            "put" => {
                let (key, text) = (step.key(), step.is_text());
                let given = S::object(&step.take("value").expect("a value"));
                let object = match step.take("object") {
                    Some(name) => self.objects.entry(name_of(&name)).or_insert(given).clone(),
                    None => given,
                };
                let remember = step.take("remember");
                let version = cache.put(&key, object, text, at)?;
                Self::remember(&mut self.versions, remember, version);
                Self::check_version(&self.versions, step, version);
            }
            "get" => {
                let held = step.take("held").map(|name| self.versions[&name_of(&name)]);
                let (key, remember, object) = (step.key(), step.take("remember"), step.take("object"));
                let found = cache.get(&key, held, at)?;
                let Some(present) = found.object else {
                    return Ok(found.status);
                };
                let wanted = S::object(&step.expect.remove("value").expect("a value"));
                assert!(S::equal(&present, &wanted), "{present:?} is not {wanted:?}");
                for (name, same) in [("same_object", true), ("other_object", false)] {
                    if let Some(name) = step.expect.remove(name) {
                        assert_eq!(S::same(&present, &self.objects[&name_of(&name)]), same, "{name}");
                    }
                }
                if step.expect.contains_key("timestamp") {
                    let wanted = seconds(&step.expect.remove("timestamp").unwrap());
                    assert_eq!(found.timestamp, wanted);
                }
                if let Some(name) = object {
                    self.objects.insert(name_of(&name), present);
                }
                Self::remember(&mut self.versions, remember, found.version);
                Self::check_version(&self.versions, step, found.version);
            }
            "get_into" => {
                let mut buffer = vec![0; step.take("capacity").unwrap().as_u64().unwrap() as usize];
                let (key, remember) = (step.key(), step.take("remember"));
                let bytes = cache.bytes().expect("a feature of this");
                let copied = match at {
                    None => bytes.get_into(&key, &mut buffer)?,
                    Some(at) => bytes.get_into_at(&key, &mut buffer, at)?,
                };
                step.expects("size", copied.map_or(0, |copied| copied.size));
                let Some(copied) = copied else {
                    return Ok("DBC_NOT_FOUND");
                };
                assert_eq!(buffer[..copied.size], bytes_of(&step.expect.remove("value").unwrap()));
                Self::remember(&mut self.versions, remember, copied.version);
                Self::check_version(&self.versions, step, copied.version);
            }
            "delete" => return cache.delete(&step.key()).map(found_or_not),
            "exists" => return cache.exists(&step.key(), at).map(found_or_not),
            "tier" => {
                let tier = cache.tier(&step.key(), at)?;
                step.expects("tier", tier_name(tier));
            }
            "tiers" => {
                for tier in ["memory", "disk", "none"] {
                    for key in list_of(step.expect.remove(tier)) {
                        assert_eq!(tier_name(cache.tier(&text_of(&key), at)?), tier, "tier of {key}");
                    }
                }
            }
            "put_many" => {
                let (text, remember) = (step.is_text(), list_of(step.take("remember")));
                let items = list_of(step.take("items"));
                let items = items.iter().map(|item| (text_of(&item[0]), S::object(&item[1]))).collect();
                let versions = cache.put_many(items, text, at)?;
                for (position, name) in remember.into_iter().enumerate() {
                    Self::remember(&mut self.versions, Some(name), versions[position]);
                }
            }
            "get_many" => {
                let keys = step.keys();
                let version = |name: &Json| name.as_str().map_or(0, |name| self.versions[name]);
                let held = step.take("held").map(|held| list_of(Some(held)).iter().map(version).collect());
                let found = cache.get_many(&keys, held, at)?;
                let statuses: Vec<&str> = found.iter().map(|(status, _)| *status).collect();
                if let Some(wanted) = step.expect.remove("statuses") {
                    assert_eq!(Json::from(statuses), wanted);
                }
                let wanted = list_of(step.expect.remove("values"));
                assert_eq!(found.len(), wanted.len());
                for ((_, found), wanted) in found.iter().zip(&wanted) {
                    match found {
                        Some(found) => assert!(S::equal(found, &S::object(wanted)), "{found:?} is not {wanted}"),
                        None => assert!(wanted.is_null(), "there is no {wanted}"),
                    }
                }
            }
            "delete_many" => {
                let count = cache.delete_many(&step.keys())?;
                step.expects("count", count);
            }
            "clear" => cache.clear()?,
            "clear_memory" => cache.clear_memory()?,
            "flush" => cache.flush()?,
            "purge_expired" => {
                let count = cache.purge_expired(at)?;
                step.expects("count", count);
            }
            "count" => {
                let count = cache.count()?;
                step.expects("count", count);
            }
            "total_size" => {
                let size = cache.total_size()?;
                step.expects("bytes", size);
            }
            "stats" => {
                let stats = cache.stats()?;
                assert_eq!(stats.total_gets, stats.memory_hits + stats.disk_hits + stats.misses);
                let actual = stats_by_name(&stats);
                let wanted = step.expect.remove("stats").unwrap_or_else(|| Members::new().into());
                for (name, wanted) in wanted.as_object().unwrap() {
                    assert_eq!(&actual[name], wanted, "{name}");
                }
            }
            "discard" => {
                let version = self.versions[&name_of(&step.take("version").unwrap())];
                let was_memory_hit = step.take("was_memory_hit").unwrap() == 1;
                cache.bytes().expect("a feature of this").discard(&step.key(), version, was_memory_hit)?;
            }
            "check" => {
                let bytes = cache.bytes().expect("a feature of this");
                let repair = step.take("repair").is_some_and(|repair| repair.as_bool().unwrap());
                let checked = if repair { bytes.repair()? } else { bytes.check()? };
                step.expects("problems", checked.problems);
            }
            "dropped" => {
                let mut versions = [0; 1024];
                let dropped = cache.bytes().expect("a feature of this").dropped(&mut versions)?;
                let wanted = list_of(step.expect.remove("versions"));
                let wanted: Vec<u64> = wanted.iter().map(|name| self.versions[&name_of(name)]).collect();
                assert_eq!((&versions[..dropped.count], dropped.overflowed), (&*wanted, false));
            }
            _ => panic!("unknown operation {op}"),
        }
        Ok("DBC_OK")
    }

    fn remember(versions: &mut HashMap<String, u64>, name: Option<Json>, version: u64) {
        if let Some(name) = name {
            assert_ne!(version, 0);
            versions.insert(name_of(&name), version);
        }
    }

    fn check_version(versions: &HashMap<String, u64>, step: &mut Step, version: u64) {
        if let Some(name) = step.expect.remove("version_of") {
            assert_eq!(version, versions[&name_of(&name)]);
        }
        if let Some(name) = step.expect.remove("newer_than") {
            assert!(version > versions[&name_of(&name)], "the version is no newer");
        }
    }
}

fn needs(case: &Members) -> BTreeSet<&str> {
    let needs = case.get("needs").and_then(Json::as_array);
    needs.map_or_else(BTreeSet::new, |needs| needs.iter().map(|need| need.as_str().expect("a feature")).collect())
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
        let run = CaseRun::<S> {
            case,
            folder: folder.path(),
            handles: HashMap::new(),
            versions: HashMap::new(),
            objects: HashMap::new(),
        };
        let passed = catch_unwind(AssertUnwindSafe(|| run.run())).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        outcomes.push((name, passed));
    }
    if wanted.is_empty() {
        for feature in S::FEATURES {
            let name = format!("{kind}::feature_{feature}");
            let passed = cases.iter().any(|case| needs(case.as_object().unwrap()).contains(feature));
            println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
            outcomes.push((name, passed));
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
