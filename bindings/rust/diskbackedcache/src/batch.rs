//! Batches, as the library wants and gives them: packed.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::slice;
use std::str::Utf8Error;

use diskbackedcache_sys as sys;

use crate::value::Tier;

/// Pieces one after the other in one block, with their sizes.
#[derive(Default)]
pub(crate) struct Packed {
    pub(crate) block: Vec<u8>,
    pub(crate) sizes: Vec<usize>,
}

impl Packed {
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.block.extend_from_slice(piece);
        self.sizes.push(piece.len());
    }

    pub(crate) fn count(&self) -> usize {
        self.sizes.len()
    }
}

impl<K: AsRef<str>> Extend<K> for Packed {
    fn extend<I: IntoIterator<Item = K>>(&mut self, keys: I) {
        keys.into_iter().for_each(|key| self.push(key.as_ref().as_bytes()));
    }
}

impl<K: AsRef<str>> FromIterator<K> for Packed {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Packed {
        let mut packed = Packed::default();
        packed.extend(keys);
        packed
    }
}

/// What [`Cache::get_many`](crate::Cache::get_many) found: one row for each key, in the order of the keys.
///
/// It keeps the bytes of all rows alive, also when the cache was closed.
///
/// ```
/// let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
/// cache.put_many([("a", "1"), ("b", "2")])?;
/// let entries = cache.get_many(["b", "absent", "a"])?;
/// let found: Vec<Option<&[u8]>> = entries.iter().map(|entry| entry.map(|entry| entry.bytes())).collect();
/// assert_eq!(found, [Some(&b"2"[..]), None, Some(&b"1"[..])]);
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
///
/// What it lends cannot outlive it:
///
/// ```compile_fail,E0505
/// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0").unwrap();
/// # cache.put_many([("a", "1"), ("b", "2")]).unwrap();
/// let entries = cache.get_many(["b", "absent", "a"]).unwrap();
/// let entry = entries.get(0).unwrap();
/// drop(entries);
/// println!("{:?}", entry.bytes());
/// ```
pub struct Entries {
    raw: NonNull<sys::dbc_result>,
}

// SAFETY: a dbc_result is immutable; dbc.h: "Values and results may be read by many threads". Any thread may free it.
unsafe impl Send for Entries {}
// SAFETY: as above.
unsafe impl Sync for Entries {}

impl Entries {
    /// Takes over the result.
    ///
    /// # Safety
    /// `raw` was handed out by the library to be freed by the caller.
    pub(crate) unsafe fn from_raw(raw: NonNull<sys::dbc_result>) -> Entries {
        Entries { raw }
    }

    /// How many keys were asked for.
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// assert_eq!(cache.get_many(["a", "b"])?.len(), 2);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        // SAFETY: the result is alive.
        unsafe { sys::dbc_result_count(self.raw.as_ptr()) }
    }

    /// Was no key asked for?
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// assert!(cache.get_many::<&str>([])?.is_empty());
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was found of the key at that position; `None` if nothing was, or if fewer keys were asked for.
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("b", "2")?;
    /// let entries = cache.get_many(["a", "b"])?;
    /// assert!(entries.get(0).is_none());
    /// assert_eq!(entries.get(1).unwrap().bytes(), b"2");
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn get(&self, position: usize) -> Option<Entry<'_>> {
        // SAFETY: the pointer of a row that was found is never NULL, and it has that many bytes, which live as long as
        // the result, which the borrow keeps.
        (self.status(position)? == sys::DBC_OK).then(|| unsafe {
            let data = *sys::dbc_result_data(self.raw.as_ptr()).add(position);
            let size = *sys::dbc_result_sizes(self.raw.as_ptr()).add(position);
            Entry { bytes: slice::from_raw_parts(data.cast::<u8>(), size), entries: self, position }
        })
    }

    /// Is the version that [`Cache::get_many_changed`](crate::Cache::get_many_changed) was told to be held of the key at
    /// that position the current one? There are no bytes then.
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// let version = cache.put("a", "1")?;
    /// let entries = cache.get_many_changed([("a", version), ("b", version)])?;
    /// assert!(entries.is_unchanged(0) && entries.get(0).is_none());
    /// assert!(!entries.is_unchanged(1));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn is_unchanged(&self, position: usize) -> bool {
        self.status(position) == Some(sys::DBC_UNCHANGED)
    }

    /// All rows, in the order of the keys.
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("b", "2")?;
    /// assert_eq!(cache.get_many(["a", "b", "c"])?.iter().flatten().count(), 1);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn iter(&self) -> Rows<'_> {
        Rows { entries: self, positions: 0..self.len() }
    }

    /// The status of a row, if there is that row.
    fn status(&self, position: usize) -> Option<sys::dbc_status> {
        // SAFETY: the array has as many elements as there are rows.
        (position < self.len())
            .then(|| unsafe { *sys::dbc_result_statuses(self.raw.as_ptr()).add(position) } as sys::dbc_status)
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        // SAFETY: it is owned, and freed once.
        unsafe { sys::dbc_result_free(self.raw.as_ptr()) };
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for &'a Entries {
    type Item = Option<Entry<'a>>;
    type IntoIter = Rows<'a>;

    fn into_iter(self) -> Rows<'a> {
        self.iter()
    }
}

/// The rows of [`Entries`], in the order of the keys: `None` where nothing was found.
///
/// ```
/// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
/// # cache.put("b", "2")?;
/// for row in &cache.get_many(["a", "b"])? {
///     println!("{row:?}");
/// }
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    entries: &'a Entries,
    positions: Range<usize>,
}

impl<'a> Iterator for Rows<'a> {
    type Item = Option<Entry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.positions.next().map(|position| self.entries.get(position))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.positions.size_hint()
    }
}

impl DoubleEndedIterator for Rows<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.positions.next_back().map(|position| self.entries.get(position))
    }
}

impl ExactSizeIterator for Rows<'_> {}

impl FusedIterator for Rows<'_> {}

/// One row of [`Entries`] that was found. Derefs to its bytes.
///
/// ```
/// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
/// cache.put("a", "1")?;
/// let entries = cache.get_many(["a"])?;
/// assert_eq!(*entries.get(0).unwrap(), b"1"[..]);
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    bytes: &'a [u8],
    entries: &'a Entries,
    position: usize,
}

impl<'a> Entry<'a> {
    /// The value. Lives as long as the [`Entries`] do.
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("a", "1")?;
    /// assert_eq!(cache.get_many(["a"])?.get(0).unwrap().bytes(), b"1");
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes as text, if they are UTF-8.
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("a", "1")?;
    /// assert_eq!(cache.get_many(["a"])?.get(0).unwrap().to_str(), Ok("1"));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn to_str(&self) -> Result<&'a str, Utf8Error> {
        std::str::from_utf8(self.bytes)
    }

    /// The number of this state of the item; see [`Value::version`](crate::Value::version).
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// let version = cache.put("a", "1")?;
    /// assert_eq!(cache.get_many(["a"])?.get(0).unwrap().version(), version);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn version(&self) -> u64 {
        // SAFETY: the row exists, and the result is alive.
        unsafe { *sys::dbc_result_versions(self.entries.raw.as_ptr()).add(self.position) }
    }

    /// The time of the item's last access, in seconds since the Unix epoch. A batch does not set it.
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put_at("a", "1", 1000.0)?;
    /// assert_eq!(cache.get_many_at(["a"], 1001.0)?.get(0).unwrap().timestamp(), 1000.0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn timestamp(&self) -> f64 {
        // SAFETY: the row exists, and the result is alive.
        unsafe { *sys::dbc_result_timestamps(self.entries.raw.as_ptr()).add(self.position) }
    }

    /// The tier that answered.
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("a", "1")?;
    /// assert_eq!(cache.get_many(["a"])?.get(0).unwrap().tier(), diskbackedcache::Tier::Memory);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn tier(&self) -> Tier {
        // SAFETY: the row exists, and the result is alive.
        let tier = unsafe { *sys::dbc_result_tiers(self.entries.raw.as_ptr()).add(self.position) };
        Tier::from_number(tier).unwrap_or(Tier::Disk)
    }
}

impl Deref for Entry<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl AsRef<[u8]> for Entry<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("version", &self.version())
            .field("size", &self.bytes.len())
            .field("tier", &self.tier())
            .finish_non_exhaustive()
    }
}
