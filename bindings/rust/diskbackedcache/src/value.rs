//! What goes in and comes out: bytes.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::ptr::NonNull;
use std::rc::Rc;
use std::slice;
use std::str::Utf8Error;
use std::sync::Arc;

use diskbackedcache_sys as sys;

/// What can be stored: bytes, or text, which then reads as text in the `sqlite3` shell.
///
/// ```
/// let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
/// cache.put("bytes", [0xff, 0x00])?;
/// cache.put("text", "Grüße")?;
/// assert!(!cache.get("bytes")?.unwrap().is_text());
/// assert!(cache.get("text")?.unwrap().is_text());
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
pub trait AsValue {
    /// Are the bytes UTF-8 text?
    const IS_TEXT: bool;

    /// What is stored.
    ///
    /// ```
    /// use diskbackedcache::AsValue;
    ///
    /// struct Checksum([u8; 4]);
    ///
    /// impl AsValue for Checksum {
    ///     const IS_TEXT: bool = false;
    ///     fn value_bytes(&self) -> &[u8] {
    ///         &self.0
    ///     }
    /// }
    ///
    /// let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("checksum", Checksum([1, 2, 3, 4]))?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    fn value_bytes(&self) -> &[u8];
}

impl AsValue for [u8] {
    const IS_TEXT: bool = false;
    fn value_bytes(&self) -> &[u8] {
        self
    }
}

impl<const N: usize> AsValue for [u8; N] {
    const IS_TEXT: bool = false;
    fn value_bytes(&self) -> &[u8] {
        self
    }
}

impl AsValue for str {
    const IS_TEXT: bool = true;
    fn value_bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

macro_rules! as_value_through {
    ($($pointer:ty),+) => {$(
        impl<T: AsValue + ?Sized> AsValue for $pointer {
            const IS_TEXT: bool = T::IS_TEXT;
            fn value_bytes(&self) -> &[u8] {
                (**self).value_bytes()
            }
        }
    )+};
}
as_value_through!(&T, Box<T>, Rc<T>, Arc<T>);

impl AsValue for Vec<u8> {
    const IS_TEXT: bool = false;
    fn value_bytes(&self) -> &[u8] {
        self
    }
}

impl AsValue for String {
    const IS_TEXT: bool = true;
    fn value_bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl<T: AsValue + ToOwned + ?Sized> AsValue for Cow<'_, T> {
    const IS_TEXT: bool = T::IS_TEXT;
    fn value_bytes(&self) -> &[u8] {
        (**self).value_bytes()
    }
}

/// A value that was read: the cache's own bytes, not a copy.
///
/// It keeps them alive and unchanged for as long as it lives, also when the item was evicted, replaced or deleted, and
/// when the cache was closed. Cloning adds an owner and copies nothing. The bytes are aligned to 8.
/// Values compare and hash as their bytes do, whatever their versions and times.
///
/// ```
/// let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
/// cache.put("user:1", "Ada")?;
/// let value = cache.get("user:1")?.unwrap();
/// cache.clear()?;
/// drop(cache);
/// assert_eq!(&*value, b"Ada");
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
///
/// What it lends cannot outlive it:
///
/// ```compile_fail,E0505
/// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0").unwrap();
/// # cache.put("user:1", "Ada").unwrap();
/// let value = cache.get("user:1").unwrap().unwrap();
/// let bytes: &[u8] = &value;
/// drop(value);
/// println!("{bytes:?}");
/// ```
///
/// And nobody can write to what everybody reads:
///
/// ```compile_fail,E0594
/// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0").unwrap();
/// # cache.put("user:1", "Ada").unwrap();
/// let mut value = cache.get("user:1").unwrap().unwrap();
/// value[0] = b'a';
/// ```
pub struct Value {
    raw: NonNull<sys::dbc_value>,
}

// SAFETY: a dbc_value is reference-counted atomically and immutable but for its timestamp, which is atomic; dbc.h:
// "Values and results may be read by many threads". Any thread may give back its reference.
unsafe impl Send for Value {}
// SAFETY: as above; nothing that takes &Value changes anything but the count of references.
unsafe impl Sync for Value {}

impl Value {
    /// Takes over one reference.
    ///
    /// # Safety
    /// `raw` was handed out by the library to be released by the caller.
    pub(crate) unsafe fn from_raw(raw: NonNull<sys::dbc_value>) -> Value {
        Value { raw }
    }

    /// Was it put as text?
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("user:1", "Ada")?;
    /// assert!(cache.get("user:1")?.unwrap().is_text());
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn is_text(&self) -> bool {
        // SAFETY: the value is alive.
        unsafe { sys::dbc_value_is_text(self.raw.as_ptr()) != 0 }
    }

    /// The bytes as text, if they are UTF-8.
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("user:1", "Ada")?;
    /// assert_eq!(cache.get("user:1")?.unwrap().to_str(), Ok("Ada"));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn to_str(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(self)
    }

    /// The number of this state of the item: unique within the file, never reused, larger for a later put, never 0.
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// let version = cache.put("user:1", "Ada")?;
    /// assert_eq!(cache.get("user:1")?.unwrap().version(), version);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn version(&self) -> u64 {
        // SAFETY: the value is alive.
        unsafe { sys::dbc_value_version(self.raw.as_ptr()) }
    }

    /// The time of the item's last access, in seconds since the Unix epoch. It follows later gets for as long as the
    /// item stays in memory.
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put_at("user:1", "Ada", 1000.0)?;
    /// assert_eq!(cache.get_at("user:1", 1001.5)?.unwrap().timestamp(), 1001.5);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn timestamp(&self) -> f64 {
        // SAFETY: the value is alive.
        unsafe { sys::dbc_value_timestamp(self.raw.as_ptr()) }
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the value is alive; its bytes are never NULL and stay as they are until it is released, which the
        // borrow of self rules out.
        unsafe {
            let data = sys::dbc_value_data(self.raw.as_ptr()).cast::<u8>();
            slice::from_raw_parts(data, sys::dbc_value_size(self.raw.as_ptr()))
        }
    }
}

impl Clone for Value {
    fn clone(&self) -> Value {
        // SAFETY: the value is alive; the reference that this adds is the clone's.
        unsafe { sys::dbc_value_retain(self.raw.as_ptr()) };
        Value { raw: self.raw }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: gives back the reference that this value owns, once.
        unsafe { sys::dbc_value_release(self.raw.as_ptr()) };
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for Value {
    fn borrow(&self) -> &[u8] {
        self
    }
}

// As the bytes that can be borrowed from it, which Borrow asks for.
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        **self == **other
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Value) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Value) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").field("version", &self.version()).field("size", &self.len()).finish_non_exhaustive()
    }
}

/// What a get is answered that names the version the caller holds already; see
/// [`Cache::get_changed`](crate::Cache::get_changed).
///
/// ```
/// use diskbackedcache::{Answer, Cache};
///
/// let cache = Cache::open(":memory:", "1.0.0")?;
/// let version = cache.put("user:1", "Ada")?;
/// assert!(matches!(cache.get_changed("user:1", version)?, Answer::Unchanged));
/// assert!(matches!(cache.get_changed("user:1", 0)?, Answer::Changed(value) if &*value == b"Ada"));
/// assert!(matches!(cache.get_changed("user:2", 0)?, Answer::Missing));
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The key is not there.
    Missing,
    /// The caller holds the current version: a hit that carries no bytes.
    Unchanged,
    /// The item has another version, and this is it.
    Changed(Value),
}

/// The two tiers.
///
/// ```
/// use diskbackedcache::{Cache, Tier};
///
/// let cache = Cache::open(":memory:", "1.0.0")?;
/// cache.put("key", "value")?;
/// assert_eq!(cache.tier("key")?, Some(Tier::Memory));
/// cache.clear_memory()?;
/// assert_eq!(cache.tier("key")?, Some(Tier::Disk));
/// assert_eq!(Tier::Disk.to_string(), "disk");
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// The memory of this process.
    Memory,
    /// The file, where every item is.
    Disk,
}

impl Tier {
    pub(crate) fn from_number(tier: i32) -> Option<Tier> {
        match tier as sys::dbc_tier {
            sys::DBC_TIER_MEMORY => Some(Tier::Memory),
            sys::DBC_TIER_DISK => Some(Tier::Disk),
            _ => None,
        }
    }
}

/// The name that all languages share.
impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Tier::Memory => "memory",
            Tier::Disk => "disk",
        })
    }
}
