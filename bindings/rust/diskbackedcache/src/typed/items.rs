//! Single objects.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::TypedCache;
#[cfg(doc)]
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::value::{Answer, Tier};

impl<T: Serialize + DeserializeOwned> TypedCache<T> {
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
}
