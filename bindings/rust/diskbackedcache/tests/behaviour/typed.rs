//! A cache of objects.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diskbackedcache::{Cache, Error, Tier, TypedCache, WriteMode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tempfile::tempdir;

use crate::refused;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    tags: Vec<String>,
    age: Option<u32>,
}

fn ada() -> User {
    User { name: "Ada".into(), tags: vec!["math".into(), "Grüße".into()], age: Some(36) }
}

fn users() -> TypedCache<User> {
    TypedCache::open(":memory:", "1.0.0").unwrap()
}

#[test]
fn a_memory_hit_is_the_same_object() {
    let cache = users();
    let ada = Arc::new(ada());
    cache.put("user:1", Arc::clone(&ada)).unwrap();
    for _ in 0..3 {
        assert!(Arc::ptr_eq(&ada, &cache.get("user:1").unwrap().unwrap()));
    }
    assert!(Arc::ptr_eq(&ada, cache.get_many(["user:1"]).unwrap()[0].as_ref().unwrap()));
    assert_eq!(cache.stats().unwrap().memory_hits, 4);
}

#[test]
fn a_disk_hit_is_decoded_once() {
    let cache = users();
    cache.put("user:1", ada()).unwrap();
    cache.clear_memory().unwrap();
    assert_eq!(cache.tier("user:1").unwrap(), Some(Tier::Disk));
    let decoded = cache.get("user:1").unwrap().unwrap();
    assert_eq!(*decoded, ada());
    assert!(Arc::ptr_eq(&decoded, &cache.get("user:1").unwrap().unwrap()));
    let stats = cache.stats().unwrap();
    assert_eq!((stats.disk_hits, stats.memory_hits), (1, 1));
}

#[test]
fn without_a_memory_tier_everything_is_decoded() {
    let cache: TypedCache<User> = Cache::builder().max_memory_items(0).open_typed(":memory:", "1.0.0").unwrap();
    let ada = Arc::new(ada());
    cache.put("a", Arc::clone(&ada)).unwrap();
    cache.put_many([("b", Arc::clone(&ada))]).unwrap();
    assert_eq!(Arc::strong_count(&ada), 1);
    let decoded = cache.get("a").unwrap().unwrap();
    assert_eq!((&*decoded, Arc::strong_count(&decoded)), (&*ada, 1));
    assert_eq!(cache.get_many(["a", "x", "b"]).unwrap(), [Some(Arc::clone(&ada)), None, Some(ada)]);
    assert!(cache.get("x").unwrap().is_none());
    assert!(cache.delete("a").unwrap());
    cache.clear().unwrap();
    assert_eq!(cache.stats().unwrap().disk_hits, 3);
}

#[test]
fn what_leaves_memory_is_let_go() {
    let cache: TypedCache<User> = Cache::builder().max_memory_items(2).open_typed(":memory:", "1.0.0").unwrap();
    let objects: Vec<Arc<User>> = (0..4).map(|_| Arc::new(ada())).collect();
    for (i, object) in objects.iter().enumerate() {
        cache.put_at(&format!("user:{i}"), Arc::clone(object), 1000.0 + i as f64).unwrap();
    }
    let counts = || objects.iter().map(Arc::strong_count).collect::<Vec<_>>();
    assert_eq!(counts(), [1, 1, 2, 2]);
    cache.delete("user:2").unwrap();
    assert_eq!(counts(), [1, 1, 1, 2]);
    cache.put_at("user:3", ada(), 1003.0).unwrap();
    assert_eq!(counts(), [1, 1, 1, 1]);
    cache.put_many_at([("a", Arc::clone(&objects[0])), ("b", Arc::clone(&objects[1]))], 1004.0).unwrap();
    assert_eq!(counts(), [2, 2, 1, 1]);
    cache.clear_memory().unwrap();
    assert_eq!(counts(), [1, 1, 1, 1]);
    cache.put_at("a", Arc::clone(&objects[0]), 1005.0).unwrap();
    cache.clear().unwrap();
    assert_eq!(counts(), [1, 1, 1, 1]);
    cache.put_at("a", Arc::clone(&objects[0]), 1006.0).unwrap();
    cache.close().unwrap();
    assert_eq!(counts(), [1, 1, 1, 1]);
}

#[test]
fn what_never_enters_memory_is_not_held() {
    let cache: TypedCache<String> = Cache::builder().max_item_size_bytes(10).open_typed(":memory:", "1").unwrap();
    let large = Arc::new("x".repeat(100));
    cache.put("one", Arc::clone(&large)).unwrap();
    cache.put_many([("two", Arc::clone(&large)), ("three", Arc::clone(&large))]).unwrap();
    assert_eq!(Arc::strong_count(&large), 1);
    assert_eq!(cache.get("one").unwrap().unwrap(), large);
    assert_eq!(Arc::strong_count(&cache.get("one").unwrap().unwrap()), 1);
}

#[test]
fn of_a_key_that_comes_twice_the_later_object_stays() {
    let cache = TypedCache::<u32>::open(":memory:", "1.0.0").unwrap();
    let objects = [1, 2].map(Arc::new);
    cache.put_many(objects.iter().map(|object| ("key", Arc::clone(object)))).unwrap();
    assert!(Arc::ptr_eq(&objects[1], &cache.get("key").unwrap().unwrap()));
    assert_eq!(Arc::strong_count(&objects[0]), 1);
}

#[test]
fn a_replaced_object_is_not_returned() {
    let cache = TypedCache::<u32>::open(":memory:", "1.0.0").unwrap();
    cache.put("key", 1).unwrap();
    cache.put("key", 2).unwrap();
    assert_eq!(*cache.get("key").unwrap().unwrap(), 2);
    cache.delete("key").unwrap();
    assert!(cache.get("key").unwrap().is_none());
}

#[test]
fn what_waits_to_be_written_is_there_at_once() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("cache.db");
    let builder = Cache::builder().write_mode(WriteMode::Behind).write_behind_delay_seconds(3600.0);
    let cache: TypedCache<User> = builder.open_typed(&path, "1.0.0").unwrap();
    let other = TypedCache::<User>::open(&path, "1.0.0").unwrap();
    let objects: Vec<Arc<User>> = (0..3).map(|_| Arc::new(ada())).collect();
    for object in &objects {
        cache.put("user:1", Arc::clone(object)).unwrap();
        assert!(Arc::ptr_eq(object, &cache.get("user:1").unwrap().unwrap()));
    }
    assert!(other.get("user:1").unwrap().is_none());
    cache.flush().unwrap();
    assert!(Arc::ptr_eq(&objects[2], &cache.get("user:1").unwrap().unwrap()));
    assert_eq!(other.get("user:1").unwrap().unwrap(), objects[2]);
    cache.put("user:2", ada()).unwrap();
    cache.close().unwrap();
    assert!(other.get("user:2").unwrap().is_some());
    assert!(objects.iter().all(|object| Arc::strong_count(object) == 1));
}

#[test]
fn expiry() {
    let cache: TypedCache<u32> =
        Cache::builder().memory_ttl_seconds(10.0).disk_ttl_seconds(20.0).open_typed(":memory:", "1.0.0").unwrap();
    let object = Arc::new(1);
    cache.put_at("key", Arc::clone(&object), 1000.0).unwrap();
    assert!(cache.exists_at("key", 1020.0).unwrap());
    assert_eq!(cache.tier_at("key", 1015.0).unwrap(), Some(Tier::Disk));
    assert_eq!(cache.get_at("key", 1015.0).unwrap().unwrap(), object);
    assert_eq!(cache.get_many_at(["key"], 1016.0).unwrap()[0].as_ref(), Some(&object));
    assert!(cache.get_at("key", 1036.0).unwrap().is_none());
    let stats = cache.stats().unwrap();
    assert_eq!((stats.memory_expired, stats.disk_expired), (2, 1));
    cache.put_at("key", 2, 1000.0).unwrap();
    assert_eq!(cache.purge_expired_at(1010.0).unwrap(), 0);
    assert_eq!(cache.purge_expired_at(1021.0).unwrap(), 1);
    drop(cache);
    assert_eq!(Arc::strong_count(&object), 1);
}

#[test]
fn a_value_that_does_not_decode_is_discarded() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("cache.db");
    let bytes = Cache::open(&path, "1.0.0").unwrap();
    bytes.put_many([("a", "no JSON"), ("b", "{\"name\": 1}"), ("c", "")]).unwrap();
    bytes.put("d", [0xff]).unwrap();
    let cache = TypedCache::<User>::open(&path, "1.0.0").unwrap();
    assert!(cache.get("a").unwrap().is_none());
    assert_eq!(cache.get_many(["b", "c", "d"]).unwrap(), [None, None, None]);
    let stats = cache.stats().unwrap();
    assert_eq!((stats.misses, stats.discarded, stats.memory_hits, stats.disk_hits), (4, 4, 0, 0));
    assert_eq!((bytes.count().unwrap(), stats.total_gets), (0, 4));
}

/// Fails or panics, as asked, on the way out or in.
#[derive(Debug)]
struct Difficult(&'static str);

impl Serialize for Difficult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            "fails" => Err(serde::ser::Error::custom("it fails")),
            "panics" => panic!("it panics"),
            word => serializer.serialize_str(word),
        }
    }
}

thread_local! {
    static PANIC_WHEN_DECODED: Cell<bool> = const { Cell::new(false) };
}

impl<'de> Deserialize<'de> for Difficult {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Difficult, D::Error> {
        assert!(!PANIC_WHEN_DECODED.get(), "it panics");
        String::deserialize(deserializer).map(|_| Difficult("good"))
    }
}

#[test]
fn a_serializer_that_fails_changes_nothing() {
    let cache = TypedCache::<Difficult>::open(":memory:", "1.0.0").unwrap();
    cache.put("key", Difficult("good")).unwrap();
    let before = cache.stats().unwrap();
    for outcome in [
        cache.put("key", Difficult("fails")),
        cache.put_many([("other", Difficult("good")), ("key", Difficult("fails"))]),
    ] {
        match outcome {
            Err(Error::Serialize(error)) => assert_eq!(error.to_string(), "it fails"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(cache.stats().unwrap(), before);
    assert_eq!(cache.get("key").unwrap().unwrap().0, "good");
    // What JSON has no room for.
    let maps = TypedCache::<std::collections::BTreeMap<Vec<u8>, u8>>::open(":memory:", "1.0.0").unwrap();
    assert!(matches!(
        maps.put("key", [(vec![1], 2)].into_iter().collect::<std::collections::BTreeMap<_, _>>()),
        Err(Error::Serialize(_))
    ));
}

#[test]
fn a_serializer_that_panics_changes_nothing() {
    let cache = TypedCache::<Difficult>::open(":memory:", "1.0.0").unwrap();
    cache.put("key", Difficult("good")).unwrap();
    let before = cache.stats().unwrap();
    let difficult = Arc::new(Difficult("panics"));
    assert!(catch_unwind(AssertUnwindSafe(|| cache.put("key", Arc::clone(&difficult)))).is_err());
    let batch = || cache.put_many([("other", Arc::new(Difficult("good"))), ("key", Arc::clone(&difficult))]);
    assert!(catch_unwind(AssertUnwindSafe(batch)).is_err());
    assert_eq!(Arc::strong_count(&difficult), 1);
    assert_eq!(cache.stats().unwrap(), before);
    assert_eq!(cache.get("key").unwrap().unwrap().0, "good");
}

#[test]
fn a_deserializer_that_panics_leaves_the_item() {
    let cache = TypedCache::<Difficult>::open(":memory:", "1.0.0").unwrap();
    cache.put("key", Difficult("good")).unwrap();
    cache.clear_memory().unwrap();
    PANIC_WHEN_DECODED.set(true);
    assert!(catch_unwind(AssertUnwindSafe(|| cache.get("key"))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| cache.get_many(["key"]))).is_err());
    PANIC_WHEN_DECODED.set(false);
    assert_eq!(cache.get("key").unwrap().unwrap().0, "good");
    assert_eq!(cache.stats().unwrap().discarded, 0);
}

#[test]
fn bad_keys_and_too_large_values_change_nothing() {
    let cache: TypedCache<String> = Cache::builder().max_disk_size_bytes(100).open_typed(":memory:", "1").unwrap();
    let kept = Arc::new("kept".to_owned());
    cache.put("key", Arc::clone(&kept)).unwrap();
    assert_eq!(refused(cache.put("", "x".to_owned())), "Key cannot be empty");
    assert_eq!(refused(cache.get("a\0b")), "Key must not contain U+0000");
    assert_eq!(refused(cache.get_many(["key", ""])), "item 1: Key cannot be empty");
    assert!(refused(cache.put("key", "x".repeat(100))).starts_with("Item size (102 bytes) exceeds"));
    assert!(refused(cache.put_many([("key", "x".repeat(100))])).starts_with("item 0: Item size (102 bytes)"));
    assert_eq!(refused(cache.put_at("key", "x".to_owned(), f64::NAN)), "timestamp must be finite");
    assert!(Arc::ptr_eq(&kept, &cache.get("key").unwrap().unwrap()));
    assert_eq!(cache.count().unwrap(), 1);
}

static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// Counts how many of it there are, and uses a cache when it goes.
struct Counted(Option<Arc<TypedCache<u32>>>);

impl Counted {
    fn new(other: &Arc<TypedCache<u32>>) -> Counted {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Counted(Some(Arc::clone(other)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
        if let Some(other) = &self.0 {
            other.put("dropped", 1).unwrap();
        }
    }
}

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Counted, D::Error> {
        <()>::deserialize(deserializer)?;
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Ok(Counted(None))
    }
}

#[test]
fn objects_are_dropped_each_once_and_may_use_a_cache_then() {
    let other = Arc::new(TypedCache::<u32>::open(":memory:", "1.0.0").unwrap());
    let cache: TypedCache<Counted> = Cache::builder().max_memory_items(10).open_typed(":memory:", "1.0.0").unwrap();
    for i in 0..100 {
        cache.put(&format!("{}", i % 30), Counted::new(&other)).unwrap();
        cache.get(&format!("{}", i * 7 % 30)).unwrap();
        cache.put_many((0..3).map(|j| (format!("{}", (i + j) % 30), Counted::new(&other)))).unwrap();
        assert!(ALIVE.load(Ordering::Relaxed) <= 10);
    }
    assert_eq!(ALIVE.load(Ordering::Relaxed) as u64, cache.stats().unwrap().current_memory_items);
    drop(cache);
    assert_eq!(ALIVE.load(Ordering::Relaxed), 0);
    assert_eq!(*other.get("dropped").unwrap().unwrap(), 1);
}

#[test]
fn many_types_come_back_as_they_were() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Point,
        Circle { radius: f64 },
        Path(Vec<(i64, u64)>),
    }
    let cache = TypedCache::<Shape>::open(":memory:", "1.0.0").unwrap();
    let shapes = [Shape::Point, Shape::Circle { radius: 0.1 + 0.2 }, Shape::Path(vec![(i64::MIN, u64::MAX)])];
    for (i, shape) in shapes.into_iter().enumerate() {
        let key = i.to_string();
        let shape = Arc::new(shape);
        cache.put(&key, Arc::clone(&shape)).unwrap();
        cache.clear_memory().unwrap();
        assert_eq!(cache.get(&key).unwrap().unwrap(), shape);
    }
}

#[test]
fn generic_types_of_a_program_may_close_a_cache() {
    struct Owner<T>(TypedCache<T>);

    impl<T> Drop for Owner<T> {
        fn drop(&mut self) {
            self.0.flush().unwrap();
            self.0.close().unwrap();
        }
    }

    let folder = tempdir().unwrap();
    let path = folder.path().join("cache.db");
    Owner(TypedCache::<u32>::open(&path, "1.0.0").unwrap()).0.put("key", 1).unwrap();
    assert_eq!(*TypedCache::<u32>::open(&path, "1.0.0").unwrap().get("key").unwrap().unwrap(), 1);
}
