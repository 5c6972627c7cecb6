//! Many objects in one call.

use std::sync::Arc;

use diskbackedcache_sys as sys;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::TypedCache;
use crate::batch::Packed;
#[cfg(doc)]
use crate::cache::Cache;
use crate::error::{Error, Result};

impl<T: Serialize + DeserializeOwned> TypedCache<T> {
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
        // Before the objects are locked: `as_ref` is the caller's.
        let hashes: Vec<_> = pairs.iter().map(|(key, _)| objects.hash(key.as_ref())).collect();
        let items = hashes.into_iter().zip(versions).zip(&pairs);
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
}
