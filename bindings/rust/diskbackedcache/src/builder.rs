//! Options, and opening with them.

use std::ffi::CString;
use std::path::Path;
use std::ptr::{self, NonNull};

use diskbackedcache_sys as sys;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cache::Cache;
use crate::error::{Error, Result, check};
use crate::logging;
use crate::typed::TypedCache;

/// What a power loss costs. A killed process costs nothing that a call had acknowledged, in any case.
///
/// ```
/// use diskbackedcache::{Cache, Durability};
///
/// let cache = Cache::builder().durability(Durability::Full).open(":memory:", "1.0.0")?;
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Perhaps the last writes; the file stays sound.
    #[default]
    Normal,
    /// Nothing; but every put waits for the device.
    Full,
    /// Perhaps the file, which is then found to be damaged and moved aside. The fastest.
    Off,
}

/// What to do with a file that is no database, or damaged.
///
/// ```
/// use diskbackedcache::{Cache, OnCorrupt};
///
/// let cache = Cache::builder().on_corrupt(OnCorrupt::Fail).open(":memory:", "1.0.0")?;
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnCorrupt {
    /// It is moved aside as `<name>.corrupt-<time>`, with a warning, and a fresh cache is started.
    #[default]
    Restart,
    /// [`Error::Corrupt`]; the file is left as it is.
    Fail,
}

/// When a put is acknowledged.
///
/// ```
/// use diskbackedcache::{Cache, WriteMode};
///
/// let cache = Cache::builder().write_mode(WriteMode::Behind).open(":memory:", "1.0.0")?;
/// cache.put("key", "value")?;
/// assert!(cache.exists("key")?);
/// cache.flush()?;
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WriteMode {
    /// When it is committed to the file.
    #[default]
    Through,
    /// When it is in a bounded buffer in memory, which a thread of the library commits, many puts at a time. This cache
    /// sees it at once; others, and the limits on disk, when it is committed. A crash or a kill loses at most the buffer;
    /// [`Cache::flush`] and closing wait for it, and `flush` reports errors. A full buffer makes callers wait. Puts that
    /// another cache makes to the same key meanwhile are overwritten at the commit.
    ///
    /// A cache in a `static` is never dropped, and [`std::process::exit`] drops none: what the buffer holds is lost then,
    /// without a word. Call `flush` or [`close`](Cache::close) before the program ends.
    Behind,
}

/// How values are stored from now on. All are read, and a file may hold both kinds. Sizes and limits are those of the values
/// as given.
///
/// ```
/// use diskbackedcache::{Cache, Compression};
///
/// let cache = Cache::builder().compression(Compression::None).open(":memory:", "1.0.0")?;
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// As given.
    #[default]
    None,
    /// With zstd, where that saves an eighth or more. A library that was built without zstd refuses the option.
    Zstd,
}

#[derive(Clone, Copy, Debug)]
enum Setting {
    Whole(u64),
    Real(f64),
}

/// Options of a cache, and the way to open one with them.
///
/// A value out of its range is refused when the cache is opened, with an [`Error::InvalidArgument`] that names the
/// option and its limits.
///
/// ```
/// use diskbackedcache::Cache;
///
/// let cache = Cache::builder()
///     .max_memory_items(1_000)
///     .disk_ttl_seconds(f64::INFINITY)
///     .open(":memory:", "1.0.0")?;
/// let error = Cache::builder().max_disk_items(0).open(":memory:", "1.0.0").unwrap_err();
/// assert_eq!(error.to_string(), "max_disk_items must be from 1 to 9223372036854775807, got 0");
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it opens a cache"]
pub struct Builder {
    settings: Vec<(sys::dbc_option, Setting)>,
}

impl Builder {
    /// All defaults.
    ///
    /// ```
    /// let cache = diskbackedcache::Builder::new().open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn new() -> Builder {
        Builder::default()
    }

    fn set(mut self, option: sys::dbc_option, setting: Setting) -> Builder {
        self.settings.retain(|(present, _)| *present != option);
        self.settings.push((option, setting));
        self
    }

    /// How many items memory holds; 0 switches the memory tier off. Default: 10 000.
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::builder().max_memory_items(0).open(":memory:", "1.0.0")?;
    /// cache.put("key", "value")?;
    /// assert_eq!(cache.tier("key")?, Some(diskbackedcache::Tier::Disk));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn max_memory_items(self, items: u64) -> Builder {
        self.set(sys::DBC_MAX_MEMORY_ITEMS, Setting::Whole(items))
    }

    /// The sum of the sizes of the items in memory. Default: 64 MiB.
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::builder().max_memory_size_bytes(16 << 20).open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn max_memory_size_bytes(self, bytes: u64) -> Builder {
        self.set(sys::DBC_MAX_MEMORY_SIZE_BYTES, Setting::Whole(bytes))
    }

    /// How many items the file holds, at least 1. Default: 1 000 000.
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::builder().max_disk_items(1).open(":memory:", "1.0.0")?;
    /// cache.put_at("older", "value", 1.0)?;
    /// cache.put_at("newer", "value", 2.0)?;
    /// assert_eq!(cache.count()?, 1);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn max_disk_items(self, items: u64) -> Builder {
        self.set(sys::DBC_MAX_DISK_ITEMS, Setting::Whole(items))
    }

    /// The sum of the sizes of the items in the file, at least 1. A larger value is refused. Default: 1 GiB.
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::builder().max_disk_size_bytes(4).open(":memory:", "1.0.0")?;
    /// assert!(cache.put("key", "value").is_err());
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn max_disk_size_bytes(self, bytes: u64) -> Builder {
        self.set(sys::DBC_MAX_DISK_SIZE_BYTES, Setting::Whole(bytes))
    }

    /// An item that nobody asked for this long is read from disk again; infinity: never. Default: 300.
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::builder().memory_ttl_seconds(60.0).open(":memory:", "1.0.0")?;
    /// cache.put_at("key", "value", 1000.0)?;
    /// assert_eq!(cache.tier_at("key", 1061.0)?, Some(diskbackedcache::Tier::Disk));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn memory_ttl_seconds(self, seconds: f64) -> Builder {
        self.set(sys::DBC_MEMORY_TTL_SECONDS, Setting::Real(seconds))
    }

    /// An item that nobody asked for this long is gone; infinity: never. Default: 604 800, which are seven days.
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::builder().disk_ttl_seconds(3600.0).open(":memory:", "1.0.0")?;
    /// cache.put_at("key", "value", 1000.0)?;
    /// assert!(cache.get_at("key", 4601.0)?.is_none());
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn disk_ttl_seconds(self, seconds: f64) -> Builder {
        self.set(sys::DBC_DISK_TTL_SECONDS, Setting::Real(seconds))
    }

    /// Larger items live on disk only. Default: 1 MiB.
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::builder().max_item_size_bytes(4).open(":memory:", "1.0.0")?;
    /// cache.put("key", "value")?;
    /// assert_eq!(cache.tier("key")?, Some(diskbackedcache::Tier::Disk));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn max_item_size_bytes(self, bytes: u64) -> Builder {
        self.set(sys::DBC_MAX_ITEM_SIZE_BYTES, Setting::Whole(bytes))
    }

    /// `false`: memory keeps no bytes, only who is resident, since the program keeps what it made of them; see
    /// [`Cache::get_changed`] and [`Cache::dropped`]. Default: `true`. A [`TypedCache`] decides this itself.
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::builder().memory_values(false).open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn memory_values(self, keep: bool) -> Builder {
        self.set(sys::DBC_MEMORY_VALUES, Setting::Whole(keep.into()))
    }

    /// What a power loss costs.
    ///
    /// ```
    /// use diskbackedcache::{Cache, Durability};
    ///
    /// let cache = Cache::builder().durability(Durability::Off).open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn durability(self, durability: Durability) -> Builder {
        let number = match durability {
            Durability::Normal => sys::DBC_DURABILITY_NORMAL,
            Durability::Full => sys::DBC_DURABILITY_FULL,
            Durability::Off => sys::DBC_DURABILITY_OFF,
        };
        self.set(sys::DBC_DURABILITY, Setting::Whole(number.into()))
    }

    /// How long a write waits for other writers before it gives [`Error::Busy`]: from 0 to 86 400. Default: 5.
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::builder().busy_timeout_seconds(0.5).open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn busy_timeout_seconds(self, seconds: f64) -> Builder {
        self.set(sys::DBC_BUSY_TIMEOUT_SECONDS, Setting::Real(seconds))
    }

    /// What to do with a damaged file.
    ///
    /// ```
    /// use diskbackedcache::{Cache, Error, OnCorrupt};
    ///
    /// let folder = tempfile::tempdir().unwrap();
    /// let path = folder.path().join("notes.txt");
    /// std::fs::write(&path, "no database").unwrap();
    /// let error = Cache::builder().on_corrupt(OnCorrupt::Fail).open(&path, "1.0.0").unwrap_err();
    /// assert!(matches!(error, Error::Corrupt(_)));
    /// ```
    pub fn on_corrupt(self, on_corrupt: OnCorrupt) -> Builder {
        let number = match on_corrupt {
            OnCorrupt::Restart => sys::DBC_ON_CORRUPT_RESTART,
            OnCorrupt::Fail => sys::DBC_ON_CORRUPT_FAIL,
        };
        self.set(sys::DBC_ON_CORRUPT, Setting::Whole(number.into()))
    }

    /// How long the file may lag behind in access times: above 0, at most 3600. Default: 1.
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::builder().touch_delay_seconds(10.0).open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn touch_delay_seconds(self, seconds: f64) -> Builder {
        self.set(sys::DBC_TOUCH_DELAY_SECONDS, Setting::Real(seconds))
    }

    /// The permission bits of files that are created. Default: `0o600`.
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::builder().file_mode(0o640).open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn file_mode(self, mode: u32) -> Builder {
        self.set(sys::DBC_FILE_MODE, Setting::Whole(mode.into()))
    }

    /// When a put is acknowledged.
    ///
    /// ```
    /// use diskbackedcache::{Cache, WriteMode};
    ///
    /// let cache = Cache::builder().write_mode(WriteMode::Behind).open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn write_mode(self, mode: WriteMode) -> Builder {
        let number = match mode {
            WriteMode::Through => sys::DBC_WRITE_THROUGH,
            WriteMode::Behind => sys::DBC_WRITE_BEHIND,
        };
        self.set(sys::DBC_WRITE_MODE, Setting::Whole(number.into()))
    }

    /// With [`WriteMode::Behind`]: how many puts may wait to be committed, from 1 to 1 000 000. Default: 1000.
    ///
    /// ```
    /// use diskbackedcache::{Cache, WriteMode};
    ///
    /// let builder = Cache::builder().write_mode(WriteMode::Behind).write_behind_items(10_000);
    /// let cache = builder.open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn write_behind_items(self, items: u64) -> Builder {
        self.set(sys::DBC_WRITE_BEHIND_ITEMS, Setting::Whole(items))
    }

    /// With [`WriteMode::Behind`]: the sum of the sizes of what may wait, at least 1. Default: 8 MiB.
    ///
    /// ```
    /// use diskbackedcache::{Cache, WriteMode};
    ///
    /// let builder = Cache::builder().write_mode(WriteMode::Behind).write_behind_size_bytes(64 << 20);
    /// let cache = builder.open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn write_behind_size_bytes(self, bytes: u64) -> Builder {
        self.set(sys::DBC_WRITE_BEHIND_SIZE_BYTES, Setting::Whole(bytes))
    }

    /// With [`WriteMode::Behind`]: how long a put may wait, above 0, at most 3600. Default: 0.1.
    ///
    /// ```
    /// use diskbackedcache::{Cache, WriteMode};
    ///
    /// let builder = Cache::builder().write_mode(WriteMode::Behind).write_behind_delay_seconds(1.0);
    /// let cache = builder.open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn write_behind_delay_seconds(self, seconds: f64) -> Builder {
        self.set(sys::DBC_WRITE_BEHIND_DELAY_SECONDS, Setting::Real(seconds))
    }

    /// How values are stored in the file.
    ///
    /// ```
    /// use diskbackedcache::{Cache, Compression};
    ///
    /// let cache = Cache::builder().compression(Compression::None).open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn compression(self, compression: Compression) -> Builder {
        let number = match compression {
            Compression::None => sys::DBC_COMPRESSION_NONE,
            Compression::Zstd => sys::DBC_COMPRESSION_ZSTD,
        };
        self.set(sys::DBC_COMPRESSION, Setting::Whole(number.into()))
    }

    /// Opens a cache of bytes in the SQLite file at `path`, creating it and missing parent directories. `":memory:"`
    /// keeps the disk tier in RAM, for this cache alone.
    ///
    /// Beside the file live three more, `-wal`, `-shm` and `-dbc`, which are never to be deleted while the cache is in
    /// use. `schema_version` (1 to 64 bytes) says which shape of value the bytes encode: items that were stored under
    /// another one are removed on open and never returned. Limits are enforced on what the file holds.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) for the path (it must be UTF-8), the schema version or an option;
    /// [`Io`](Error::Io), [`Full`](Error::Full), [`Busy`](Error::Busy), [`Corrupt`](Error::Corrupt),
    /// [`Version`](Error::Version), [`Foreign`](Error::Foreign), [`NoMemory`](Error::NoMemory).
    ///
    /// ```
    /// let folder = tempfile::tempdir().unwrap();
    /// let path = folder.path().join("new/folder/users.db");
    /// let cache = diskbackedcache::Builder::new().open(&path, "1.0.0")?;
    /// assert!(path.exists());
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn open(&self, path: impl AsRef<Path>, schema_version: &str) -> Result<Cache> {
        let path = path.as_ref();
        let text =
            path.to_str().ok_or_else(|| Error::InvalidArgument(format!("db_path is not valid UTF-8: {path:?}")))?;
        let c_path = terminated("db_path", text)?;
        let c_schema_version = terminated("schema_version", schema_version)?;
        // SAFETY: has no preconditions.
        let abi = unsafe { sys::dbc_abi_version() }.unsigned_abs();
        if abi != sys::DBC_ABI_VERSION {
            let known = sys::DBC_ABI_VERSION;
            return Err(Error::Version(format!(
                "the libdbc that was found has ABI {abi}, this crate is made for {known}"
            )));
        }
        let options = Options::new()?;
        let level = logging::current_level();
        options.apply(sys::DBC_LOG_LEVEL, Setting::Whole(level.unsigned_abs().into()))?;
        for (option, setting) in &self.settings {
            options.apply(*option, *setting)?;
        }
        let mut opened = ptr::null_mut();
        // SAFETY: two terminated strings and options that live during the call; the handle that comes out is owned
        // here.
        let raw = unsafe {
            check(sys::dbc_options_set_log(options.0.as_ptr(), Some(logging::deliver), ptr::null_mut(), None))?;
            check(sys::dbc_open(c_path.as_ptr(), c_schema_version.as_ptr(), options.0.as_ptr(), &raw mut opened))?;
            NonNull::new(opened).expect("dbc_open gives a handle when it says DBC_OK")
        };
        // SAFETY: just opened, and given away to nobody else.
        Ok(unsafe { Cache::from_raw(raw, path.to_owned(), level) })
    }

    /// Opens a cache of objects; see [`TypedCache`] and [`Builder::open`].
    ///
    /// # Errors
    /// As [`Builder::open`].
    ///
    /// ```
    /// use diskbackedcache::{Builder, TypedCache};
    ///
    /// let scores: TypedCache<Vec<u32>> = Builder::new().max_memory_items(100).open_typed(":memory:", "1.0.0")?;
    /// scores.put("ada", vec![7, 9])?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn open_typed<T: Serialize + DeserializeOwned>(
        &self,
        path: impl AsRef<Path>,
        schema_version: &str,
    ) -> Result<TypedCache<T>> {
        // Memory holds objects here, not bytes there; without a memory tier there is nothing to keep track of.
        let without_memory =
            self.settings.iter().any(|setting| matches!(setting, (sys::DBC_MAX_MEMORY_ITEMS, Setting::Whole(0))));
        let cache = self.clone().memory_values(without_memory).open(path, schema_version)?;
        Ok(TypedCache::new(cache, !without_memory))
    }
}

fn terminated(name: &str, text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::InvalidArgument(format!("{name} must not contain U+0000")))
}

/// An owned `dbc_options`.
struct Options(NonNull<sys::dbc_options>);

impl Options {
    fn new() -> Result<Options> {
        // SAFETY: has no preconditions.
        let raw = unsafe { sys::dbc_options_new() };
        NonNull::new(raw).map(Options).ok_or_else(|| Error::NoMemory("out of memory".to_owned()))
    }

    fn apply(&self, option: sys::dbc_option, setting: Setting) -> Result<()> {
        // SAFETY: the options are alive and used by this thread alone.
        check(unsafe {
            match setting {
                Setting::Whole(value) => sys::dbc_options_set_u64(self.0.as_ptr(), option, value),
                Setting::Real(value) => sys::dbc_options_set_double(self.0.as_ptr(), option, value),
            }
        })
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: owned, and freed once.
        unsafe { sys::dbc_options_free(self.0.as_ptr()) };
    }
}
