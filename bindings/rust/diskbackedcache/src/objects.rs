//! The objects of the memory tier.
//!
//! The library decides who is in memory, in which order they leave, and whether what is there is current; here are only
//! the objects that go with its decisions, each with the version that the library knows it by. A get passes the version
//! that is held and hears "unchanged", or gets the bytes of another one. What leaves the library's memory tier is
//! reported as a list of versions and let go here.
//!
//! Reports come late: between the library's answer and `store()`, another thread may have fetched the report that the
//! version is dropped again. So the versions of recent reports are remembered with the number of their report, and a
//! store that began before that report does nothing. A version can be dropped and brought back to memory several times;
//! reports from before the call began do not count. Only so many are remembered; a store that began earlier than memory
//! reaches back does nothing either. That is always safe: an object that is not held costs one read from disk.
//!
//! Thread safety: everything from any thread. A hit takes one shard's lock, for reading. Lock order: ledger, then a
//! shard. Under neither does foreign code run: no call of the library, and no object is dropped.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::fast::RandomState;

use crate::cache::Cache;

const SHARDS: usize = 64;
/// How many dropped versions are remembered at least.
const REMEMBERED: usize = 4096;
/// How many versions are fetched at once.
const REPORT_SIZE: usize = 256;

/// For numbers that are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only for u64");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// By the hash of the key.
type ByHash<V> = HashMap<u64, V, BuildHasherDefault<AsItIs>>;
type ByVersion<V> = HashMap<u64, V, RandomState>;

/// A key as it is known here: by its hash alone. Should two keys ever have the same, each takes the other's place, which
/// costs time and never truth: the library compares the version held with that of the very key, and no two items have
/// the same version.
#[derive(Clone, Copy)]
pub(crate) struct Hash(u64);

pub(crate) struct Held<T> {
    pub(crate) version: u64,
    pub(crate) object: Arc<T>,
}

// Not derived: that would ask T to be Clone.
impl<T> Clone for Held<T> {
    fn clone(&self) -> Held<T> {
        Held { version: self.version, object: Arc::clone(&self.object) }
    }
}

/// What is held of some of the keys. On cache lines of its own, so that readers of one do not slow down another's.
#[repr(align(128))]
struct Shard<T>(RwLock<ByHash<Held<T>>>);

impl<T> Shard<T> {
    // Nothing that can panic runs under the lock, so what is in there is whole.
    fn read(&self) -> RwLockReadGuard<'_, ByHash<Held<T>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, ByHash<Held<T>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of versions.
#[derive(Default)]
struct Ledger {
    /// The key of each version that is held.
    keys: ByVersion<Hash>,
    /// Version -> the report that dropped it, lately.
    recent: ByVersion<u64>,
    /// The same, one generation earlier.
    older: ByVersion<u64>,
    /// How many versions a generation is for, beyond REMEMBERED.
    extra_room: usize,
    /// The last report of which something may no longer be remembered.
    forgotten: u64,
}

impl Ledger {
    /// May something be stored for that version, by a call that began at that report?
    fn admits(&self, version: u64, since: u64) -> bool {
        let last_dropped = |reports: &ByVersion<u64>| reports.get(&version).copied().unwrap_or(0);
        since >= self.forgotten && last_dropped(&self.recent).max(last_dropped(&self.older)) <= since
    }

    fn end_generation_if_full(&mut self) {
        if self.recent.len() > REMEMBERED + self.extra_room {
            self.forgotten = self.forgotten.max(self.older.values().copied().max().unwrap_or(0));
            self.older = mem::take(&mut self.recent);
        }
    }
}

pub(crate) struct Objects<T> {
    hasher: RandomState,
    shards: Box<[Shard<T>]>,
    ledger: Mutex<Ledger>,
    /// How many reports there were. Changes with the ledger locked.
    reports: AtomicU64,
}

impl<T> Objects<T> {
    pub(crate) fn new() -> Objects<T> {
        Objects {
            hasher: RandomState::default(),
            shards: (0..SHARDS).map(|_| Shard(RwLock::default())).collect(),
            ledger: Mutex::default(),
            reports: AtomicU64::new(0),
        }
    }

    pub(crate) fn hash(&self, key: &str) -> Hash {
        Hash(self.hasher.hash_one(key))
    }

    fn shard(&self, key: Hash) -> &Shard<T> {
        // Bits that the tables in the shards do not go by.
        &self.shards[(key.0 >> 32) as usize % SHARDS]
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the last report: to be read before a call whose answer shall be stored.
    pub(crate) fn reports(&self) -> u64 {
        self.reports.load(Ordering::Acquire)
    }

    pub(crate) fn find(&self, key: Hash) -> Option<Held<T>> {
        self.shard(key).read().get(&key.0).cloned()
    }

    /// Holds an object for a version that the library gave in a call which began at report number `since`. Returns the
    /// object that stands for this version from now on: the one already held, if there is one.
    pub(crate) fn store(&self, key: Hash, version: u64, object: Arc<T>, since: u64) -> Arc<T> {
        let mut ledger = self.ledger();
        let (object, gone) = self.store_locked(&mut ledger, key, version, object, since);
        drop(ledger);
        drop(gone);
        object
    }

    /// The second of the two is to be dropped without the lock.
    fn store_locked(
        &self,
        ledger: &mut Ledger,
        key: Hash,
        version: u64,
        object: Arc<T>,
        since: u64,
    ) -> (Arc<T>, Option<Arc<T>>) {
        let mut shard = self.shard(key).write();
        let mut gone = None;
        if let Some(present) = shard.get(&key.0) {
            if present.version == version {
                return (Arc::clone(&present.object), Some(object));
            }
            if present.version > version {
                return (object, None);
            }
            ledger.keys.remove(&present.version);
            gone = shard.remove(&key.0).map(|held| held.object);
        }
        if ledger.admits(version, since) {
            ledger.keys.insert(version, key);
            shard.insert(key.0, Held { version, object: Arc::clone(&object) });
        }
        (object, gone)
    }

    /// The same for a batch: call this, then the library, then `let_go()`, then `store()` on what this returned. The
    /// reports on the batch may be as long as itself, and have to be remembered until it is through.
    pub(crate) fn begin_batch(&self, count: usize) -> Batch<'_, T> {
        let mut ledger = self.ledger();
        ledger.extra_room += count;
        Batch { objects: self, count, since: self.reports() }
    }

    /// Lets an object go that the library no longer knows.
    pub(crate) fn forget(&self, key: Hash, version: u64) {
        let mut ledger = self.ledger();
        let gone = self.take(&mut ledger, key, version);
        drop(ledger);
        drop(gone);
    }

    fn take(&self, ledger: &mut Ledger, key: Hash, version: u64) -> Option<Held<T>> {
        let mut shard = self.shard(key).write();
        if shard.get(&key.0)?.version != version {
            return None;
        }
        ledger.keys.remove(&version);
        shard.remove(&key.0)
    }

    /// Fetches what was dropped, and lets those objects go.
    pub(crate) fn let_go(&self, cache: &Cache) {
        let mut versions = [0; REPORT_SIZE];
        // An error is that the cache was closed, which lets everything go, or one that every later call will tell of.
        while let Ok(dropped) = cache.dropped(&mut versions) {
            if dropped.overflowed {
                self.let_all_go();
            }
            if dropped.count > 0 {
                self.report(&versions[..dropped.count]);
            }
            if dropped.count < REPORT_SIZE && !dropped.overflowed {
                return;
            }
        }
    }

    fn report(&self, versions: &[u64]) {
        let mut gone = Vec::new();
        let mut ledger = self.ledger();
        let report = self.reports() + 1;
        self.reports.store(report, Ordering::Release);
        for &version in versions {
            ledger.recent.insert(version, report);
            if let Some(key) = ledger.keys.get(&version).copied() {
                gone.extend(self.take(&mut ledger, key, version));
            }
        }
        ledger.end_generation_if_full();
        drop(ledger);
        drop(gone);
    }

    /// Lets everything go, also what calls that are still on their way would store.
    pub(crate) fn let_all_go(&self) {
        let mut ledger = self.ledger();
        ledger.forgotten = self.reports() + 1;
        self.reports.store(ledger.forgotten, Ordering::Release);
        ledger.keys.clear();
        let gone: Vec<_> = self.shards.iter().map(|shard| mem::take(&mut *shard.write())).collect();
        drop(ledger);
        drop(gone);
    }

    /// How many objects are held, and how many versions are known of.
    #[cfg(test)]
    fn counts(&self) -> (usize, usize) {
        let ledger = self.ledger();
        (self.shards.iter().map(|shard| shard.read().len()).sum(), ledger.keys.len())
    }
}

/// A batch on its way.
pub(crate) struct Batch<'a, T> {
    objects: &'a Objects<T>,
    count: usize,
    since: u64,
}

impl<T> Batch<'_, T> {
    pub(crate) fn store(&self, items: impl Iterator<Item = (Hash, u64, Arc<T>)>) {
        let mut gone = Vec::new();
        let mut ledger = self.objects.ledger();
        for (key, version, object) in items {
            gone.push(self.objects.store_locked(&mut ledger, key, version, object, self.since));
        }
        drop(ledger);
        drop(gone);
    }
}

impl<T> Drop for Batch<'_, T> {
    fn drop(&mut self) {
        self.objects.ledger().extra_room -= self.count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(objects: &Objects<&'static str>, key: &str) -> Option<&'static str> {
        objects.find(objects.hash(key)).map(|held| *held.object)
    }

    #[test]
    fn what_is_stored_is_found_until_it_is_dropped() {
        let objects = Objects::new();
        objects.store(objects.hash("a"), 1, Arc::new("one"), objects.reports());
        objects.store(objects.hash("b"), 2, Arc::new("two"), objects.reports());
        objects.report(&[1]);
        assert_eq!((held(&objects, "a"), held(&objects, "b")), (None, Some("two")));
        assert_eq!(objects.counts(), (1, 1));
    }

    #[test]
    fn one_version_has_one_object() {
        let objects = Objects::new();
        let first = objects.store(objects.hash("a"), 1, Arc::new("first"), 0);
        let second = objects.store(objects.hash("a"), 1, Arc::new("second"), 0);
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(objects.counts(), (1, 1));
    }

    #[test]
    fn the_later_version_stays() {
        let objects = Objects::new();
        objects.store(objects.hash("a"), 2, Arc::new("later"), 0);
        assert_eq!(*objects.store(objects.hash("a"), 1, Arc::new("earlier"), 0), "earlier");
        assert_eq!(held(&objects, "a"), Some("later"));
        objects.store(objects.hash("a"), 3, Arc::new("last"), 0);
        assert_eq!(held(&objects, "a"), Some("last"));
        objects.report(&[2]); // of what was replaced: says nothing about the present one
        assert_eq!(held(&objects, "a"), Some("last"));
        assert_eq!(objects.counts(), (1, 1));
    }

    #[test]
    fn what_was_dropped_during_the_call_is_not_stored() {
        let objects = Objects::new();
        let since = objects.reports();
        objects.report(&[1]);
        objects.store(objects.hash("a"), 1, Arc::new("too late"), since);
        assert_eq!(held(&objects, "a"), None);
        objects.store(objects.hash("a"), 1, Arc::new("brought back"), objects.reports());
        assert_eq!(held(&objects, "a"), Some("brought back"));
    }

    #[test]
    fn a_call_from_before_memory_reaches_back_stores_nothing() {
        let objects = Objects::new();
        let since = objects.reports();
        objects.report(&[1]);
        let others: Vec<u64> = (1000..1000 + 2 * REMEMBERED as u64 + 2).collect();
        for half in others.chunks(REMEMBERED + 1) {
            objects.report(half);
        }
        assert!(!objects.ledger().recent.contains_key(&1) && !objects.ledger().older.contains_key(&1));
        objects.store(objects.hash("a"), 1, Arc::new("too late"), since);
        assert_eq!(held(&objects, "a"), None);
    }

    #[test]
    fn a_batch_is_remembered_however_long_it_is() {
        let objects = Objects::new();
        let versions: Vec<u64> = (1..=4 * REMEMBERED as u64).collect();
        let batch = objects.begin_batch(versions.len());
        for report in versions[1..].chunks(REPORT_SIZE) {
            objects.report(report);
        }
        batch.store(versions.iter().map(|version| (objects.hash(&version.to_string()), *version, Arc::new("object"))));
        drop(batch);
        assert_eq!(objects.counts(), (1, 1));
        assert_eq!(held(&objects, "1"), Some("object"));
        assert_eq!(objects.ledger().extra_room, 0);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let objects = Objects::<()>::new();
        for version in 1..20 * REMEMBERED as u64 {
            objects.report(&[version]);
        }
        let ledger = objects.ledger();
        assert!(ledger.recent.len() <= REMEMBERED + 1 && ledger.older.len() <= REMEMBERED + 1);
    }

    #[test]
    fn keys_with_the_same_hash_take_turns() {
        let objects = Objects::new();
        let same = objects.hash("a");
        objects.store(same, 1, Arc::new("of one key"), 0);
        objects.store(same, 2, Arc::new("of another"), 0);
        objects.report(&[1]);
        assert_eq!(held(&objects, "a"), Some("of another"));
        assert_eq!(objects.counts(), (1, 1));
        objects.report(&[2]);
        assert_eq!(objects.counts(), (0, 0));
    }

    #[test]
    fn forget_and_let_all_go() {
        let objects = Objects::new();
        objects.store(objects.hash("a"), 1, Arc::new("one"), 0);
        objects.store(objects.hash("b"), 2, Arc::new("two"), 0);
        objects.forget(objects.hash("a"), 7);
        assert_eq!(held(&objects, "a"), Some("one"));
        objects.forget(objects.hash("a"), 1);
        objects.forget(objects.hash("absent"), 1);
        assert_eq!(held(&objects, "a"), None);
        let since = objects.reports();
        objects.let_all_go();
        assert_eq!(objects.counts(), (0, 0));
        objects.store(objects.hash("c"), 3, Arc::new("on its way"), since);
        assert_eq!(objects.counts(), (0, 0));
    }
}
