//! What a step does with an open cache, and whether it comes to what is expected.

use std::collections::HashMap;

use diskbackedcache::Result;
use serde_json::Value as Json;

use crate::interop::{seconds, stats_by_name, tier_name};
use crate::subjects::{Subject, found_or_not, timed};
use crate::table::{Members, Step, bytes_of, list_of, name_of, text_of};

/// What earlier steps have given names to.
pub(crate) struct Named<O> {
    versions: HashMap<String, u64>,
    objects: HashMap<String, O>,
}

impl<O> Named<O> {
    pub(crate) fn new() -> Named<O> {
        Named { versions: HashMap::new(), objects: HashMap::new() }
    }

    fn version(&self, name: &Json) -> u64 {
        self.versions[&name_of(name)]
    }

    fn remember(&mut self, name: &Json, version: u64) {
        assert_ne!(version, 0);
        self.versions.insert(name_of(name), version);
    }
}

/// A step that does something with an open cache. All that it gives is taken before the call, which may fail.
pub(crate) struct Operation<'a, S: Subject> {
    cache: &'a S,
    step: &'a mut Step,
    at: Option<f64>,
    named: &'a mut Named<S::Object>,
}

impl<'a, S: Subject> Operation<'a, S> {
    pub(crate) fn new(cache: &'a S, step: &'a mut Step, named: &'a mut Named<S::Object>) -> Operation<'a, S> {
        let at = step.take("at").map(|at| seconds(&at));
        Operation { cache, step, at, named }
    }

    /// The status, when it is no error.
    pub(crate) fn run(&mut self, op: &str) -> Result<&'static str> {
        let Operation { cache, step, at, named } = self;
        match op {
            "get" => return self.get(),
            "get_into" => return self.get_into(),
            "delete" => return cache.delete(&step.key()).map(found_or_not),
            "exists" => return cache.exists(&step.key(), *at).map(found_or_not),
            "put" => self.put()?,
            "put_many" => self.put_many()?,
            "get_many" => self.get_many()?,
            "delete_many" => {
                let count = cache.delete_many(&step.keys())?;
                step.expects("count", count);
            }
            "tier" => {
                let tier = cache.tier(&step.key(), *at)?;
                step.expects("tier", tier_name(tier));
            }
            "tiers" => self.tiers()?,
            "close" => cache.close()?,
            "clear" => cache.clear()?,
            "clear_memory" => cache.clear_memory()?,
            "flush" => cache.flush()?,
            "purge_expired" => step.expects("count", cache.purge_expired(*at)?),
            "count" => step.expects("count", cache.count()?),
            "total_size" => step.expects("bytes", cache.total_size()?),
            "stats" => self.stats()?,
            "discard" => {
                let version = named.version(&step.take("version").unwrap());
                let was_memory_hit = step.take("was_memory_hit").unwrap() == 1;
                cache.bytes().discard(&step.key(), version, was_memory_hit)?;
            }
            "check" => {
                let repair = step.take("repair").is_some_and(|repair| repair.as_bool().unwrap());
                let checked = if repair { cache.bytes().repair()? } else { cache.bytes().check()? };
                step.expects("problems", checked.problems);
            }
            "dropped" => self.dropped()?,
            _ => panic!("unknown operation {op}"),
        }
        Ok("DBC_OK")
    }

    fn put(&mut self) -> Result<()> {
        let (key, text, remember) = (self.step.key(), self.step.is_text(), self.step.take("remember"));
        let given = S::object(&self.step.take("value").expect("a value"));
        let object = match self.step.take("object") {
            Some(name) => self.named.objects.entry(name_of(&name)).or_insert(given).clone(),
            None => given,
        };
        let version = self.cache.put(&key, object, text, self.at)?;
        self.has_version(remember, version);
        Ok(())
    }

    fn get(&mut self) -> Result<&'static str> {
        let held = self.step.take("held").map(|name| self.named.version(&name));
        let (key, remember, object) = (self.step.key(), self.step.take("remember"), self.step.take("object"));
        let found = self.cache.get(&key, held, self.at)?;
        let Some(present) = found.object else {
            return Ok(found.status);
        };
        let wanted = S::object(&self.step.expected("value").expect("a value"));
        assert!(S::equal(&present, &wanted), "{present:?} is not {wanted:?}");
        for (name, same) in [("same_object", true), ("other_object", false)] {
            if let Some(name) = self.step.expected(name) {
                assert_eq!(S::same(&present, &self.named.objects[&name_of(&name)]), same, "{name}");
            }
        }
        if let Some(wanted) = self.step.expected("timestamp") {
            assert_eq!(found.timestamp, seconds(&wanted));
        }
        if let Some(name) = object {
            self.named.objects.insert(name_of(&name), present);
        }
        self.has_version(remember, found.version);
        Ok(found.status)
    }

    fn get_into(&mut self) -> Result<&'static str> {
        let mut buffer = vec![0; self.step.take("capacity").unwrap().as_u64().unwrap() as usize];
        let (key, remember, bytes) = (self.step.key(), self.step.take("remember"), self.cache.bytes());
        let copied = timed!(self.at, bytes.get_into / get_into_at(&key, &mut buffer))?;
        self.step.expects("size", copied.map_or(0, |copied| copied.size));
        if let Some(copied) = copied {
            assert_eq!(buffer[..copied.size], bytes_of(&self.step.expected("value").unwrap()));
            self.has_version(remember, copied.version);
        }
        Ok(found_or_not(copied.is_some()))
    }

    fn put_many(&mut self) -> Result<()> {
        let (text, remember) = (self.step.is_text(), list_of(self.step.take("remember")));
        let items = list_of(self.step.take("items"));
        let items = items.iter().map(|item| (text_of(&item[0]), S::object(&item[1]))).collect();
        let versions = self.cache.put_many(items, text, self.at)?;
        for (position, name) in remember.iter().enumerate() {
            self.named.remember(name, versions[position]);
        }
        Ok(())
    }

    fn get_many(&mut self) -> Result<()> {
        let keys = self.step.keys();
        let version = |name: &Json| if name.is_null() { 0 } else { self.named.version(name) };
        let held = self.step.take("held").map(|held| list_of(Some(held)).iter().map(version).collect());
        let rows = self.cache.get_many(&keys, held, self.at)?;
        if let Some(wanted) = self.step.expected("statuses") {
            let statuses: Vec<&str> = rows.iter().map(|row| row.status).collect();
            assert_eq!(Json::from(statuses), wanted);
        }
        let wanted = list_of(self.step.expected("values"));
        assert_eq!(rows.len(), wanted.len());
        for (row, wanted) in rows.iter().zip(&wanted) {
            match &row.object {
                Some(found) => assert!(S::equal(found, &S::object(wanted)), "{found:?} is not {wanted}"),
                None => assert!(wanted.is_null(), "there is no {wanted}"),
            }
        }
        Ok(())
    }

    fn tiers(&mut self) -> Result<()> {
        for tier in ["memory", "disk", "none"] {
            for key in list_of(self.step.expected(tier)) {
                assert_eq!(tier_name(self.cache.tier(&text_of(&key), self.at)?), tier, "tier of {key}");
            }
        }
        Ok(())
    }

    fn stats(&mut self) -> Result<()> {
        let stats = self.cache.stats()?;
        assert_eq!(stats.total_gets, stats.memory_hits + stats.disk_hits + stats.misses);
        let actual = stats_by_name(&stats);
        let wanted = self.step.expected("stats").unwrap_or_else(|| Members::new().into());
        for (name, wanted) in wanted.as_object().unwrap() {
            assert_eq!(&actual[name], wanted, "{name}");
        }
        Ok(())
    }

    fn dropped(&mut self) -> Result<()> {
        let mut versions = [0; 1024];
        let dropped = self.cache.bytes().dropped(&mut versions)?;
        let wanted = list_of(self.step.expected("versions"));
        let wanted: Vec<u64> = wanted.iter().map(|name| self.named.version(name)).collect();
        assert_eq!((&versions[..dropped.count], dropped.overflowed), (&*wanted, false));
        Ok(())
    }

    /// The call gave that version, which may be given a name and compared with others.
    fn has_version(&mut self, remember: Option<Json>, version: u64) {
        if let Some(name) = remember {
            self.named.remember(&name, version);
        }
        if let Some(name) = self.step.expected("version_of") {
            assert_eq!(version, self.named.version(&name));
        }
        if let Some(name) = self.step.expected("newer_than") {
            assert!(version > self.named.version(&name), "the version is no newer");
        }
    }
}
