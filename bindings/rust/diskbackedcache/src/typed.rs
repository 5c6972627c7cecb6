//! The cache of objects.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use diskbackedcache_sys as sys;
use log::Level;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::batch::Packed;
use crate::builder::Builder;
use crate::cache::{Cache, Checked};
use crate::error::{Error, Result};
use crate::logging;
use crate::objects::Objects;
use crate::stats::Stats;
use crate::value::{Answer, Tier};

/// A cache of objects in two tiers: memory, and one SQLite file that is the source of truth.
///
/// A memory hit returns the very `Arc<T>` that was put or decoded before, and decodes nothing. In the file are JSON
/// texts, so other languages read the same items: a Pydantic model, a Go struct with the same fields.
///
/// The schema version says which shape `T` has. Change it when the fields change: items that were stored under another
/// one are removed when the cache is opened, and never returned. A stored value that does not decode is removed and
/// counts as a miss, with the reason at debug level.
///
/// What everybody shares nobody should change: with a `T` that has interior mutability, what is changed in memory never
/// reaches the disk. An item's size, which limits speak of, is that of its JSON in bytes. NaN and the infinities are
/// not JSON: serde_json writes them as `null`.
///
/// Keys, timestamps, threads and errors are those of [`Cache`], and `serde` errors are [`Error::Serialize`]. A panic of
/// `T`'s `Serialize` passes through before anything has begun; one of its `Deserialize` leaves the item where it is.
///
/// ```
/// use diskbackedcache::TypedCache;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct User {
///     name: String,
///     email: String,
/// }
///
/// let users = TypedCache::<User>::open(":memory:", "1.0.0")?;
/// users.put("user:1", User { name: "Ada".into(), email: "ada@example.org".into() })?;
/// let ada = users.get("user:1")?.unwrap();
/// assert_eq!(ada.name, "Ada");
/// assert!(std::sync::Arc::ptr_eq(&ada, &users.get("user:1")?.unwrap()));
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
///
/// It goes to other threads only if `T` may:
///
/// ```compile_fail,E0277
/// # use diskbackedcache::TypedCache;
/// let cells = TypedCache::<std::cell::Cell<u32>>::open(":memory:", "1.0.0").unwrap();
/// std::thread::spawn(move || cells.count());
/// ```
///
/// What it returns is shared, and cannot be changed:
///
/// ```compile_fail,E0596
/// # use diskbackedcache::TypedCache;
/// let lists = TypedCache::<Vec<u32>>::open(":memory:", "1.0.0").unwrap();
/// lists.get("key").unwrap().unwrap().push(1);
/// ```
///
/// And what borrows from elsewhere cannot be decoded, so it cannot be cached:
///
/// ```compile_fail
/// # use diskbackedcache::TypedCache;
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Borrowed<'a>(&'a str);
/// fn open<'a>() -> TypedCache<Borrowed<'a>> {
///     TypedCache::open(":memory:", "1.0.0").unwrap()
/// }
/// ```
pub struct TypedCache<T> {
    cache: Cache,
    /// None without a memory tier.
    objects: Option<Objects<T>>,
}

impl<T: Serialize + DeserializeOwned> TypedCache<T> {
    /// Opens a cache with default options; for others see [`Builder::open_typed`].
    ///
    /// # Errors
    /// As [`Builder::open`].
    ///
    /// ```
    /// let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>, schema_version: &str) -> Result<TypedCache<T>> {
        Builder::new().open_typed(path, schema_version)
    }

    pub(crate) fn new(cache: Cache, with_objects: bool) -> TypedCache<T> {
        TypedCache { cache, objects: with_objects.then(Objects::new) }
    }

    // ------------------------------------------------------------------------------------------ single items -------

    /// Stores an object in both tiers, then evicts until all limits hold, which may hit the item itself.
    ///
    /// Takes a `T`, or an `Arc<T>` of which the caller keeps a clone. As JSON it must not be larger than
    /// `max_disk_size_bytes`.
    ///
    /// # Errors
    /// [`Error::Serialize`]; see [`Cache`].
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// # let lists = diskbackedcache::TypedCache::<Vec<u32>>::open(":memory:", "1.0.0")?;
    /// lists.put("small", vec![1, 2, 3])?;
    /// let primes = Arc::new(vec![2, 3, 5, 7]);
    /// lists.put("primes", Arc::clone(&primes))?;
    /// assert!(Arc::ptr_eq(&primes, &lists.get("primes")?.unwrap()));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn put(&self, key: &str, value: impl Into<Arc<T>>) -> Result<()> {
        self.put_timed(key, value.into(), None)
    }

    /// [`put`](TypedCache::put), at a time.
    ///
    /// # Errors
    /// [`Error::Serialize`]; see [`Cache`].
    ///
    /// ```
    /// # let lists = diskbackedcache::TypedCache::<Vec<u32>>::open(":memory:", "1.0.0")?;
    /// lists.put_at("small", vec![1, 2, 3], 1000.0)?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn put_at(&self, key: &str, value: impl Into<Arc<T>>, timestamp: f64) -> Result<()> {
        self.put_timed(key, value.into(), Some(timestamp))
    }

    fn put_timed(&self, key: &str, object: Arc<T>, timestamp: Option<f64>) -> Result<()> {
        let json = serde_json::to_string(&*object).map_err(Error::Serialize)?;
        let Some(objects) = &self.objects else {
            self.cache.put_timed(key, &json, timestamp)?;
            return Ok(());
        };
        let since = objects.reports();
        let version = self.cache.put_timed(key, &json, timestamp)?;
        objects.let_go(&self.cache);
        objects.store(objects.hash(key), version, object, since);
        Ok(())
    }

    /// The object, if there is one. A hit sets the item's timestamp; one on disk is decoded and brought into memory.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let lists = diskbackedcache::TypedCache::<Vec<u32>>::open(":memory:", "1.0.0")?;
    /// lists.put("small", vec![1, 2, 3])?;
    /// assert_eq!(*lists.get("small")?.unwrap(), [1, 2, 3]);
    /// assert!(lists.get("absent")?.is_none());
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn get(&self, key: &str) -> Result<Option<Arc<T>>> {
        self.get_timed(key, None)
    }

    /// [`get`](TypedCache::get), at a time.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let lists = diskbackedcache::TypedCache::<Vec<u32>>::open(":memory:", "1.0.0")?;
    /// lists.put_at("small", vec![1, 2, 3], 1000.0)?;
    /// assert!(lists.get_at("small", 1001.0)?.is_some());
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn get_at(&self, key: &str, timestamp: f64) -> Result<Option<Arc<T>>> {
        self.get_timed(key, Some(timestamp))
    }

    fn get_timed(&self, key: &str, timestamp: Option<f64>) -> Result<Option<Arc<T>>> {
        let Some(objects) = &self.objects else {
            return match self.cache.get_changed_timed(key, 0, timestamp)? {
                Answer::Changed(value) => self.decode(key, value.version(), &value),
                Answer::Missing | Answer::Unchanged => Ok(None),
            };
        };
        let hash = objects.hash(key);
        let since = objects.reports();
        let held = objects.find(hash);
        let held_version = held.as_ref().map_or(0, |held| held.version);
        match self.cache.get_changed_timed(key, held_version, timestamp)? {
            Answer::Unchanged => Ok(held.map(|held| held.object)),
            Answer::Missing => {
                if held.is_some() {
                    objects.forget(hash, held_version);
                }
                Ok(None)
            }
            Answer::Changed(value) => {
                let Some(object) = self.decode(key, value.version(), &value)? else {
                    return Ok(None);
                };
                objects.let_go(&self.cache);
                Ok(Some(objects.store(hash, value.version(), object, since)))
            }
        }
    }

    /// The object that some JSON says; or None, and the item is discarded.
    fn decode(&self, key: &str, version: u64, json: &[u8]) -> Result<Option<Arc<T>>> {
        match serde_json::from_slice(json) {
            Ok(object) => Ok(Some(Arc::new(object))),
            Err(error) => {
                logging::tell(Level::Debug, format_args!("get(key={key:?}): value does not decode: {error}"));
                self.cache.discard(key, version, false)?;
                self.let_go();
                Ok(None)
            }
        }
    }

    fn let_go(&self) {
        if let Some(objects) = &self.objects {
            objects.let_go(&self.cache);
        }
    }

    /// Removes an item from both tiers. Returns whether there was one.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// names.put("user:1", "Ada".to_owned())?;
    /// assert!(names.delete("user:1")?);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn delete(&self, key: &str) -> Result<bool> {
        let removed = self.cache.delete(key)?;
        self.let_go();
        Ok(removed)
    }

    /// Would a get find the key? Counts as nothing and changes nothing. (Whether the value decodes is not tried.)
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// assert!(!names.exists("user:1")?);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn exists(&self, key: &str) -> Result<bool> {
        self.cache.exists(key)
    }

    /// [`exists`](TypedCache::exists), at a time.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// assert!(!names.exists_at("user:1", 1000.0)?);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn exists_at(&self, key: &str, timestamp: f64) -> Result<bool> {
        self.cache.exists_at(key, timestamp)
    }

    /// Which tier would answer a get? Counts as nothing and changes nothing.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// names.put("user:1", "Ada".to_owned())?;
    /// assert_eq!(names.tier("user:1")?, Some(diskbackedcache::Tier::Memory));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn tier(&self, key: &str) -> Result<Option<Tier>> {
        self.cache.tier(key)
    }

    /// [`tier`](TypedCache::tier), at a time.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// assert_eq!(names.tier_at("user:1", 1000.0)?, None);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn tier_at(&self, key: &str, timestamp: f64) -> Result<Option<Tier>> {
        self.cache.tier_at(key, timestamp)
    }

    // ----------------------------------------------------------------------------------------------- batches -------

    /// Stores all objects or, after any error, none. They share one timestamp, and eviction runs once, after all are
    /// in. Of a key that comes twice the later object stays.
    ///
    /// # Errors
    /// [`Error::Serialize`]; see [`Cache::put_many`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// names.put_many([("user:1", "Ada".to_owned()), ("user:2", "Bob".to_owned())])?;
    /// assert_eq!(names.count()?, 2);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn put_many<K: AsRef<str>, V: Into<Arc<T>>>(&self, items: impl IntoIterator<Item = (K, V)>) -> Result<()> {
        self.put_many_timed(items, None)
    }

    /// [`put_many`](TypedCache::put_many), at a time.
    ///
    /// # Errors
    /// [`Error::Serialize`]; see [`Cache::put_many`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// names.put_many_at([("user:1", "Ada".to_owned()), ("user:2", "Bob".to_owned())], 1000.0)?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn put_many_at<K: AsRef<str>, V: Into<Arc<T>>>(
        &self,
        items: impl IntoIterator<Item = (K, V)>,
        timestamp: f64,
    ) -> Result<()> {
        self.put_many_timed(items, Some(timestamp))
    }

    fn put_many_timed<K: AsRef<str>, V: Into<Arc<T>>>(
        &self,
        items: impl IntoIterator<Item = (K, V)>,
        timestamp: Option<f64>,
    ) -> Result<()> {
        let mut keys = Packed::default();
        let mut values = Packed::default();
        let mut pairs = Vec::new();
        for (key, object) in items {
            let object = object.into();
            keys.push(key.as_ref().as_bytes());
            // Straight into the block.
            let begin = values.block.len();
            serde_json::to_writer(&mut values.block, &*object).map_err(Error::Serialize)?;
            values.sizes.push(values.block.len() - begin);
            pairs.push((key, object));
        }
        let Some(objects) = &self.objects else {
            self.cache.put_packed(&keys, &values, sys::DBC_TEXT, timestamp)?;
            return Ok(());
        };
        let batch = objects.begin_batch(pairs.len());
        let versions = self.cache.put_packed(&keys, &values, sys::DBC_TEXT, timestamp)?;
        objects.let_go(&self.cache);
        let keys = pairs.iter().map(|(key, _)| objects.hash(key.as_ref()));
        let items = keys.zip(versions).zip(&pairs);
        batch.store(items.map(|((key, version), (_, object))| (key, version, Arc::clone(object))));
        Ok(())
    }

    /// Looks many keys up: an object or `None` for each, in order. Sets no timestamps and brings nothing into memory,
    /// so that a scan cannot flush the cache; what is on disk is read as of one moment. Every key counts as one get.
    ///
    /// # Errors
    /// See [`Cache::get_many`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// names.put("user:1", "Ada".to_owned())?;
    /// let found = names.get_many(["user:0", "user:1"])?;
    /// assert!(found[0].is_none());
    /// assert_eq!(**found[1].as_ref().unwrap(), "Ada");
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn get_many<K: AsRef<str>>(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<Option<Arc<T>>>> {
        self.get_many_timed(keys, None)
    }

    /// [`get_many`](TypedCache::get_many), at a time.
    ///
    /// # Errors
    /// See [`Cache::get_many`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// assert_eq!(names.get_many_at(["user:1"], 1000.0)?, [None]);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn get_many_at<K: AsRef<str>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        timestamp: f64,
    ) -> Result<Vec<Option<Arc<T>>>> {
        self.get_many_timed(keys, Some(timestamp))
    }

    fn get_many_timed<K: AsRef<str>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        timestamp: Option<f64>,
    ) -> Result<Vec<Option<Arc<T>>>> {
        let keys: Vec<K> = keys.into_iter().collect();
        let held: Vec<_> = keys
            .iter()
            .map(|key| self.objects.as_ref().and_then(|objects| objects.find(objects.hash(key.as_ref()))))
            .collect();
        let versions: Vec<u64> = held.iter().map(|held| held.as_ref().map_or(0, |held| held.version)).collect();
        let entries = self.cache.get_packed(&keys.iter().collect(), Some(&versions), timestamp)?;
        let rows = keys.iter().zip(held).enumerate().map(|(row, (key, held))| {
            if entries.is_unchanged(row) {
                return Ok(held.map(|held| held.object));
            }
            if let Some(entry) = entries.get(row) {
                return self.decode(key.as_ref(), entry.version(), entry.bytes());
            }
            if let (Some(objects), Some(held)) = (&self.objects, held) {
                objects.forget(objects.hash(key.as_ref()), held.version);
            }
            Ok(None)
        });
        rows.collect()
    }

    /// Removes all of these items or, after an error, none. Returns how many there were.
    ///
    /// # Errors
    /// See [`Cache::delete_many`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// assert_eq!(names.delete_many(["user:1", "user:2"])?, 0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn delete_many<K: AsRef<str>>(&self, keys: impl IntoIterator<Item = K>) -> Result<u64> {
        let removed = self.cache.delete_many(keys)?;
        self.let_go();
        Ok(removed)
    }

    // ------------------------------------------------------------------------------------------- whole cache -------

    /// Removes every item from both tiers. Counters of operations stay.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// names.clear()?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn clear(&self) -> Result<()> {
        self.cache.clear()?;
        self.let_all_go();
        Ok(())
    }

    /// Empties the memory tier; the disk keeps everything.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// names.clear_memory()?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn clear_memory(&self) -> Result<()> {
        self.cache.clear_memory()?;
        self.let_all_go();
        Ok(())
    }

    fn let_all_go(&self) {
        if let Some(objects) = &self.objects {
            objects.let_all_go();
            objects.let_go(&self.cache);
        }
    }

    /// Writes pending access times to the file; see [`Cache::flush`].
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// names.flush()?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn flush(&self) -> Result<()> {
        self.cache.flush()
    }

    /// Removes all items that are past the disk TTL, and returns how many there were. Those past the memory TTL leave
    /// memory.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// assert_eq!(names.purge_expired()?, 0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn purge_expired(&self) -> Result<u64> {
        self.purge_expired_timed(None)
    }

    /// [`purge_expired`](TypedCache::purge_expired), at a time.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// assert_eq!(names.purge_expired_at(1000.0)?, 0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn purge_expired_at(&self, timestamp: f64) -> Result<u64> {
        self.purge_expired_timed(Some(timestamp))
    }

    fn purge_expired_timed(&self, timestamp: Option<f64>) -> Result<u64> {
        let removed = self.cache.purge_expired_timed(timestamp)?;
        self.let_go();
        Ok(removed)
    }

    /// How many items there are on disk, where every item is. Not a scan.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// assert_eq!(names.count()?, 0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn count(&self) -> Result<u64> {
        self.cache.count()
    }

    /// The sum of the sizes of all items as JSON, in bytes. Not a scan.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// names.put("user:1", "Ada".to_owned())?;
    /// assert_eq!(names.total_size()?, r#""Ada""#.len() as u64);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn total_size(&self) -> Result<u64> {
        self.cache.total_size()
    }

    /// The counters of this cache and what the tiers hold, all of one moment.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// names.get("user:1")?;
    /// assert_eq!(names.stats()?.misses, 1);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn stats(&self) -> Result<Stats> {
        self.cache.stats()
    }

    /// Looks at everything in both tiers, and changes nothing; see [`Cache::check`]. Whether values decode is not tried.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// assert_eq!(names.check()?.problems, 0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn check(&self) -> Result<Checked> {
        self.cache.check()
    }

    /// [`check`](TypedCache::check), and mends what it finds; see [`Cache::repair`].
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// assert_eq!(names.repair()?.problems, 0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn repair(&self) -> Result<Checked> {
        let checked = self.cache.repair()?;
        self.let_go();
        Ok(checked)
    }

    /// Writes what is pending and closes the file; see [`Cache::close`].
    ///
    /// # Errors
    /// As [`Cache::close`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// names.close()?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn close(&self) -> Result<()> {
        if logging::inside_logger() {
            return self.cache.close(); // which refuses
        }
        let closed = self.cache.close();
        if let Some(objects) = &self.objects {
            objects.let_all_go();
        }
        closed
    }

    /// The file, as it was given.
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// assert_eq!(names.path().to_str(), Some(":memory:"));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn path(&self) -> &Path {
        self.cache.path()
    }
}

impl<T> fmt::Debug for TypedCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedCache")
            .field("path", &self.cache.path())
            .field("type", &std::any::type_name::<T>())
            .finish_non_exhaustive()
    }
}
