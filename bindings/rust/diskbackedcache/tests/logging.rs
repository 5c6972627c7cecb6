//! What goes to the `log` crate.

use std::cell::{Cell, RefCell};
use std::sync::{Mutex, MutexGuard, Once, OnceLock, PoisonError};

use diskbackedcache::{Cache, Error, TypedCache};
use log::{Level, LevelFilter, Log, Metadata, Record};

thread_local! {
    static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
    static PANIC: Cell<bool> = const { Cell::new(false) };
    static USE_CACHE: Cell<bool> = const { Cell::new(false) };
}

/// A cache that the logger uses.
static USED_BY_LOGGER: OnceLock<TypedCache<String>> = OnceLock::new();

/// Messages come on the thread that called, so each test collects its own.
struct Collector;

impl Log for Collector {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        assert_eq!(record.target(), "diskbackedcache");
        assert!(!PANIC.get(), "the logger panics");
        LINES.with_borrow_mut(|lines| lines.push((record.level(), record.args().to_string())));
        if USE_CACHE.get() {
            let cache = USED_BY_LOGGER.get().unwrap();
            cache.put("logged", "by the logger".to_owned()).unwrap();
            assert!(matches!(cache.close(), Err(Error::InvalidArgument(_))));
        }
    }

    fn flush(&self) {}
}

/// The level is the whole program's, so tests that set it take turns.
fn at_level(level: LevelFilter) -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| log::set_logger(&Collector).unwrap());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    log::set_max_level(level);
    turn
}

fn take() -> Vec<(Level, String)> {
    LINES.take()
}

fn texts() -> Vec<String> {
    take().into_iter().map(|(_, text)| text).collect()
}

#[test]
fn every_operation_and_its_outcome_at_trace() {
    let _turn = at_level(LevelFilter::Trace);
    let cache = TypedCache::<u32>::open(":memory:", "1.0.0").unwrap();
    take();
    cache.put("k", 1).unwrap();
    cache.get("k").unwrap();
    cache.get("absent").unwrap();
    let lines = take();
    for expected in ["put(key='k')", "get(key='k')", "get(key='k'): memory hit", "get(key='absent'): miss (not found)"]
    {
        assert!(lines.contains(&(Level::Trace, expected.to_owned())), "{expected} not in {lines:?}");
    }
    cache.close().unwrap();
    assert_eq!(texts(), ["close()", "closed :memory:"]);
}

#[test]
fn levels_become_levels() {
    let _turn = at_level(LevelFilter::Trace);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.db");
    std::fs::write(&path, "no database").unwrap();
    let cache = Cache::builder().max_disk_items(1).open(&path, "1.0.0").unwrap();
    assert!(take().iter().any(|(level, text)| *level == Level::Warn && text.contains(".corrupt-")));
    cache.put("a", "1").unwrap();
    cache.put("b", "2").unwrap();
    assert!(take().iter().any(|(level, text)| *level == Level::Info && text.starts_with("first eviction from disk")));
    cache.put("bad", "no JSON").unwrap();
    let typed = TypedCache::<u32>::open(&path, "1.0.0").unwrap();
    take();
    typed.get("bad").unwrap();
    assert!(take().iter().any(|(level, text)| *level == Level::Debug && text.contains("value does not decode")));
}

#[test]
fn a_changed_level_counts_from_the_next_call_on() {
    let _turn = at_level(LevelFilter::Off);
    let cache = Cache::open(":memory:", "1.0.0").unwrap();
    cache.get("k").unwrap();
    assert_eq!(texts(), Vec::<String>::new());
    log::set_max_level(LevelFilter::Trace);
    cache.get("k").unwrap();
    assert_eq!(texts(), ["get(key='k')", "get(key='k'): miss (not found)"]);
    log::set_max_level(LevelFilter::Info);
    cache.get("k").unwrap();
    assert_eq!(texts(), Vec::<String>::new());
}

/// However levels and calls interleave, the last level is the one that counts in the end.
#[test]
fn levels_that_change_under_load() {
    let _turn = at_level(LevelFilter::Off);
    let cache = Cache::open(":memory:", "1.0.0").unwrap();
    for _ in 0..100 {
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..50).for_each(|_| assert!(cache.get("k").unwrap().is_none())));
            }
            for level in (0..5).flat_map(|_| LevelFilter::iter()) {
                log::set_max_level(level);
            }
        });
        log::set_max_level(LevelFilter::Trace);
        cache.get("k").unwrap();
        assert_eq!(texts(), ["get(key='k')", "get(key='k'): miss (not found)"]);
    }
}

#[test]
fn a_logger_that_panics_said_nothing() {
    let _turn = at_level(LevelFilter::Trace);
    let cache = Cache::open(":memory:", "1.0.0").unwrap();
    take();
    PANIC.set(true);
    cache.put("k", "value").unwrap();
    PANIC.set(false);
    assert_eq!(&*cache.get("k").unwrap().unwrap(), b"value");
    assert_eq!(texts(), ["get(key='k')", "get(key='k'): memory hit"]);
}

#[test]
fn a_logger_may_use_the_cache_but_not_close_it() {
    let _turn = at_level(LevelFilter::Trace);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.db");
    Cache::open(&path, "1.0.0").unwrap().put("bad", "no JSON").unwrap();
    let cache = USED_BY_LOGGER.get_or_init(|| TypedCache::open(&path, "1.0.0").unwrap());
    take();
    USE_CACHE.set(true);
    cache.get("k").unwrap();
    assert_eq!(texts(), ["get(key='k')", "get(key='k'): miss (not found)"]);
    cache.get("bad").unwrap(); // of which the binding tells itself
    assert!(texts().iter().any(|text| text.contains("value does not decode")));
    USE_CACHE.set(false);
    assert_eq!(*cache.get("logged").unwrap().unwrap(), "by the logger");
    cache.close().unwrap();
}
