//! What calls cost, beside the best peers there are, in the same run: `cargo bench` in this folder.
//!
//! Values have 512 bytes. The table shows the median time of a call (of batches: of an item) in microseconds. With
//! `DBC_BENCH_JSON=FILE` the same goes into a file, as JSON.
//!
//! What is compared is what each is for: moka and quick_cache hold memory alone, redb is a store on disk without limits
//! or order of use, foyer is both, and writes to disk in the background, without a promise when.

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use criterion::{Bencher, BenchmarkGroup, Criterion, measurement::WallTime};
use diskbackedcache::{Cache, Durability, TypedCache};
use foyer::{BlockEngineConfig, DeviceBuilder, FsDeviceBuilder, HybridCache, HybridCacheBuilder, HybridCachePolicy};
use redb::{Database, ReadableDatabase, TableDefinition};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

const ITEMS: usize = 10_000;
const BATCH: usize = 1000;
const VALUE_SIZE: usize = 512;
const TABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("cache");

#[derive(Clone, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    email: String,
    tags: Vec<String>,
}

/// Has about 512 bytes as JSON.
fn user(id: u64) -> User {
    User { id, name: "Ada Lovelace".into(), email: "ada@example.org".into(), tags: vec!["mathematician".into(); 27] }
}

/// Keys, in an order that no one could guess.
struct Keys {
    keys: Vec<String>,
    next: usize,
}

impl Keys {
    fn new() -> Keys {
        Keys { keys: (0..ITEMS).map(|i| format!("user:{i}")).collect(), next: 0 }
    }

    fn next(&mut self) -> &str {
        self.next = (self.next + 7919) % ITEMS;
        &self.keys[self.next]
    }

    fn batch(&mut self) -> Vec<String> {
        (0..BATCH).map(|_| self.next().to_owned()).collect()
    }
}

fn value() -> Vec<u8> {
    (0..=255).cycle().take(VALUE_SIZE).collect()
}

fn bench(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, mut routine: impl FnMut(&mut Bencher<'_, WallTime>)) {
    group.bench_function(name, |bencher| routine(bencher));
}

fn filled(cache: Cache) -> Cache {
    let value = value();
    for batch in Keys::new().keys.chunks(BATCH) {
        cache.put_many(batch.iter().map(|key| (key, &value))).unwrap();
    }
    cache
}

fn filled_typed(cache: TypedCache<User>) -> TypedCache<User> {
    for (number, batch) in Keys::new().keys.chunks(BATCH).enumerate() {
        cache.put_many(batch.iter().map(|key| (key, user(number as u64)))).unwrap();
    }
    cache
}

fn hybrid(runtime: &Runtime, folder: &Path) -> HybridCache<String, Vec<u8>> {
    runtime.block_on(async {
        let device = FsDeviceBuilder::new(folder).with_capacity(256 << 20).build().unwrap();
        HybridCacheBuilder::new()
            .with_policy(HybridCachePolicy::WriteOnInsertion)
            .memory(16)
            .with_shards(1)
            .storage()
            .with_engine_config(BlockEngineConfig::new(device))
            .build()
            .await
            .unwrap()
    })
}

fn memory_hit(criterion: &mut Criterion, folder: &Path) {
    let mut group = criterion.benchmark_group("memory hit");
    let mut keys = Keys::new();
    let object = Arc::new(user(1));

    let floor: Mutex<HashMap<String, Arc<User>>> =
        Mutex::new(keys.keys.iter().map(|key| (key.clone(), Arc::clone(&object))).collect());
    bench(&mut group, "floor: Mutex<HashMap>", |b| b.iter(|| floor.lock().unwrap().get(keys.next()).cloned().unwrap()));

    let cache = filled(Cache::builder().max_memory_items(ITEMS as u64).open(folder.join("m.db"), "1").unwrap());
    bench(&mut group, "diskbackedcache, bytes", |b| b.iter(|| cache.get(keys.next()).unwrap().unwrap()));
    let builder = Cache::builder().max_memory_items(ITEMS as u64);
    let typed = filled_typed(builder.open_typed(folder.join("mt.db"), "1").unwrap());
    bench(&mut group, "diskbackedcache, objects", |b| b.iter(|| typed.get(keys.next()).unwrap().unwrap()));
    assert_eq!((cache.stats().unwrap().disk_hits, typed.stats().unwrap().disk_hits), (0, 0));

    let moka = moka::sync::Cache::new(ITEMS as u64 * 2);
    let quick = quick_cache::sync::Cache::new(ITEMS * 2);
    let foyer: foyer::Cache<String, Arc<User>> = foyer::CacheBuilder::new(ITEMS * 2).build();
    for key in &keys.keys {
        moka.insert(key.clone(), Arc::clone(&object));
        quick.insert(key.clone(), Arc::clone(&object));
        foyer.insert(key.clone(), Arc::clone(&object));
    }
    bench(&mut group, "moka", |b| b.iter(|| moka.get(keys.next()).unwrap()));
    bench(&mut group, "quick_cache", |b| b.iter(|| quick.get(keys.next()).unwrap()));
    bench(&mut group, "foyer", |b| b.iter(|| foyer.get(keys.next()).unwrap()));
    group.finish();
}

/// The time of a call, when two threads make as many as they can.
fn shared_memory_hit(criterion: &mut Criterion, folder: &Path) {
    let mut group = criterion.benchmark_group("memory hit, two threads");
    let object = Arc::new(user(1));
    let builder = Cache::builder().max_memory_items(ITEMS as u64);
    let cache = filled(builder.open(folder.join("s.db"), "1").unwrap());
    let typed = filled_typed(builder.open_typed(folder.join("st.db"), "1").unwrap());
    let moka = moka::sync::Cache::new(ITEMS as u64 * 2);
    let quick = quick_cache::sync::Cache::new(ITEMS * 2);
    for key in Keys::new().keys {
        moka.insert(key.clone(), Arc::clone(&object));
        quick.insert(key, Arc::clone(&object));
    }
    bench(&mut group, "diskbackedcache, bytes", |b| two_threads(b, |key| drop(cache.get(key).unwrap().unwrap())));
    bench(&mut group, "diskbackedcache, objects", |b| two_threads(b, |key| drop(typed.get(key).unwrap().unwrap())));
    bench(&mut group, "moka", |b| two_threads(b, |key| drop(moka.get(key).unwrap())));
    bench(&mut group, "quick_cache", |b| two_threads(b, |key| drop(quick.get(key).unwrap())));
    group.finish();
}

fn two_threads(bencher: &mut Bencher<'_, WallTime>, call: impl Fn(&str) + Sync) {
    bencher.iter_custom(|rounds| {
        let start = Barrier::new(2);
        let work = |first| {
            let mut keys = Keys { next: first, ..Keys::new() };
            start.wait();
            let began = Instant::now();
            (0..rounds).for_each(|_| call(keys.next()));
            began.elapsed()
        };
        thread::scope(|scope| {
            let other = scope.spawn(|| work(ITEMS / 2));
            work(0).max(other.join().unwrap())
        })
    });
}

fn disk_hit(criterion: &mut Criterion, folder: &Path, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("disk hit");
    let mut keys = Keys::new();
    let without_memory = Cache::builder().max_memory_items(0);
    let cache = filled(without_memory.open(folder.join("d.db"), "1").unwrap());
    bench(&mut group, "diskbackedcache, bytes", |b| b.iter(|| cache.get(keys.next()).unwrap().unwrap()));
    let typed = filled_typed(without_memory.open_typed(folder.join("dt.db"), "1").unwrap());
    bench(&mut group, "diskbackedcache, objects", |b| b.iter(|| typed.get(keys.next()).unwrap().unwrap()));

    let redb = filled_redb(&folder.join("d.redb"));
    bench(&mut group, "redb", |b| {
        b.iter(|| {
            let table = redb.begin_read().unwrap().open_table(TABLE).unwrap();
            table.get(keys.next()).unwrap().unwrap().value().to_vec()
        })
    });
    let foyer_folder = folder.join("d.foyer");
    let foyer = hybrid(runtime, &foyer_folder);
    let value = value();
    for batch in keys.keys.chunks(BATCH) {
        batch.iter().for_each(|key| drop(foyer.insert(key.clone(), value.clone())));
        runtime.block_on(foyer.storage().wait());
    }
    bench(&mut group, "foyer", |b| {
        b.iter_custom(|rounds| {
            runtime.block_on(async {
                let began = Instant::now();
                let mut found = 0;
                for _ in 0..rounds {
                    found += u64::from(black_box(foyer.get(keys.next()).await.unwrap()).is_some());
                }
                assert!(found * 10 >= rounds * 9, "foyer has {found} of {rounds}");
                began.elapsed()
            })
        })
    });
    group.finish();
    runtime.block_on(foyer.close()).unwrap();
}

fn filled_redb(path: &Path) -> Database {
    let redb = Database::create(path).unwrap();
    let transaction = redb.begin_write().unwrap();
    let value = value();
    for key in Keys::new().keys {
        transaction.open_table(TABLE).unwrap().insert(&*key, &*value).unwrap();
    }
    transaction.commit().unwrap();
    redb
}

fn put_redb(redb: &Database, items: &[String], value: &[u8], durability: redb::Durability) {
    let mut transaction = redb.begin_write().unwrap();
    transaction.set_durability(durability).unwrap();
    {
        let mut table = transaction.open_table(TABLE).unwrap();
        for key in items {
            table.insert(&**key, value).unwrap();
        }
    }
    transaction.commit().unwrap();
}

/// Overwrites, one transaction each.
fn put(criterion: &mut Criterion, folder: &Path, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("put");
    let mut keys = Keys::new();
    let value = value();
    let object = Arc::new(user(1));
    let cache = filled(Cache::open(folder.join("p.db"), "1").unwrap());
    bench(&mut group, "diskbackedcache, bytes", |b| b.iter(|| cache.put(keys.next(), &value).unwrap()));
    let typed = filled_typed(TypedCache::open(folder.join("pt.db"), "1").unwrap());
    bench(&mut group, "diskbackedcache, objects", |b| b.iter(|| typed.put(keys.next(), Arc::clone(&object)).unwrap()));
    let full = filled(Cache::builder().durability(Durability::Full).open(folder.join("pf.db"), "1").unwrap());
    bench(&mut group, "diskbackedcache, bytes, waits for the device", |b| {
        b.iter(|| full.put(keys.next(), &value).unwrap())
    });
    let redb = filled_redb(&folder.join("p.redb"));
    for (name, durability) in [
        ("redb, lost when killed", redb::Durability::None),
        ("redb, waits for the device", redb::Durability::Immediate),
    ] {
        bench(&mut group, name, |b| b.iter(|| put_redb(&redb, &[keys.next().to_owned()], &value, durability)));
    }
    let foyer = hybrid(runtime, &folder.join("p.foyer"));
    let guard = runtime.enter();
    bench(&mut group, "foyer, in the background", |b| {
        b.iter(|| drop(foyer.insert(keys.next().to_owned(), value.clone())))
    });
    drop(guard);
    runtime.block_on(foyer.close()).unwrap();
    let moka = moka::sync::Cache::new(ITEMS as u64 * 2);
    bench(&mut group, "moka, memory only", |b| b.iter(|| moka.insert(keys.next().to_owned(), Arc::clone(&object))));
    group.finish();
}

/// A thousand items in one go.
fn batches(criterion: &mut Criterion, folder: &Path) {
    let mut keys = Keys::new();
    let value = value();
    let object = Arc::new(user(1));
    let cache = filled(Cache::open(folder.join("b.db"), "1").unwrap());
    let typed = filled_typed(TypedCache::open(folder.join("bt.db"), "1").unwrap());
    let redb = filled_redb(&folder.join("b.redb"));

    let mut group = criterion.benchmark_group("put_many, an item of 1000");
    bench(&mut group, "diskbackedcache, bytes", |b| {
        b.iter(|| cache.put_many(keys.batch().iter().map(|key| (key, &value))).unwrap())
    });
    bench(&mut group, "diskbackedcache, objects", |b| {
        b.iter(|| typed.put_many(keys.batch().iter().map(|key| (key, Arc::clone(&object)))).unwrap())
    });
    bench(&mut group, "redb, lost when killed", |b| {
        b.iter(|| put_redb(&redb, &keys.batch(), &value, redb::Durability::None))
    });
    group.finish();

    let mut group = criterion.benchmark_group("get_many from memory, an item of 1000");
    bench(&mut group, "diskbackedcache, bytes", |b| b.iter(|| cache.get_many(keys.batch()).unwrap()));
    bench(&mut group, "diskbackedcache, objects", |b| b.iter(|| typed.get_many(keys.batch()).unwrap()));
    group.finish();

    cache.clear_memory().unwrap();
    typed.clear_memory().unwrap();
    let mut group = criterion.benchmark_group("get_many from disk, an item of 1000");
    bench(&mut group, "diskbackedcache, bytes", |b| b.iter(|| cache.get_many(keys.batch()).unwrap()));
    bench(&mut group, "diskbackedcache, objects", |b| b.iter(|| typed.get_many(keys.batch()).unwrap()));
    bench(&mut group, "redb", |b| {
        b.iter(|| {
            let table = redb.begin_read().unwrap().open_table(TABLE).unwrap();
            let found: Vec<Vec<u8>> =
                keys.batch().iter().map(|key| table.get(&**key).unwrap().unwrap().value().to_vec()).collect();
            found
        })
    });
    group.finish();
}

/// What criterion has written, as a table and, where the environment asks for it, as JSON.
fn report(results: &Path) {
    let mut rows = Vec::new();
    for entry in glob_estimates(results) {
        let benchmark: serde_json::Value =
            serde_json::from_slice(&fs::read(entry.join("benchmark.json")).unwrap()).unwrap();
        let estimates: serde_json::Value =
            serde_json::from_slice(&fs::read(entry.join("estimates.json")).unwrap()).unwrap();
        let group = benchmark["group_id"].as_str().unwrap().to_owned();
        let name = benchmark["function_id"].as_str().unwrap().to_owned();
        let calls = if group.contains("of 1000") { BATCH as f64 } else { 1.0 };
        rows.push((group, name, estimates["median"]["point_estimate"].as_f64().unwrap() / 1000.0 / calls));
    }
    rows.sort_by(|a, b| (&a.0, a.2).partial_cmp(&(&b.0, b.2)).unwrap());
    println!("\n| | | us |\n|---|---|---|");
    for (group, name, microseconds) in &rows {
        println!("| {group} | {name} | {} |", significant(*microseconds));
    }
    if let Some(path) = env::var_os("DBC_BENCH_JSON") {
        let list: Vec<_> = rows
            .iter()
            .map(|(group, name, us)| serde_json::json!({"group": group, "name": name, "microseconds": us}))
            .collect();
        fs::write(
            path,
            serde_json::to_string_pretty(&serde_json::json!({"language": "rust", "results": list})).unwrap(),
        )
        .unwrap();
    }
}

fn significant(number: f64) -> String {
    let decimals = (1 - number.log10().floor() as i32).clamp(0, 6) as usize;
    format!("{number:.decimals$}")
}

fn glob_estimates(results: &Path) -> Vec<std::path::PathBuf> {
    let folders = |path: &Path| -> Vec<_> { fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect() };
    let groups = folders(results).into_iter().filter(|path| path.is_dir()).flat_map(|path| folders(&path));
    groups.map(|path| path.join("new")).filter(|path| path.join("estimates.json").exists()).collect()
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let results = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .output_directory(results.path())
        .without_plots()
        .configure_from_args();
    memory_hit(&mut criterion, folder.path());
    shared_memory_hit(&mut criterion, folder.path());
    disk_hit(&mut criterion, folder.path(), &runtime);
    put(&mut criterion, folder.path(), &runtime);
    batches(&mut criterion, folder.path());
    criterion.final_summary();
    report(results.path());
}
