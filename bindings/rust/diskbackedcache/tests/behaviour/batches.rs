//! Batches of a cache of bytes.

use diskbackedcache::{Cache, Tier};

use crate::in_memory;

#[test]
fn rows_come_in_the_order_of_the_keys() {
    let cache = in_memory();
    let versions = cache.put_many_at([("a", "1"), ("b", "2"), ("c", "3")], 1000.0).unwrap();
    assert!(versions.is_sorted());
    let entries = cache.get_many_at(["c", "absent", "a", "c"], 1001.0).unwrap();
    assert_eq!(entries.len(), 4);
    let rows: Vec<_> = entries.iter().map(|entry| entry.map(|entry| entry.to_vec())).collect();
    assert_eq!(rows, [Some(b"3".to_vec()), None, Some(b"1".to_vec()), Some(b"3".to_vec())]);
    let entry = entries.get(0).unwrap();
    assert_eq!((entry.version(), entry.timestamp(), entry.tier()), (versions[2], 1000.0, Tier::Memory));
    assert!(entries.get(1).is_none() && entries.get(4).is_none());
    assert_eq!(cache.stats().unwrap().total_gets, 4);
}

#[test]
fn a_scan_touches_and_promotes_nothing() {
    let cache = in_memory();
    cache.put_many_at([("a", "1"), ("b", "2")], 1000.0).unwrap();
    cache.clear_memory().unwrap();
    let entries = cache.get_many_at(["a", "b"], 1001.0).unwrap();
    assert!(entries.iter().flatten().all(|entry| entry.tier() == Tier::Disk && entry.timestamp() == 1000.0));
    assert_eq!(cache.tier_at("a", 1001.0).unwrap(), Some(Tier::Disk));
}

#[test]
fn of_a_key_that_comes_twice_the_later_value_stays() {
    let cache = in_memory();
    cache.put_many([("a", "1"), ("a", "2")]).unwrap();
    assert_eq!(&*cache.get("a").unwrap().unwrap(), b"2");
    assert_eq!((cache.count().unwrap(), cache.stats().unwrap().total_puts), (1, 2));
}

#[test]
fn empty_batches_do_nothing() {
    let cache = in_memory();
    let before = cache.stats().unwrap();
    assert!(cache.put_many::<&str, &str>([]).unwrap().is_empty());
    assert!(cache.get_many::<&str>([]).unwrap().is_empty());
    assert_eq!(cache.delete_many::<&str>([]).unwrap(), 0);
    assert_eq!(cache.stats().unwrap(), before);
}

#[test]
fn eviction_runs_once_after_all_are_in() {
    let cache = Cache::builder().max_disk_items(2).open(":memory:", "1.0.0").unwrap();
    cache.put_many([("c", "1"), ("a", "2"), ("b", "3")]).unwrap();
    assert_eq!(
        cache.get_many(["a", "b", "c"]).unwrap().iter().map(|entry| entry.is_some()).collect::<Vec<_>>(),
        [false, true, true]
    );
}

#[test]
fn delete_many_counts_what_was_there() {
    let cache = in_memory();
    cache.put_many([("a", "1"), ("b", "2")]).unwrap();
    assert_eq!(cache.delete_many(["a", "absent", "b"]).unwrap(), 2);
    assert_eq!((cache.count().unwrap(), cache.stats().unwrap().total_deletes), (0, 3));
}

#[test]
fn any_iterator_of_any_text_and_bytes_will_do() {
    let cache = in_memory();
    let items: std::collections::BTreeMap<String, Vec<u8>> =
        (0..100).map(|i| (format!("{i:03}"), vec![i; 3])).collect();
    cache.put_many(&items).unwrap();
    let entries = cache.get_many(items.keys()).unwrap();
    assert!(entries.iter().zip(items.values()).all(|(entry, value)| entry.unwrap().bytes() == value));
}

#[test]
fn entries_outlive_the_cache() {
    let cache = in_memory();
    cache.put_many([("a", "1"), ("b", "2")]).unwrap();
    let entries = cache.get_many(["a", "b"]).unwrap();
    cache.clear().unwrap();
    drop(cache);
    std::thread::spawn(move || assert_eq!(entries.get(1).unwrap().bytes(), b"2")).join().unwrap();
}

#[test]
fn an_iterator_that_panics_changes_nothing() {
    let cache = in_memory();
    let items = [("a", "1"), ("b", "2")].into_iter().inspect(|(key, _)| assert_ne!(*key, "b"));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cache.put_many(items)));
    assert!(outcome.is_err());
    assert_eq!(cache.count().unwrap(), 0);
}

#[test]
fn rows_are_iterated_over_from_both_ends() {
    let cache = in_memory();
    cache.put_many([("a", "1"), ("b", "2")]).unwrap();
    let entries = cache.get_many(["a", "absent", "b"]).unwrap();
    let mut found = Vec::new();
    for row in &entries {
        found.push(row.map(|entry| entry.to_str().unwrap()));
    }
    assert_eq!(found, [Some("1"), None, Some("2")]);
    let mut rows = entries.iter();
    assert_eq!(rows.next_back().unwrap().unwrap().as_ref(), b"2");
    assert_eq!((rows.len(), rows.clone().flatten().count()), (2, 1));
    assert!(rows.next().unwrap().is_some() && rows.next().unwrap().is_none() && rows.next().is_none());
}
