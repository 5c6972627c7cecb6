//! The cache of objects: a cache of bytes, and the objects that it knows to be in memory.

// Apart, so that rustfmt leaves them in this order, in which the documentation shows what is in them.
mod open;

mod items;

mod batches;

mod whole;

use std::fmt;
use std::sync::Arc;

use log::Level;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cache::Cache;
use crate::error::Error;
use crate::error::Result;
use crate::logging;
use crate::objects::Objects;

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
    pub(crate) fn new(cache: Cache, with_objects: bool) -> TypedCache<T> {
        TypedCache { cache, objects: with_objects.then(Objects::new) }
    }

    /// The object that some JSON says; or None, and the item is discarded.
    fn decode(&self, key: &str, version: u64, json: &[u8]) -> Result<Option<Arc<T>>> {
        match serde_json::from_slice(json) {
            Ok(object) => Ok(Some(Arc::new(object))),
            Err(error) => {
                logging::tell(Level::Debug, format_args!("get(key={key:?}): value does not decode: {error}"));
                match self.cache.discard(key, version, false) {
                    Ok(()) => {}
                    Err(closed @ Error::Closed(_)) => return Err(closed),
                    // A miss all the same: a reader is not to fail because writers queue.
                    Err(error) => logging::tell(
                        Level::Warn,
                        format_args!("get(key={key:?}): the item, which does not decode, stays: {error}"),
                    ),
                }
                self.let_go();
                Ok(None)
            }
        }
    }
}

// What does without serde asks for no traits, so that a program's own generic types can close a cache when they are dropped.
impl<T> TypedCache<T> {
    fn let_go(&self) {
        if let Some(objects) = &self.objects {
            objects.let_go(&self.cache);
        }
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
