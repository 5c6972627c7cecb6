//! The cache of bytes, which is the C API in Rust's clothes.

use std::ffi::{c_char, c_int, c_uint};
use std::fmt;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};

use diskbackedcache_sys as sys;

use crate::batch::{Entries, Packed};
use crate::builder::Builder;
use crate::error::{Error, Result, check, check_found};
use crate::logging;
use crate::stats::{self, Stats};
use crate::value::{Answer, AsValue, Tier, Value};

/// A cache of bytes in two tiers: memory, and one SQLite file that is the source of truth.
///
/// Keys are text of 1 to 256 characters without U+0000. Values are bytes, which may be none at all; see [`AsValue`].
///
/// Timestamps are seconds since the Unix epoch, and must be finite. Calls without one count as made now; those whose
/// names end in `_at` take one, and it counts as given, also when it is older than one given before. An item's
/// timestamp is the time of its last access: by it items expire, and by it the least recently used one is evicted when
/// a limit is exceeded.
///
/// Everything is called through `&self`, from any number of threads at once. Any number of caches in any number of
/// processes, in any language, may use one file. Dropping the cache closes it.
///
/// # Errors
/// All calls give [`Error::Closed`] after [`close`](Cache::close), [`Error::InvalidArgument`] for a bad key, value or
/// timestamp, and what the file system gives them cause for: [`Busy`](Error::Busy), [`Io`](Error::Io),
/// [`Full`](Error::Full), [`Corrupt`](Error::Corrupt), [`NoMemory`](Error::NoMemory). After an error nothing has
/// changed, in neither tier.
///
/// ```
/// use diskbackedcache::Cache;
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("users.db");
/// let cache = Cache::open(&path, "1.0.0")?;
/// cache.put("user:1", "Ada")?;
/// assert_eq!(cache.get("user:1")?.unwrap().to_str(), Ok("Ada"));
/// drop(cache);
///
/// let cache = Cache::open(&path, "1.0.0")?;
/// assert_eq!(cache.get("user:1")?.unwrap().to_str(), Ok("Ada"));
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
pub struct Cache {
    raw: NonNull<sys::dbc_cache>,
    path: PathBuf,
    /// The log level that the library was told last, and who may tell.
    told_level: AtomicI32,
    telling: Mutex<()>,
}

// SAFETY: dbc.h: "every function taking a dbc_cache may be called from any number of threads at once, dbc_close
// included". Nothing in it belongs to a thread; messages of errors do, and are fetched by the call that failed.
unsafe impl Send for Cache {}
// SAFETY: as above. dbc_free, the one exception, is called in drop(), when nobody else can be in a call.
unsafe impl Sync for Cache {}

/// NULL means now.
fn time(timestamp: &Option<f64>) -> *const f64 {
    timestamp.as_ref().map_or(ptr::null(), ptr::from_ref)
}

fn characters(key: &str) -> *const c_char {
    key.as_ptr().cast()
}

fn flags<V: AsValue>() -> c_uint {
    if V::IS_TEXT { sys::DBC_TEXT } else { 0 }
}

impl Cache {
    /// Opens a cache with default options; see [`Builder::open`].
    ///
    /// # Errors
    /// As [`Builder::open`].
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>, schema_version: &str) -> Result<Cache> {
        Builder::new().open(path, schema_version)
    }

    /// For opening one with options.
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::builder().max_memory_items(100).open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// # Safety
    /// `raw` is an open handle that nobody else will free. `level` is the one it was opened with.
    pub(crate) unsafe fn from_raw(raw: NonNull<sys::dbc_cache>, path: PathBuf, level: c_int) -> Cache {
        Cache { raw, path, told_level: AtomicI32::new(level), telling: Mutex::new(()) }
    }

    /// The handle, for a call. On the way the library hears of a changed log level.
    fn handle(&self) -> *mut sys::dbc_cache {
        if self.told_level.load(Ordering::Relaxed) != logging::current_level() {
            self.tell_level();
        }
        self.raw.as_ptr()
    }

    #[cold]
    fn tell_level(&self) {
        // One at a time, so that what is told last is what was asked for last. Whoever finds another one here, perhaps
        // itself (the call below may log), leaves it to the next call.
        let Ok(_telling) = self.telling.try_lock() else { return };
        let level = logging::current_level();
        // SAFETY: the handle is alive.
        if unsafe { sys::dbc_set_log_level(self.raw.as_ptr(), level) } == sys::DBC_OK {
            self.told_level.store(level, Ordering::Relaxed);
        }
    }

    // ------------------------------------------------------------------------------------------ single items -------

    /// Stores an item in both tiers, then evicts until all limits hold, which may hit the item itself. Returns the
    /// item's version, see [`Value::version`].
    ///
    /// A value larger than `max_disk_size_bytes` is an [`Error::InvalidArgument`]; what was stored before stays.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("text", "Ada")?;
    /// cache.put("bytes", [1, 2, 3])?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn put(&self, key: &str, value: impl AsValue) -> Result<u64> {
        self.put_timed(key, &value, None)
    }

    /// [`put`](Cache::put), at a time.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put_at("key", "value", 1000.0)?;
    /// assert!(cache.put_at("key", "value", f64::NAN).is_err());
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn put_at(&self, key: &str, value: impl AsValue, timestamp: f64) -> Result<u64> {
        self.put_timed(key, &value, Some(timestamp))
    }

    pub(crate) fn put_timed<V: AsValue>(&self, key: &str, value: &V, timestamp: Option<f64>) -> Result<u64> {
        let bytes = value.value_bytes();
        let mut version = 0;
        // SAFETY: the handle is alive; all pointers are to what lives during the call, with its size.
        check(unsafe {
            sys::dbc_put(
                self.handle(),
                characters(key),
                key.len(),
                bytes.as_ptr().cast(),
                bytes.len(),
                flags::<V>(),
                time(&timestamp),
                &raw mut version,
            )
        })?;
        Ok(version)
    }

    /// Looks a key up. A hit sets the item's timestamp; one on disk also brings the item into memory. Expired and
    /// unusable items are removed on the way.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("key", "value")?;
    /// assert_eq!(&*cache.get("key")?.unwrap(), b"value");
    /// assert!(cache.get("absent")?.is_none());
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn get(&self, key: &str) -> Result<Option<Value>> {
        self.get_timed(key, None)
    }

    /// [`get`](Cache::get), at a time.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put_at("key", "value", 1000.0)?;
    /// assert!(cache.get_at("key", 1001.0)?.is_some());
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn get_at(&self, key: &str, timestamp: f64) -> Result<Option<Value>> {
        self.get_timed(key, Some(timestamp))
    }

    fn get_timed(&self, key: &str, timestamp: Option<f64>) -> Result<Option<Value>> {
        Ok(match self.get_changed_timed(key, 0, timestamp)? {
            Answer::Changed(value) => Some(value),
            Answer::Missing | Answer::Unchanged => None,
        })
    }

    /// The conditional get: as [`get`](Cache::get), but when the item's version is `held_version` the answer is
    /// [`Answer::Unchanged`]. 0 is no item's version.
    ///
    /// For programs that keep what they have decoded: they ask with the version that they decoded it from, and a hit
    /// then costs neither a copy nor a decoding. [`TypedCache`](crate::TypedCache) does that.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// use diskbackedcache::Answer;
    ///
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// let version = cache.put("key", "value")?;
    /// assert!(matches!(cache.get_changed("key", version)?, Answer::Unchanged));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn get_changed(&self, key: &str, held_version: u64) -> Result<Answer> {
        self.get_changed_timed(key, held_version, None)
    }

    /// [`get_changed`](Cache::get_changed), at a time.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// use diskbackedcache::Answer;
    ///
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// let version = cache.put_at("key", "value", 1000.0)?;
    /// assert!(matches!(cache.get_changed_at("key", version, 1001.0)?, Answer::Unchanged));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn get_changed_at(&self, key: &str, held_version: u64, timestamp: f64) -> Result<Answer> {
        self.get_changed_timed(key, held_version, Some(timestamp))
    }

    pub(crate) fn get_changed_timed(&self, key: &str, held_version: u64, timestamp: Option<f64>) -> Result<Answer> {
        let mut value = ptr::null_mut();
        // SAFETY: the handle is alive; all pointers are to what lives during the call, with its size.
        let status = unsafe {
            sys::dbc_get_changed(
                self.handle(),
                characters(key),
                key.len(),
                held_version,
                time(&timestamp),
                &raw mut value,
            )
        };
        match status {
            sys::DBC_UNCHANGED => Ok(Answer::Unchanged),
            sys::DBC_NOT_FOUND => Ok(Answer::Missing),
            status => {
                check(status)?;
                let value = NonNull::new(value).expect("dbc_get_changed gives a value when it says DBC_OK");
                // SAFETY: handed out by the call above, to be released here.
                Ok(Answer::Changed(unsafe { Value::from_raw(value) }))
            }
        }
    }

    /// As [`get`](Cache::get), copied into a buffer: its front holds the value then, as long as [`Copied`] says.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], which says how much is needed; see [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("key", "value")?;
    /// let mut buffer = [0; 16];
    /// let copied = cache.get_into("key", &mut buffer)?.unwrap();
    /// assert_eq!(&buffer[..copied.size], b"value");
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn get_into(&self, key: &str, buffer: &mut [u8]) -> Result<Option<Copied>> {
        self.get_into_timed(key, buffer, None)
    }

    /// [`get_into`](Cache::get_into), at a time.
    ///
    /// # Errors
    /// As [`get_into`](Cache::get_into).
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put_at("key", "value", 1000.0)?;
    /// match cache.get_into_at("key", &mut [0; 2], 1001.0) {
    ///     Err(diskbackedcache::Error::BufferTooSmall { needed, .. }) => assert_eq!(needed, 5),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn get_into_at(&self, key: &str, buffer: &mut [u8], timestamp: f64) -> Result<Option<Copied>> {
        self.get_into_timed(key, buffer, Some(timestamp))
    }

    fn get_into_timed(&self, key: &str, buffer: &mut [u8], timestamp: Option<f64>) -> Result<Option<Copied>> {
        let mut copied = Copied { size: 0, version: 0 };
        // SAFETY: the handle is alive; all pointers are to what lives during the call, with its size.
        let status = unsafe {
            sys::dbc_get_into(
                self.handle(),
                characters(key),
                key.len(),
                time(&timestamp),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &raw mut copied.size,
                &raw mut copied.version,
            )
        };
        match check_found(status) {
            Err(Error::Other { code: sys::DBC_BUFFER_TOO_SMALL, message }) => {
                Err(Error::BufferTooSmall { needed: copied.size, message })
            }
            found => Ok(found?.then_some(copied)),
        }
    }

    /// Removes an item from both tiers. Returns whether there was one.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("key", "value")?;
    /// assert!(cache.delete("key")?);
    /// assert!(!cache.delete("key")?);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn delete(&self, key: &str) -> Result<bool> {
        // SAFETY: the handle is alive; the key lives during the call.
        check_found(unsafe { sys::dbc_delete(self.handle(), characters(key), key.len()) })
    }

    /// For a value that was just read and cannot be decoded: removes the item if it still has that version, and counts
    /// the get as a miss and a discard instead of a hit. `was_memory_hit` says which kind of hit it was counted as;
    /// with [`memory_values`](Builder::memory_values) off, that is never a memory hit.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("number", "not a number")?;
    /// let value = cache.get("number")?.unwrap();
    /// if value.to_str().unwrap().parse::<i32>().is_err() {
    ///     cache.discard("number", value.version(), true)?;
    /// }
    /// assert!(!cache.exists("number")?);
    /// assert_eq!((cache.stats()?.misses, cache.stats()?.discarded), (1, 1));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn discard(&self, key: &str, version: u64, was_memory_hit: bool) -> Result<()> {
        // SAFETY: the handle is alive; the key lives during the call.
        check(unsafe {
            sys::dbc_discard(self.handle(), characters(key), key.len(), version, c_int::from(was_memory_hit))
        })
    }

    /// Would a get find the key? Counts as nothing and changes nothing.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("key", "value")?;
    /// assert!(cache.exists("key")?);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn exists(&self, key: &str) -> Result<bool> {
        self.exists_timed(key, None)
    }

    /// [`exists`](Cache::exists), at a time.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::builder().disk_ttl_seconds(10.0).open(":memory:", "1.0.0")?;
    /// cache.put_at("key", "value", 1000.0)?;
    /// assert!(cache.exists_at("key", 1010.0)?);
    /// assert!(!cache.exists_at("key", 1011.0)?);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn exists_at(&self, key: &str, timestamp: f64) -> Result<bool> {
        self.exists_timed(key, Some(timestamp))
    }

    fn exists_timed(&self, key: &str, timestamp: Option<f64>) -> Result<bool> {
        // SAFETY: the handle is alive; all pointers are to what lives during the call.
        check_found(unsafe { sys::dbc_exists(self.handle(), characters(key), key.len(), time(&timestamp)) })
    }

    /// Which tier would answer a get? Counts as nothing and changes nothing.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("key", "value")?;
    /// assert_eq!(cache.tier("key")?, Some(diskbackedcache::Tier::Memory));
    /// assert_eq!(cache.tier("absent")?, None);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn tier(&self, key: &str) -> Result<Option<Tier>> {
        self.tier_timed(key, None)
    }

    /// [`tier`](Cache::tier), at a time.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::builder().memory_ttl_seconds(10.0).open(":memory:", "1.0.0")?;
    /// cache.put_at("key", "value", 1000.0)?;
    /// assert_eq!(cache.tier_at("key", 1011.0)?, Some(diskbackedcache::Tier::Disk));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn tier_at(&self, key: &str, timestamp: f64) -> Result<Option<Tier>> {
        self.tier_timed(key, Some(timestamp))
    }

    fn tier_timed(&self, key: &str, timestamp: Option<f64>) -> Result<Option<Tier>> {
        let mut tier = 0;
        // SAFETY: the handle is alive; all pointers are to what lives during the call.
        check(unsafe {
            sys::dbc_get_tier(self.handle(), characters(key), key.len(), time(&timestamp), &raw mut tier)
        })?;
        Ok(Tier::from_number(tier))
    }

    // ----------------------------------------------------------------------------------------------- batches -------

    /// Stores all items or, after any error, none. They share one timestamp, and eviction runs once, after all are in.
    /// Of a key that comes twice the later value stays. Returns the versions, in order.
    ///
    /// # Errors
    /// See [`Cache`]; the message names the index of the offending item.
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put_many([("a", "1"), ("b", "2")])?;
    /// assert!(cache.put_many([("c", "3"), ("", "4")]).is_err());
    /// assert_eq!(cache.count()?, 2);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn put_many<K: AsRef<str>, V: AsValue>(&self, items: impl IntoIterator<Item = (K, V)>) -> Result<Vec<u64>> {
        self.put_many_timed(items, None)
    }

    /// [`put_many`](Cache::put_many), at a time.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put_many_at([("a", "1"), ("b", "2")], 1000.0)?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn put_many_at<K: AsRef<str>, V: AsValue>(
        &self,
        items: impl IntoIterator<Item = (K, V)>,
        timestamp: f64,
    ) -> Result<Vec<u64>> {
        self.put_many_timed(items, Some(timestamp))
    }

    fn put_many_timed<K: AsRef<str>, V: AsValue>(
        &self,
        items: impl IntoIterator<Item = (K, V)>,
        timestamp: Option<f64>,
    ) -> Result<Vec<u64>> {
        let mut keys = Packed::default();
        let mut values = Packed::default();
        for (key, value) in items {
            keys.push(key.as_ref().as_bytes());
            values.push(value.value_bytes());
        }
        self.put_packed(&keys, &values, flags::<V>(), timestamp)
    }

    pub(crate) fn put_packed(
        &self,
        keys: &Packed,
        values: &Packed,
        flags: c_uint,
        timestamp: Option<f64>,
    ) -> Result<Vec<u64>> {
        let mut versions = vec![0; keys.count()];
        // SAFETY: the handle is alive; the blocks are as long as their sizes say, of which there are as many as keys,
        // and there is room for as many versions.
        check(unsafe {
            sys::dbc_put_many(
                self.handle(),
                keys.count(),
                keys.block.as_ptr().cast(),
                keys.sizes.as_ptr(),
                values.block.as_ptr().cast(),
                values.sizes.as_ptr(),
                flags,
                time(&timestamp),
                versions.as_mut_ptr(),
            )
        })?;
        Ok(versions)
    }

    /// Looks many keys up. Sets no timestamps and brings nothing into memory, so that a scan cannot flush the cache;
    /// what is on disk is read as of one moment. Every key counts as one get.
    ///
    /// # Errors
    /// See [`Cache`]; the message names the index of the offending key.
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put_many([("a", "1"), ("b", "2")])?;
    /// for (key, entry) in ["a", "x", "b"].iter().zip(cache.get_many(["a", "x", "b"])?.iter()) {
    ///     println!("{key}: {entry:?}");
    /// }
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn get_many<K: AsRef<str>>(&self, keys: impl IntoIterator<Item = K>) -> Result<Entries> {
        self.get_packed(&keys.into_iter().collect(), None, None)
    }

    /// [`get_many`](Cache::get_many), at a time.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put_at("a", "1", 1000.0)?;
    /// assert!(cache.get_many_at(["a"], 1001.0)?.get(0).is_some());
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn get_many_at<K: AsRef<str>>(&self, keys: impl IntoIterator<Item = K>, timestamp: f64) -> Result<Entries> {
        self.get_packed(&keys.into_iter().collect(), None, Some(timestamp))
    }

    /// The conditional get of many: pairs of a key and the version held of it, 0 for none. See
    /// [`get_changed`](Cache::get_changed) and [`Entries::is_unchanged`].
    ///
    /// # Errors
    /// See [`Cache::get_many`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// let versions = cache.put_many([("a", "1"), ("b", "2")])?;
    /// let entries = cache.get_many_changed([("a", versions[0]), ("b", 0)])?;
    /// assert!(entries.is_unchanged(0));
    /// assert_eq!(entries.get(1).unwrap().bytes(), b"2");
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn get_many_changed<K: AsRef<str>>(&self, held: impl IntoIterator<Item = (K, u64)>) -> Result<Entries> {
        let (keys, versions): (Packed, Vec<u64>) = held.into_iter().unzip();
        self.get_packed(&keys, Some(&versions), None)
    }

    /// [`get_many_changed`](Cache::get_many_changed), at a time.
    ///
    /// # Errors
    /// See [`Cache::get_many`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// let version = cache.put_at("a", "1", 1000.0)?;
    /// assert!(cache.get_many_changed_at([("a", version)], 1001.0)?.is_unchanged(0));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn get_many_changed_at<K: AsRef<str>>(
        &self,
        held: impl IntoIterator<Item = (K, u64)>,
        timestamp: f64,
    ) -> Result<Entries> {
        let (keys, versions): (Packed, Vec<u64>) = held.into_iter().unzip();
        self.get_packed(&keys, Some(&versions), Some(timestamp))
    }

    /// With versions held, if there are any: as many as keys.
    pub(crate) fn get_packed(
        &self,
        keys: &Packed,
        held_versions: Option<&[u64]>,
        timestamp: Option<f64>,
    ) -> Result<Entries> {
        debug_assert!(held_versions.is_none_or(|versions| versions.len() == keys.count()));
        let mut result = ptr::null_mut();
        // SAFETY: the handle is alive; the block is as long as its sizes say, of which there are as many as keys, as
        // there are of versions.
        check(unsafe {
            sys::dbc_get_many(
                self.handle(),
                keys.count(),
                keys.block.as_ptr().cast(),
                keys.sizes.as_ptr(),
                held_versions.map_or(ptr::null(), <[u64]>::as_ptr),
                time(&timestamp),
                &raw mut result,
            )
        })?;
        let result = NonNull::new(result).expect("dbc_get_many gives a result when it says DBC_OK");
        // SAFETY: handed out by the call above, to be freed here.
        Ok(unsafe { Entries::from_raw(result) })
    }

    /// Removes all of these items or, after an error, none. Returns how many there were.
    ///
    /// # Errors
    /// See [`Cache`]; the message names the index of the offending key.
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("a", "1")?;
    /// assert_eq!(cache.delete_many(["a", "b"])?, 1);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn delete_many<K: AsRef<str>>(&self, keys: impl IntoIterator<Item = K>) -> Result<u64> {
        let keys: Packed = keys.into_iter().collect();
        let mut removed = 0;
        // SAFETY: the handle is alive; the block is as long as its sizes say, of which there are as many as keys.
        check(unsafe {
            sys::dbc_delete_many(
                self.handle(),
                keys.count(),
                keys.block.as_ptr().cast(),
                keys.sizes.as_ptr(),
                &raw mut removed,
            )
        })?;
        Ok(removed)
    }

    // ------------------------------------------------------------------------------------------- whole cache -------

    /// Removes every item from both tiers. Counters of operations stay.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("key", "value")?;
    /// cache.clear()?;
    /// assert_eq!(cache.count()?, 0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn clear(&self) -> Result<()> {
        // SAFETY: the handle is alive.
        check(unsafe { sys::dbc_clear(self.handle()) })
    }

    /// Empties the memory tier; the disk keeps everything.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("key", "value")?;
    /// cache.clear_memory()?;
    /// assert_eq!(cache.tier("key")?, Some(diskbackedcache::Tier::Disk));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn clear_memory(&self) -> Result<()> {
        // SAFETY: the handle is alive.
        check(unsafe { sys::dbc_clear_memory(self.handle()) })
    }

    /// Writes pending access times to the file, so that other programs see them, and all that was put with
    /// [`WriteMode::Behind`](crate::WriteMode::Behind); also what could not be written in the background before.
    ///
    /// # Errors
    /// See [`Cache`]; what was not written is pending still.
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.flush()?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn flush(&self) -> Result<()> {
        // SAFETY: the handle is alive.
        check(unsafe { sys::dbc_flush(self.handle()) })
    }

    /// Removes all items that are past the disk TTL, and returns how many there were. Those past the memory TTL leave
    /// memory.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put_at("key", "value", 1000.0)?;
    /// assert_eq!(cache.purge_expired()?, 1);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn purge_expired(&self) -> Result<u64> {
        self.purge_expired_timed(None)
    }

    /// [`purge_expired`](Cache::purge_expired), at a time.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put_at("key", "value", 1000.0)?;
    /// assert_eq!(cache.purge_expired_at(1000.0)?, 0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn purge_expired_at(&self, timestamp: f64) -> Result<u64> {
        self.purge_expired_timed(Some(timestamp))
    }

    pub(crate) fn purge_expired_timed(&self, timestamp: Option<f64>) -> Result<u64> {
        let mut removed = 0;
        // SAFETY: the handle is alive; all pointers are to what lives during the call.
        check(unsafe { sys::dbc_purge_expired(self.handle(), time(&timestamp), &raw mut removed) })?;
        Ok(removed)
    }

    /// How many items there are on disk, where every item is. Not a scan.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("key", "value")?;
    /// assert_eq!(cache.count()?, 1);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn count(&self) -> Result<u64> {
        let mut items = 0;
        // SAFETY: the handle is alive.
        check(unsafe { sys::dbc_count(self.handle(), &raw mut items) })?;
        Ok(items)
    }

    /// The sum of the sizes of all items, in bytes. Not a scan.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("key", "value")?;
    /// assert_eq!(cache.total_size()?, 5);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn total_size(&self) -> Result<u64> {
        let mut bytes = 0;
        // SAFETY: the handle is alive.
        check(unsafe { sys::dbc_total_size(self.handle(), &raw mut bytes) })?;
        Ok(bytes)
    }

    /// The counters of this cache and what the tiers hold, all of one moment.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.get("absent")?;
    /// assert_eq!(cache.stats()?.misses, 1);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn stats(&self) -> Result<Stats> {
        let mut numbers = [0; stats::COUNT];
        // SAFETY: the handle is alive; the array has room for as many numbers as is said.
        check(unsafe { sys::dbc_stats(self.handle(), numbers.as_mut_ptr(), numbers.len(), ptr::null_mut()) })?;
        Ok(Stats::from_array(&numbers))
    }

    /// Looks at everything in both tiers, and changes nothing: the structure of the file, every item, the order of
    /// eviction, the counts, and that memory would answer with what the disk holds. Damage is a finding here, no error.
    ///
    /// Reads the whole file; reads and writes go on meanwhile, but [`close`](Cache::close) waits for it.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// let checked = cache.check()?;
    /// assert_eq!(checked.problems, 0, "{}", checked.report);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn check(&self) -> Result<Checked> {
        self.check_with(0)
    }

    /// [`check`](Cache::check), and mends what it finds while other writers wait: items that cannot be used are removed,
    /// the order, the counts and the indexes are made anew. What cannot be mended goes the way of
    /// [`on_corrupt`](Builder::on_corrupt). The answer is what was found before.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// assert_eq!(cache.repair()?.problems, 0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn repair(&self) -> Result<Checked> {
        self.check_with(sys::DBC_CHECK_REPAIR)
    }

    fn check_with(&self, flags: c_uint) -> Result<Checked> {
        let mut report = vec![0_u8; 64 * 1024];
        let mut problems = 0;
        // SAFETY: the handle is alive; the report has room for as many bytes as is said.
        check(unsafe {
            sys::dbc_check(self.handle(), flags, report.as_mut_ptr().cast(), report.len(), &raw mut problems)
        })?;
        let size = report.iter().position(|byte| *byte == 0).unwrap_or(report.len());
        Ok(Checked { problems, report: String::from_utf8_lossy(&report[..size]).into_owned() })
    }

    /// With [`memory_values`](Builder::memory_values) off: which versions left memory since this was last asked. For
    /// programs that keep what they have decoded, and have to let it go then.
    ///
    /// Fills the front of `versions`, oldest first, and returns how many those are; ask again while it fills all. The
    /// list is bounded: past 1 048 576 versions it is dropped, and [`Dropped::overflowed`] says once that everything
    /// held must go.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::builder().memory_values(false).open(":memory:", "1.0.0")?;
    /// let version = cache.put("key", "value")?;
    /// cache.delete("key")?;
    /// let mut versions = [0; 100];
    /// let dropped = cache.dropped(&mut versions)?;
    /// assert_eq!(versions[..dropped.count], [version]);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn dropped(&self, versions: &mut [u64]) -> Result<Dropped> {
        let mut count = 0;
        let mut overflowed = 0;
        // SAFETY: the handle is alive; there is room for as many versions as is said.
        check(unsafe {
            sys::dbc_dropped(self.handle(), versions.as_mut_ptr(), versions.len(), &raw mut count, &raw mut overflowed)
        })?;
        Ok(Dropped { count, overflowed: overflowed != 0 })
    }

    /// Writes what is pending and closes the file. Closing again does nothing.
    ///
    /// Waits for calls that other threads are inside of; calls that begin later give [`Error::Closed`]. What was read
    /// stays readable. Dropping the cache closes it too; this is for those who want to know how that went.
    ///
    /// # Errors
    /// If access times could not be written; the cache is closed all the same. [`Error::InvalidArgument`] inside of a
    /// logger that a cache has called: the call that logs would wait for itself.
    ///
    /// ```
    /// use diskbackedcache::{Cache, Error};
    ///
    /// let cache = Cache::open(":memory:", "1.0.0")?;
    /// cache.close()?;
    /// assert!(matches!(cache.get("key"), Err(Error::Closed(_))));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn close(&self) -> Result<()> {
        if logging::inside_logger() {
            let message = "a cache cannot be closed from within a logger that a cache has called";
            return Err(Error::InvalidArgument(message.to_owned()));
        }
        // SAFETY: the handle is alive, and may be closed while it is used.
        check(unsafe { sys::dbc_close(self.handle()) })
    }

    /// The file, as it was given.
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// assert_eq!(cache.path().to_str(), Some(":memory:"));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // SAFETY: nobody else has the handle any more; values and results outlive it.
        unsafe { sys::dbc_free(self.raw.as_ptr()) };
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What [`Cache::dropped`] has found.
///
/// ```
/// let cache = diskbackedcache::Cache::builder().memory_values(false).open(":memory:", "1.0.0")?;
/// let dropped = cache.dropped(&mut [0; 100])?;
/// assert_eq!((dropped.count, dropped.overflowed), (0, false));
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Dropped {
    /// How many versions were stored.
    pub count: usize,
    /// The list had become too long and was dropped: everything held must go.
    pub overflowed: bool,
}

/// What [`Cache::get_into`] has copied.
///
/// ```
/// let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
/// let version = cache.put("key", "value")?;
/// let copied = cache.get_into("key", &mut [0; 16])?.unwrap();
/// assert_eq!((copied.size, copied.version), (5, version));
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// How many bytes of the buffer are the value.
    pub size: usize,
    /// The version of the item; see [`Value::version`].
    pub version: u64,
}

/// What [`Cache::check`] and [`Cache::repair`] have found.
///
/// ```
/// let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
/// assert!(cache.check()?.report.is_empty());
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Checked {
    /// How many problems there are.
    pub problems: u64,
    /// A line for each of the first.
    pub report: String,
}
