//! A million puts, millions of gets, and memory stays flat.

use std::fs;
use std::sync::Arc;

use diskbackedcache::{Cache, TypedCache};

const MILLION: usize = 1_000_000;
const BATCH: usize = 1000;
const KEYS: usize = 5000;
/// What allocators and SQLite's caches may take more. A leak of 16 bytes an item would be twice that.
const TOLERATED_BYTES: usize = 4 << 20;

fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// `round(i)` makes a thousand calls. What the first tenth of them takes is what it needs.
fn stays_flat(what: &str, rounds: usize, round: impl Fn(usize)) {
    for i in 0..rounds / 10 {
        round(i);
    }
    let before = resident_bytes();
    for i in 0..rounds {
        round(i);
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < TOLERATED_BYTES, "{what}: memory has grown by {grown} bytes");
}

fn key(i: usize) -> String {
    format!("key:{}", i % KEYS)
}

// One test, so that it has the memory of the process for itself.
#[test]
fn memory_stays_flat() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = Cache::builder().max_memory_items(1000).open(folder.path().join("bytes.db"), "1.0.0").unwrap();
    let typed: TypedCache<String> =
        Cache::builder().max_memory_items(1000).open_typed(folder.path().join("typed.db"), "1.0.0").unwrap();
    let keys: Vec<String> = (0..KEYS).map(key).collect();

    stays_flat("put_many of bytes", MILLION / BATCH / 2, |round| {
        bytes.put_many((0..BATCH).map(|i| (&keys[(round * BATCH + i) % KEYS], [7; 100]))).unwrap();
    });
    stays_flat("put_many of objects", MILLION / BATCH / 2, |round| {
        typed.put_many((0..BATCH).map(|i| (&keys[(round * BATCH + i) % KEYS], "x".repeat(50)))).unwrap();
    });
    let last: Vec<&String> = (KEYS - 1000..KEYS).map(|i| &keys[i]).collect();
    stays_flat("get of bytes from memory", MILLION / BATCH, |_| {
        assert!(last.iter().all(|key| bytes.get(key).unwrap().is_some()));
    });
    stays_flat("get of objects from memory", MILLION / BATCH, |_| {
        assert!(last.iter().all(|key| typed.get(key).unwrap().is_some()));
    });
    stays_flat("get_many of bytes", MILLION / BATCH, |_| {
        assert_eq!(bytes.get_many(&last).unwrap().iter().flatten().count(), 1000);
    });
    // The first tenth asks for every key, so that the access times of all have been noted once.
    stays_flat("get from disk, with decoding and eviction", 100, |round| {
        for i in 0..BATCH {
            assert!(typed.get(&keys[(round * BATCH + i) * 1009 % KEYS]).unwrap().is_some());
        }
    });
    stays_flat("misses, errors and discards", 20, |_| {
        for i in 0..BATCH {
            assert!(typed.get("absent").unwrap().is_none());
            assert!(bytes.get("").is_err());
            if i % 50 == 0 {
                assert!(typed.get_many(["absent", ""]).is_err());
            }
        }
    });
    stays_flat("put of one", 5, |round| {
        for i in 0..BATCH {
            typed.put(&keys[(round * BATCH + i) % KEYS], Arc::new("x".repeat(50))).unwrap();
        }
    });
    stays_flat("opening and closing", 10, |_| {
        for _ in 0..10 {
            drop(TypedCache::<String>::open(":memory:", "1.0.0").unwrap());
        }
    });
}
