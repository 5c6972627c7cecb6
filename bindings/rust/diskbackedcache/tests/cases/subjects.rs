//! The kinds of caches that cases run on.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use diskbackedcache::{Answer, Builder, Cache, Result, Stats, Tier, TypedCache};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::interop::Record;
use crate::table::{bytes_of, text_of};

/// What a get is answered.
pub(crate) struct Found<O> {
    pub(crate) status: &'static str,
    pub(crate) object: Option<O>,
    pub(crate) version: u64,
    pub(crate) timestamp: f64,
}

impl<O> From<Option<O>> for Found<O> {
    fn from(object: Option<O>) -> Found<O> {
        Found { status: found_or_not(object.is_some()), object, version: 0, timestamp: 0.0 }
    }
}

impl<O> Found<O> {
    fn unchanged() -> Found<O> {
        Found { status: "DBC_UNCHANGED", ..None.into() }
    }
}

pub(crate) fn found_or_not(found: bool) -> &'static str {
    if found { "DBC_OK" } else { "DBC_NOT_FOUND" }
}

/// A kind of cache that cases run on.
pub(crate) trait Subject: Sized {
    const FEATURES: &[&str];
    /// What goes in and comes out.
    type Object: Clone + Debug;

    fn open(builder: &Builder, path: &Path, schema_version: &str) -> Result<Self>;
    /// From a value of the table.
    fn object(given: &Json) -> Self::Object;
    fn equal(one: &Self::Object, other: &Self::Object) -> bool;
    fn same(one: &Self::Object, other: &Self::Object) -> bool;
    /// Returns the version, or 0 where that is not told.
    fn put(&self, key: &str, object: Self::Object, text: bool, at: Option<f64>) -> Result<u64>;
    fn put_many(&self, items: Vec<(String, Self::Object)>, text: bool, at: Option<f64>) -> Result<Vec<u64>>;
    fn get(&self, key: &str, held: Option<u64>, at: Option<f64>) -> Result<Found<Self::Object>>;
    fn get_many(&self, keys: &[String], held: Option<Vec<u64>>, at: Option<f64>) -> Result<Vec<Found<Self::Object>>>;
    /// For what only a cache of bytes can do.
    fn bytes(&self) -> &Cache;

    fn delete(&self, key: &str) -> Result<bool>;
    fn exists(&self, key: &str, at: Option<f64>) -> Result<bool>;
    fn tier(&self, key: &str, at: Option<f64>) -> Result<Option<Tier>>;
    fn delete_many(&self, keys: &[String]) -> Result<u64>;
    fn purge_expired(&self, at: Option<f64>) -> Result<u64>;
    fn clear(&self) -> Result<()>;
    fn clear_memory(&self) -> Result<()>;
    fn flush(&self) -> Result<()>;
    fn close(&self) -> Result<()>;
    fn count(&self) -> Result<u64>;
    fn total_size(&self) -> Result<u64>;
    fn stats(&self) -> Result<Stats>;
}

/// `timed!(at, cache.get / get_at(key))`: the first without a time, else the second.
macro_rules! timed {
    ($at:expr, $cache:ident.$now:ident / $then:ident($($argument:expr),*)) => {
        match $at {
            None => $cache.$now($($argument),*),
            Some(at) => $cache.$then($($argument,)* at),
        }
    };
}
pub(crate) use timed;

/// What both kinds have in common.
macro_rules! common_calls {
    () => {
        fn delete(&self, key: &str) -> Result<bool> {
            self.delete(key)
        }
        fn exists(&self, key: &str, at: Option<f64>) -> Result<bool> {
            timed!(at, self.exists / exists_at(key))
        }
        fn tier(&self, key: &str, at: Option<f64>) -> Result<Option<Tier>> {
            timed!(at, self.tier / tier_at(key))
        }
        fn delete_many(&self, keys: &[String]) -> Result<u64> {
            self.delete_many(keys)
        }
        fn purge_expired(&self, at: Option<f64>) -> Result<u64> {
            timed!(at, self.purge_expired / purge_expired_at())
        }
        fn clear(&self) -> Result<()> {
            self.clear()
        }
        fn clear_memory(&self) -> Result<()> {
            self.clear_memory()
        }
        fn flush(&self) -> Result<()> {
            self.flush()
        }
        fn close(&self) -> Result<()> {
            self.close()
        }
        fn count(&self) -> Result<u64> {
            self.count()
        }
        fn total_size(&self) -> Result<u64> {
            self.total_size()
        }
        fn stats(&self) -> Result<Stats> {
            self.stats()
        }
    };
}

impl Subject for Cache {
    /// All but keys that are not UTF-8, which a `&str` cannot be.
    const FEATURES: &[&str] = &["bytes", "versions", "timestamps", "into", "binding", "check"];
    type Object = Vec<u8>;

    fn open(builder: &Builder, path: &Path, schema_version: &str) -> Result<Cache> {
        builder.open(path, schema_version)
    }

    fn object(given: &Json) -> Vec<u8> {
        bytes_of(given)
    }

    fn equal(one: &Vec<u8>, other: &Vec<u8>) -> bool {
        one == other
    }

    fn same(_: &Vec<u8>, _: &Vec<u8>) -> bool {
        unreachable!("no feature of this")
    }

    fn put(&self, key: &str, object: Vec<u8>, text: bool, at: Option<f64>) -> Result<u64> {
        if text {
            return timed!(at, self.put / put_at(key, std::str::from_utf8(&object).unwrap()));
        }
        timed!(at, self.put / put_at(key, object))
    }

    fn put_many(&self, items: Vec<(String, Vec<u8>)>, text: bool, at: Option<f64>) -> Result<Vec<u64>> {
        if text {
            let items = items.into_iter().map(|(key, value)| (key, String::from_utf8(value).unwrap()));
            return timed!(at, self.put_many / put_many_at(items));
        }
        timed!(at, self.put_many / put_many_at(items))
    }

    fn get(&self, key: &str, held: Option<u64>, at: Option<f64>) -> Result<Found<Vec<u8>>> {
        let answer = match held {
            Some(held) => timed!(at, self.get_changed / get_changed_at(key, held))?,
            None => timed!(at, self.get / get_at(key))?.map_or(Answer::Missing, Answer::Changed),
        };
        Ok(match answer {
            Answer::Unchanged => Found::unchanged(),
            Answer::Missing => None.into(),
            Answer::Changed(value) => {
                Found { version: value.version(), timestamp: value.timestamp(), ..Some(value.to_vec()).into() }
            }
        })
    }

    fn get_many(&self, keys: &[String], held: Option<Vec<u64>>, at: Option<f64>) -> Result<Vec<Found<Vec<u8>>>> {
        let entries = match held.map(|held| keys.iter().zip(held)) {
            Some(held) => timed!(at, self.get_many_changed / get_many_changed_at(held))?,
            None => timed!(at, self.get_many / get_many_at(keys))?,
        };
        let rows = entries.iter().enumerate().map(|(row, entry)| {
            if entries.is_unchanged(row) { Found::unchanged() } else { entry.map(|entry| entry.to_vec()).into() }
        });
        Ok(rows.collect())
    }

    fn bytes(&self) -> &Cache {
        self
    }

    common_calls!();
}

/// What a typed cache may hold here.
pub(crate) trait Typed: Serialize + DeserializeOwned + PartialEq + Debug {
    const FEATURES: &[&str];
    fn from_table(given: &Json) -> Self;
}

impl Typed for Record {
    const FEATURES: &[&str] = &["objects"];

    fn from_table(given: &Json) -> Record {
        serde_json::from_value(given.clone()).expect("a record")
    }
}

/// Without the feature "bytes" all values are decimal integers, which have the same size as JSON. Some are large.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Integer(Box<RawValue>);

impl PartialEq for Integer {
    fn eq(&self, other: &Integer) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Typed for Integer {
    const FEATURES: &[&str] = &[];

    fn from_table(given: &Json) -> Integer {
        Integer(RawValue::from_string(text_of(given)).expect("an integer"))
    }
}

impl<T: Typed> Subject for TypedCache<T> {
    const FEATURES: &[&str] = T::FEATURES;
    type Object = Arc<T>;

    fn open(builder: &Builder, path: &Path, schema_version: &str) -> Result<TypedCache<T>> {
        builder.open_typed(path, schema_version)
    }

    fn object(given: &Json) -> Arc<T> {
        Arc::new(T::from_table(given))
    }

    fn equal(one: &Arc<T>, other: &Arc<T>) -> bool {
        one == other
    }

    fn same(one: &Arc<T>, other: &Arc<T>) -> bool {
        Arc::ptr_eq(one, other)
    }

    fn put(&self, key: &str, object: Arc<T>, _: bool, at: Option<f64>) -> Result<u64> {
        timed!(at, self.put / put_at(key, object)).map(|()| 0)
    }

    fn put_many(&self, items: Vec<(String, Arc<T>)>, _: bool, at: Option<f64>) -> Result<Vec<u64>> {
        timed!(at, self.put_many / put_many_at(items)).map(|()| Vec::new())
    }

    fn get(&self, key: &str, _: Option<u64>, at: Option<f64>) -> Result<Found<Arc<T>>> {
        timed!(at, self.get / get_at(key)).map(Found::from)
    }

    fn get_many(&self, keys: &[String], _: Option<Vec<u64>>, at: Option<f64>) -> Result<Vec<Found<Arc<T>>>> {
        Ok(timed!(at, self.get_many / get_many_at(keys))?.into_iter().map(Found::from).collect())
    }

    fn bytes(&self) -> &Cache {
        unreachable!("no feature of this")
    }

    common_calls!();
}
