//! Many threads on one cache.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use diskbackedcache::{Cache, Error, TypedCache, WriteMode};

use crate::in_memory;

#[test]
fn everything_may_be_shared() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Cache>();
    shared::<TypedCache<String>>();
    shared::<diskbackedcache::Value>();
    shared::<diskbackedcache::Entries>();
    shared::<diskbackedcache::Rows<'static>>();
    shared::<diskbackedcache::Builder>();
    shared::<Error>();
}

#[test]
fn closing_while_others_are_inside() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let path = folder.path().join(format!("{round}.db"));
        let bytes = Cache::builder().max_memory_items(10).open(&path, "1.0.0").unwrap();
        let typed: TypedCache<u64> = Cache::builder().max_memory_items(10).open_typed(&path, "1.0.0").unwrap();
        let barrier = Barrier::new(5);
        let calls = AtomicU64::new(0);
        thread::scope(|scope| {
            for worker in 0..4_u64 {
                let (bytes, typed, barrier, calls) = (&bytes, &typed, &barrier, &calls);
                scope.spawn(move || {
                    barrier.wait();
                    for i in 0.. {
                        let key = format!("{}", (i * 7 + worker) % 30);
                        let outcome = match worker {
                            0 => typed.put(&key, i),
                            1 => typed.get(&key).map(drop),
                            2 => bytes.put(&key, i.to_string()).map(drop),
                            _ => bytes.get_many([&key, "x"]).map(drop),
                        };
                        match outcome {
                            Ok(()) => calls.fetch_add(1, Ordering::Relaxed),
                            Err(Error::Closed(_)) => break,
                            Err(error) => panic!("{error}"),
                        };
                    }
                });
            }
            barrier.wait();
            while calls.load(Ordering::Relaxed) < 100 {
                thread::yield_now();
            }
            thread::scope(|closers| {
                for _ in 0..2 {
                    closers.spawn(|| typed.close().unwrap());
                    closers.spawn(|| bytes.close().unwrap());
                }
            });
        });
        assert!(matches!(typed.get("0"), Err(Error::Closed(_))));
    }
}

/// Whoever has closed the cache may rely on it, also when another thread was first.
#[test]
fn closing_waits_for_whoever_closes_already() {
    const PUTS: u64 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.db");
    let cache = Cache::builder()
        .write_mode(WriteMode::Behind)
        .write_behind_items(PUTS + 1)
        .write_behind_delay_seconds(3600.0)
        .open(&path, "1.0.0")
        .unwrap();
    let other = Cache::open(&path, "1.0.0").unwrap(); // before, since opening waits for writers
    for i in 0..PUTS {
        cache.put(&i.to_string(), "value").unwrap();
    }
    thread::scope(|scope| {
        scope.spawn(|| cache.close().unwrap());
        while !matches!(cache.exists("0"), Err(Error::Closed(_))) {
            thread::yield_now();
        }
        cache.close().unwrap();
        assert_eq!(other.count().unwrap(), PUTS);
    });
}

/// The objects held are those of the library's memory tier, however calls interleave; and nobody sees a value go back.
#[test]
fn objects_follow_the_memory_tier() {
    let cache: TypedCache<u64> = Cache::builder().max_memory_items(20).open_typed(":memory:", "1.0.0").unwrap();
    let objects: Vec<Vec<Arc<u64>>> = (0..2).map(|_| (0..3000).map(Arc::new).collect()).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = vec![0; 60];
                    while !done.load(Ordering::Relaxed) {
                        for (key, last) in seen.iter_mut().enumerate() {
                            if let Some(value) = cache.get(&key.to_string()).unwrap() {
                                assert!(*value >= *last, "a value went back");
                                *last = *value;
                            }
                        }
                    }
                })
            })
            .collect();
        let writers: Vec<_> = objects
            .iter()
            .enumerate()
            .map(|(writer, objects)| {
                let cache = &cache;
                scope.spawn(move || {
                    for (i, object) in objects.iter().enumerate() {
                        // Each writer has keys of its own, so what is under a key only grows.
                        cache.put(&(i % 30 * 2 + writer).to_string(), Arc::clone(object)).unwrap();
                    }
                })
            })
            .collect();
        let outcomes: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Ordering::Relaxed);
        outcomes
            .into_iter()
            .chain(readers.into_iter().map(|reader| reader.join()))
            .for_each(|outcome| outcome.unwrap());
    });
    // What was dropped last is let go by the next call that writes.
    cache.delete("absent").unwrap();
    let held = objects.iter().flatten().filter(|object| Arc::strong_count(object) > 1).count() as u64;
    assert!(held <= cache.stats().unwrap().current_memory_items, "{held} objects are held");
}

#[test]
fn values_are_released_on_any_thread() {
    let cache = in_memory();
    cache.put("key", vec![7; 1000]).unwrap();
    let values: Vec<_> = (0..8).map(|_| cache.get("key").unwrap().unwrap()).collect();
    drop(cache);
    let workers: Vec<_> = values
        .into_iter()
        .map(|value| thread::spawn(move || value.clone().iter().map(|byte| usize::from(*byte)).sum::<usize>()))
        .collect();
    assert!(workers.into_iter().all(|worker| worker.join().unwrap() == 7000));
}
