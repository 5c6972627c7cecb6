//! What the runner of the table of behaviours and the worker share; `tests/interop/README.md` describes both.

use diskbackedcache::{Builder, Cache, Compression, Durability, OnCorrupt, Stats, Tier, WriteMode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

/// The record that all languages know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) tags: Vec<String>,
    pub(crate) score: Option<f64>,
    pub(crate) address: Option<Address>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) city: String,
    pub(crate) zip: String,
}

/// A time of the table, which has words for what JSON has no numbers for.
pub(crate) fn seconds(given: &Json) -> f64 {
    match given {
        Json::String(word) => word.parse().expect("nan, inf or -inf"),
        number => number.as_f64().expect("a time"),
    }
}

/// Options as the table gives them. What is not known is an error.
pub(crate) fn builder(options: &Map<String, Json>) -> Result<Builder, String> {
    let mut builder = Cache::builder();
    for (name, value) in options {
        let unknown = || format!("no option: {name} = {value}");
        let whole = || value.as_u64().ok_or_else(unknown);
        builder = match name.as_str() {
            "max_memory_items" => builder.max_memory_items(whole()?),
            "max_memory_size_bytes" => builder.max_memory_size_bytes(whole()?),
            "max_disk_items" => builder.max_disk_items(whole()?),
            "max_disk_size_bytes" => builder.max_disk_size_bytes(whole()?),
            "max_item_size_bytes" => builder.max_item_size_bytes(whole()?),
            "memory_ttl_seconds" => builder.memory_ttl_seconds(seconds(value)),
            "disk_ttl_seconds" => builder.disk_ttl_seconds(seconds(value)),
            "busy_timeout_seconds" => builder.busy_timeout_seconds(seconds(value)),
            "touch_delay_seconds" => builder.touch_delay_seconds(seconds(value)),
            "memory_values" => builder.memory_values(whole()? != 0),
            "durability" => builder.durability(match value.as_str() {
                Some("normal") => Durability::Normal,
                Some("full") => Durability::Full,
                Some("off") => Durability::Off,
                _ => return Err(unknown()),
            }),
            "on_corrupt" => builder.on_corrupt(match value.as_str() {
                Some("restart") => OnCorrupt::Restart,
                Some("fail") => OnCorrupt::Fail,
                _ => return Err(unknown()),
            }),
            "write_mode" => builder.write_mode(match value.as_str() {
                Some("through") => WriteMode::Through,
                Some("behind") => WriteMode::Behind,
                _ => return Err(unknown()),
            }),
            "compression" => builder.compression(match value.as_str() {
                Some("none") => Compression::None,
                Some("zstd") => Compression::Zstd,
                _ => return Err(unknown()),
            }),
            "write_behind_items" => builder.write_behind_items(whole()?),
            "write_behind_size_bytes" => builder.write_behind_size_bytes(whole()?),
            "write_behind_delay_seconds" => builder.write_behind_delay_seconds(seconds(value)),
            _ => return Err(unknown()),
        };
    }
    Ok(builder)
}

pub(crate) fn tier_name(tier: Option<Tier>) -> String {
    tier.map_or_else(|| "none".to_owned(), |tier| tier.to_string())
}

pub(crate) fn stats_by_name(stats: &Stats) -> Json {
    json!({
        "memory_hits": stats.memory_hits,
        "disk_hits": stats.disk_hits,
        "misses": stats.misses,
        "memory_evictions": stats.memory_evictions,
        "disk_evictions": stats.disk_evictions,
        "total_puts": stats.total_puts,
        "total_gets": stats.total_gets,
        "total_deletes": stats.total_deletes,
        "current_memory_items": stats.current_memory_items,
        "current_disk_items": stats.current_disk_items,
        "memory_bytes": stats.memory_bytes,
        "disk_bytes": stats.disk_bytes,
        "memory_expired": stats.memory_expired,
        "disk_expired": stats.disk_expired,
        "discarded": stats.discarded,
    })
}
