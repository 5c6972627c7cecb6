//! Single items of a cache of bytes.

use diskbackedcache::{Answer, AsValue, Cache, Tier};

use crate::{in_memory, refused};

#[test]
fn put_and_get() {
    let cache = in_memory();
    cache.put("key", b"value").unwrap();
    assert_eq!(&*cache.get("key").unwrap().unwrap(), b"value");
    assert!(cache.get("absent").unwrap().is_none());
    let stats = cache.stats().unwrap();
    assert_eq!((stats.total_puts, stats.total_gets, stats.memory_hits, stats.misses), (1, 2, 1, 1));
}

#[test]
fn an_empty_value_is_a_value() {
    let cache = in_memory();
    for empty in [&b""[..], &[]] {
        cache.put("key", empty).unwrap();
        let value = cache.get("key").unwrap().unwrap();
        assert!(value.is_empty());
    }
    cache.put_many([("a", ""), ("b", "")]).unwrap();
    assert_eq!(cache.get_many(["a", "b"]).unwrap().iter().flatten().filter(|entry| entry.is_empty()).count(), 2);
    assert_eq!((cache.count().unwrap(), cache.total_size().unwrap()), (3, 0));
}

#[test]
fn any_bytes_come_back_as_they_were() {
    let cache = in_memory();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    cache.put("key", &bytes).unwrap();
    cache.clear_memory().unwrap();
    for _ in [Tier::Disk, Tier::Memory] {
        assert_eq!(&*cache.get("key").unwrap().unwrap(), &bytes[..]);
    }
    assert_eq!(cache.get("key").unwrap().unwrap().as_ptr().align_offset(8), 0);
}

#[test]
fn keys_are_checked_before_anything_changes() {
    let cache = in_memory();
    let longest = "ü".repeat(256);
    cache.put(&longest, "value").unwrap();
    assert!(cache.exists(&longest).unwrap());
    let too_long = "ü".repeat(257);
    let before = cache.stats().unwrap();
    for (key, message) in [
        ("", "Key cannot be empty"),
        (too_long.as_str(), "Key length 257 exceeds maximum of 256 characters"),
        ("a\0b", "Key must not contain U+0000"),
    ] {
        assert_eq!(refused(cache.put(key, "value")), message);
        assert_eq!(refused(cache.get(key)), message);
        assert_eq!(refused(cache.get_changed(key, 1)), message);
        assert_eq!(refused(cache.delete(key)), message);
        assert_eq!(refused(cache.discard(key, 1, true)), message);
        assert_eq!(refused(cache.exists(key)), message);
        assert_eq!(refused(cache.tier(key)), message);
        let of_item = format!("item 1: {message}");
        assert_eq!(refused(cache.put_many([("good", "value"), (key, "value")])), of_item);
        assert_eq!(refused(cache.get_many(["good", key])), of_item);
        assert_eq!(refused(cache.delete_many(["good", key])), of_item);
    }
    assert_eq!(cache.stats().unwrap(), before);
}

#[test]
fn timestamps_are_finite() {
    let cache = in_memory();
    cache.put_at("key", "value", 1000.0).unwrap();
    for timestamp in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let message = "timestamp must be finite";
        assert_eq!(refused(cache.put_at("key", "other", timestamp)), message);
        assert_eq!(refused(cache.get_at("key", timestamp)), message);
        assert_eq!(refused(cache.get_changed_at("key", 1, timestamp)), message);
        assert_eq!(refused(cache.exists_at("key", timestamp)), message);
        assert_eq!(refused(cache.tier_at("key", timestamp)), message);
        assert_eq!(refused(cache.put_many_at([("key", "other")], timestamp)), message);
        assert_eq!(refused(cache.get_many_at(["key"], timestamp)), message);
        assert_eq!(refused(cache.purge_expired_at(timestamp)), message);
    }
    assert_eq!(&*cache.get_at("key", 1000.0).unwrap().unwrap(), b"value");
}

#[test]
fn a_value_beyond_the_limits() {
    let cache = Cache::builder()
        .max_item_size_bytes(100)
        .max_memory_size_bytes(150)
        .max_disk_size_bytes(1000)
        .open(":memory:", "1.0.0")
        .unwrap();
    cache.put("large", [0; 101]).unwrap();
    assert_eq!(cache.tier("large").unwrap(), Some(Tier::Disk));
    cache.put("key", "kept").unwrap();
    assert_eq!(refused(cache.put("key", [0; 1001])), "Item size (1001 bytes) exceeds max_disk_size_bytes (1000 bytes)");
    let [small, too_large] = [vec![0; 1], vec![0; 1001]];
    assert!(refused(cache.put_many([("other", small), ("key", too_large)])).starts_with("item 1: Item size (1001"));
    assert_eq!(&*cache.get("key").unwrap().unwrap(), b"kept");
    assert!(!cache.exists("other").unwrap());
}

#[test]
fn a_value_outlives_its_item_and_its_cache() {
    let cache = in_memory();
    cache.put("key", "first").unwrap();
    let first = cache.get("key").unwrap().unwrap();
    cache.put("key", "second").unwrap();
    let second = cache.get("key").unwrap().unwrap();
    assert!(second.version() > first.version());
    let clone = second.clone();
    drop(second);
    cache.delete("key").unwrap();
    cache.close().unwrap();
    drop(cache);
    let (first, clone) = std::thread::spawn(move || (first.to_vec(), clone.to_vec())).join().unwrap();
    assert_eq!((first, clone), (b"first".to_vec(), b"second".to_vec()));
}

#[test]
fn timestamps_slide_with_gets() {
    let cache = Cache::builder().memory_ttl_seconds(10.0).disk_ttl_seconds(20.0).open(":memory:", "1.0.0").unwrap();
    cache.put_at("key", "value", 1000.0).unwrap();
    let value = cache.get_at("key", 1009.0).unwrap().unwrap();
    assert_eq!(value.timestamp(), 1009.0);
    assert_eq!(cache.tier_at("key", 1019.0).unwrap(), Some(Tier::Memory));
    assert_eq!(cache.tier_at("key", 1019.5).unwrap(), Some(Tier::Disk));
    assert!(cache.exists_at("key", 1029.0).unwrap());
    assert!(!cache.exists_at("key", 1029.5).unwrap());
    assert!(cache.get_at("key", 1029.5).unwrap().is_none());
    assert_eq!(cache.stats().unwrap().disk_expired, 1);
}

#[test]
fn eviction_is_by_timestamp_then_key() {
    let cache = Cache::builder().max_disk_items(2).max_memory_items(1).open(":memory:", "1.0.0").unwrap();
    cache.put_at("b", "1", 10.0).unwrap();
    cache.put_at("a", "2", 10.0).unwrap();
    cache.put_at("c", "3", 11.0).unwrap();
    assert!(!cache.exists_at("a", 11.0).unwrap());
    assert_eq!(cache.tier_at("b", 11.0).unwrap(), Some(Tier::Disk));
    assert_eq!(cache.tier_at("c", 11.0).unwrap(), Some(Tier::Memory));
    assert_eq!(cache.stats().unwrap().disk_evictions, 1);
}

#[test]
fn delete_exists_tier() {
    let cache = in_memory();
    cache.put("key", "value").unwrap();
    let before = cache.stats().unwrap();
    assert!(cache.exists("key").unwrap() && !cache.exists("absent").unwrap());
    assert_eq!((cache.tier("key").unwrap(), cache.tier("absent").unwrap()), (Some(Tier::Memory), None));
    assert_eq!(cache.stats().unwrap(), before);
    assert!(cache.delete("key").unwrap());
    assert!(!cache.delete("key").unwrap());
    assert_eq!(cache.stats().unwrap().total_deletes, 2);
}

#[test]
fn conditional_get() {
    let cache = in_memory();
    let version = cache.put("key", "value").unwrap();
    assert!(matches!(cache.get_changed("key", version).unwrap(), Answer::Unchanged));
    let later = cache.put("key", "other").unwrap();
    match cache.get_changed("key", version).unwrap() {
        Answer::Changed(value) => assert_eq!((&*value, value.version()), (&b"other"[..], later)),
        answer => panic!("{answer:?}"),
    }
    cache.delete("key").unwrap();
    assert!(matches!(cache.get_changed("key", later).unwrap(), Answer::Missing));
    let stats = cache.stats().unwrap();
    assert_eq!((stats.memory_hits, stats.misses), (2, 1));
}

#[test]
fn discard_takes_the_hit_back() {
    let cache = in_memory();
    let version = cache.put("key", "value").unwrap();
    cache.get("key").unwrap();
    cache.discard("key", version + 1, true).unwrap();
    assert!(cache.exists("key").unwrap()); // it has another version
    assert_eq!(refused(cache.discard("key", 0, true)), "version must not be 0");
    cache.get("key").unwrap();
    cache.discard("key", version, true).unwrap();
    assert!(!cache.exists("key").unwrap());
    let stats = cache.stats().unwrap();
    assert_eq!((stats.memory_hits, stats.misses, stats.discarded, stats.total_gets), (0, 2, 1, 2));
}

#[test]
fn dropped_versions_are_told_once() {
    let cache = Cache::builder().memory_values(false).max_memory_items(1).open(":memory:", "1.0.0").unwrap();
    let first = cache.put_at("a", "1", 1.0).unwrap();
    let second = cache.put_at("b", "2", 2.0).unwrap();
    let mut versions = [0; 8];
    assert_eq!(cache.dropped(&mut versions).unwrap().count, 1);
    assert_eq!(versions[0], first);
    assert_eq!(cache.dropped(&mut versions).unwrap().count, 0);
    cache.clear_memory().unwrap();
    assert_eq!(cache.dropped(&mut []).unwrap().count, 0);
    assert_eq!(cache.dropped(&mut versions).unwrap().count, 1);
    assert_eq!(versions[0], second);
}

#[test]
fn whole_cache() {
    let cache = in_memory();
    cache.put_many_at([("a", "1"), ("b", "22")], 1000.0).unwrap();
    assert_eq!((cache.count().unwrap(), cache.total_size().unwrap()), (2, 3));
    cache.clear_memory().unwrap();
    assert_eq!(cache.tier_at("a", 1000.0).unwrap(), Some(Tier::Disk));
    assert_eq!(cache.purge_expired_at(1000.0 + 604_800.0).unwrap(), 0);
    assert_eq!(cache.purge_expired().unwrap(), 2);
    cache.put("c", "333").unwrap();
    cache.flush().unwrap();
    cache.clear().unwrap();
    let stats = cache.stats().unwrap();
    assert_eq!((stats.current_disk_items, stats.disk_bytes, stats.current_memory_items), (0, 0, 0));
    assert_eq!((stats.total_puts, stats.disk_expired), (3, 2));
}

#[test]
fn text_is_what_text_was_put() {
    use std::borrow::Cow;
    use std::sync::Arc;

    fn is_text(value: impl AsValue) -> bool {
        let cache = in_memory();
        cache.put("key", value).unwrap();
        let value = cache.get("key").unwrap().unwrap();
        assert_eq!(&*value, b"value");
        assert_eq!(value.to_str(), Ok("value"));
        value.is_text()
    }
    assert!(is_text("value"));
    assert!(is_text(String::from("value")));
    assert!(is_text(Cow::Borrowed("value")));
    assert!(is_text(Arc::<str>::from("value")));
    assert!(is_text(Box::<str>::from("value")));
    assert!(!is_text(b"value"));
    assert!(!is_text(*b"value"));
    assert!(!is_text(&b"value"[..]));
    assert!(!is_text(b"value".to_vec()));
    assert!(!is_text(Cow::<[u8]>::Owned(b"value".to_vec())));
}

#[test]
fn what_is_no_text_is_told() {
    let cache = in_memory();
    cache.put("key", [0xff]).unwrap();
    assert!(cache.get("key").unwrap().unwrap().to_str().is_err());
}

#[test]
fn values_compare_as_their_bytes() {
    use std::collections::{BTreeSet, HashSet};

    let cache = in_memory();
    cache.put_many([("one", "a"), ("two", "a"), ("three", "b"), ("four", ""), ("five", "ab")]).unwrap();
    let [one, two, three, four, five] =
        ["one", "two", "three", "four", "five"].map(|key| cache.get(key).unwrap().unwrap());
    assert!(one == two && one.version() != two.version());
    assert!(one != three && four < one && one < five && five < three);
    assert_eq!(cache.get_changed("one", 0).unwrap(), Answer::Changed(two.clone()));

    // Found by the bytes alone, which Borrow promises.
    let hashed: HashSet<_> = [&one, &two, &three, &four, &five].into_iter().cloned().collect();
    let sorted: BTreeSet<_> = hashed.iter().cloned().collect();
    assert_eq!((hashed.len(), sorted.len()), (4, 4));
    for bytes in [&b"a"[..], b"b", b"", b"ab"] {
        assert!(hashed.contains(bytes) && sorted.contains(bytes));
    }
    assert!(!hashed.contains(&b"x"[..]) && !sorted.contains(&b"x"[..]));
    assert_eq!(sorted.iter().map(|value| value.to_vec()).collect::<Vec<_>>(), [&b""[..], b"a", b"ab", b"b"]);
}

#[test]
fn tiers_have_names() {
    assert_eq!([Tier::Memory, Tier::Disk].map(|tier| format!("{tier:>6}")), ["memory", "  disk"]);
}
