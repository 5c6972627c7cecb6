//! Bad options, closed caches, and what an error says of itself.

use std::error::Error as _;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use diskbackedcache::{Cache, Error, TypedCache};

use crate::{in_memory, refused};

#[test]
fn options_out_of_range_are_named() {
    fn message(builder: diskbackedcache::Builder) -> String {
        let message = refused(builder.open(":memory:", "1.0.0"));
        assert_eq!(refused(builder.open_typed::<u32>(":memory:", "1.0.0")), message);
        message
    }
    let most = i64::MAX;
    assert_eq!(message(Cache::builder().max_disk_items(0)), format!("max_disk_items must be from 1 to {most}, got 0"));
    assert!(message(Cache::builder().max_memory_items(u64::MAX)).starts_with("max_memory_items must be from 0 to"));
    assert!(message(Cache::builder().max_memory_size_bytes(u64::MAX)).starts_with("max_memory_size_bytes must"));
    assert!(message(Cache::builder().max_disk_size_bytes(0)).starts_with("max_disk_size_bytes must be from 1 to"));
    assert!(message(Cache::builder().max_item_size_bytes(u64::MAX)).starts_with("max_item_size_bytes must be"));
    for seconds in [0.0, -1.0, f64::NAN] {
        assert!(
            message(Cache::builder().memory_ttl_seconds(seconds)).starts_with("memory_ttl_seconds must be greater")
        );
        assert!(message(Cache::builder().disk_ttl_seconds(seconds)).starts_with("disk_ttl_seconds must be greater"));
        assert!(message(Cache::builder().touch_delay_seconds(seconds)).starts_with("touch_delay_seconds must be"));
    }
    assert!(message(Cache::builder().write_behind_items(0)).starts_with("write_behind_items must be from 1 to"));
    assert!(message(Cache::builder().write_behind_size_bytes(0)).starts_with("write_behind_size_bytes must be from"));
    assert!(message(Cache::builder().write_behind_delay_seconds(0.0)).starts_with("write_behind_delay_seconds must"));
    for seconds in [-1.0, 86_401.0, f64::INFINITY] {
        assert!(message(Cache::builder().busy_timeout_seconds(seconds)).starts_with("busy_timeout_seconds must be"));
    }
    assert!(message(Cache::builder().file_mode(0o1000)).starts_with("file_mode must be from 0 to 511"));
}

#[test]
fn the_last_setting_of_an_option_counts() {
    let cache = Cache::builder().max_disk_items(0).max_disk_items(1).open(":memory:", "1.0.0").unwrap();
    cache.put_at("a", "1", 1.0).unwrap();
    cache.put_at("b", "2", 2.0).unwrap();
    assert_eq!(cache.count().unwrap(), 1);
}

#[test]
fn schema_versions_are_checked() {
    let longest = "x".repeat(64);
    Cache::open(":memory:", &longest).unwrap();
    for (version, message) in [
        ("", "schema_version cannot be empty"),
        (&*(longest + "x"), "schema_version exceeds maximum of 64 bytes"),
        ("1\0", "schema_version must not contain U+0000"),
    ] {
        assert_eq!(refused(Cache::open(":memory:", version)), message);
        assert_eq!(refused(TypedCache::<u32>::open(":memory:", version)), message);
    }
}

#[test]
fn paths_are_checked() {
    assert_eq!(refused(Cache::open("", "1.0.0")), "db_path cannot be empty");
    assert_eq!(refused(Cache::open("a\0b", "1.0.0")), "db_path must not contain U+0000");
    let not_utf8 = OsStr::from_bytes(b"caf\xe9.db");
    assert_eq!(refused(Cache::open(not_utf8, "1.0.0")), r#"db_path is not valid UTF-8: "caf\xE9.db""#);
}

#[test]
fn a_closed_cache_says_so() {
    let cache = in_memory();
    cache.put("key", "value").unwrap();
    cache.close().unwrap();
    cache.close().unwrap();
    #[track_caller]
    fn closed<T: std::fmt::Debug>(outcome: diskbackedcache::Result<T>) {
        match outcome {
            Err(error @ Error::Closed(_)) => {
                assert_eq!(error.to_string(), "the cache is closed");
                assert_eq!((error.code(), error.name()), (17, "DBC_CLOSED"));
            }
            other => panic!("not closed: {other:?}"),
        }
    }
    closed(cache.put("key", "value"));
    closed(cache.get("key"));
    closed(cache.get_changed("key", 1));
    closed(cache.delete("key"));
    closed(cache.discard("key", 1, false));
    closed(cache.exists("key"));
    closed(cache.tier("key"));
    closed(cache.put_many([("key", "value")]));
    closed(cache.get_many(["key"]));
    closed(cache.delete_many(["key"]));
    closed(cache.clear());
    closed(cache.clear_memory());
    closed(cache.flush());
    closed(cache.purge_expired());
    closed(cache.count());
    closed(cache.total_size());
    closed(cache.stats());
    closed(cache.dropped(&mut [0]));
}

#[test]
fn a_closed_typed_cache_says_so() {
    let cache = TypedCache::<u32>::open(":memory:", "1.0.0").unwrap();
    cache.put("key", 1).unwrap();
    cache.close().unwrap();
    cache.close().unwrap();
    assert!(matches!(cache.put("key", 2), Err(Error::Closed(_))));
    assert!(matches!(cache.get("key"), Err(Error::Closed(_))));
    assert!(matches!(cache.put_many([("key", 2)]), Err(Error::Closed(_))));
    assert!(matches!(cache.get_many(["key"]), Err(Error::Closed(_))));
    assert!(matches!(cache.delete("key"), Err(Error::Closed(_))));
    assert!(matches!(cache.delete_many(["key"]), Err(Error::Closed(_))));
    assert!(matches!(cache.exists("key"), Err(Error::Closed(_))));
    assert!(matches!(cache.tier("key"), Err(Error::Closed(_))));
    assert!(matches!(cache.clear(), Err(Error::Closed(_))));
    assert!(matches!(cache.clear_memory(), Err(Error::Closed(_))));
    assert!(matches!(cache.flush(), Err(Error::Closed(_))));
    assert!(matches!(cache.purge_expired(), Err(Error::Closed(_))));
    assert!(matches!(cache.count(), Err(Error::Closed(_))));
    assert!(matches!(cache.total_size(), Err(Error::Closed(_))));
    assert!(matches!(cache.stats(), Err(Error::Closed(_))));
}

#[test]
fn errors_travel() {
    fn is_error<E: std::error::Error + Send + Sync + 'static>() {}
    is_error::<Error>();
    let error = in_memory().get("").unwrap_err();
    assert!(error.source().is_none());
    assert_eq!(format!("{error:?}"), r#"InvalidArgument("Key cannot be empty")"#);
    let serde = serde_json::from_str::<u32>("x").unwrap_err();
    let error = Error::Serialize(serde);
    assert!(error.source().is_some());
    assert_eq!((error.code(), error.name()), (16, "DBC_INVALID_ARGUMENT"));
}
