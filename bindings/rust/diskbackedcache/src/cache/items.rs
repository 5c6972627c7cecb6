//! Single items.

use std::ffi::c_int;
use std::ptr::{self, NonNull};

use diskbackedcache_sys as sys;

use super::{Cache, characters, flags, time};
#[cfg(doc)]
use crate::builder::Builder;
use crate::error::{Error, Result, check, check_found};
use crate::value::{Answer, AsValue, Tier, Value};

impl Cache {
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
#[non_exhaustive]
pub struct Copied {
    /// How many bytes of the buffer are the value.
    pub size: usize,
    /// The version of the item; see [`Value::version`].
    pub version: u64,
}
