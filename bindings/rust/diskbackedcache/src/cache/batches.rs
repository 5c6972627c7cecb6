//! Many items in one call.

use std::ffi::c_uint;
use std::ptr::{self, NonNull};

use diskbackedcache_sys as sys;

use super::{Cache, flags, time};
use crate::batch::{Entries, Packed};
use crate::error::{Result, check};
use crate::value::AsValue;

impl Cache {
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
}
