//! Running a case, step by step.

use std::collections::HashMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

use diskbackedcache::{Error, Result};
use serde_json::Value as Json;

use crate::interop::builder;
use crate::operations::{Named, Operation};
use crate::subjects::Subject;
use crate::table::{Members, Step, bytes_of, name_of, text_of};

struct Settings {
    path: String,
    schema_version: String,
    options: Members,
}

pub(crate) struct CaseRun<'a, S: Subject> {
    case: &'a Members,
    folder: &'a Path,
    handles: HashMap<String, (S, Settings)>,
    named: Named<S::Object>,
}

impl<S: Subject> CaseRun<'_, S> {
    pub(crate) fn new<'a>(case: &'a Members, folder: &'a Path) -> CaseRun<'a, S> {
        CaseRun { case, folder, handles: HashMap::new(), named: Named::new() }
    }

    pub(crate) fn run(mut self) {
        if self.case.get("opened") != Some(&Json::Bool(false)) {
            self.step(&serde_json::json!({"op": "open"}));
        }
        for (number, step) in self.case["steps"].as_array().expect("a list").iter().enumerate() {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.step(step))) {
                eprintln!("in step {}, {step}", number + 1);
                std::panic::resume_unwind(panic);
            }
        }
        for (cache, _) in self.handles.values() {
            cache.close().unwrap();
        }
    }

    fn step(&mut self, given: &Json) {
        let mut step = Step::new(given);
        let status = step.expected("status").map_or_else(|| "DBC_OK".to_owned(), |status| name_of(&status));
        let message = step.expected("error");
        let part = step.expected("error_part");
        match self.take(&mut step) {
            Ok(actual) => {
                assert_eq!(actual, status);
                assert!(message.is_none() && part.is_none(), "the step did not fail");
                assert!(step.expect.is_empty(), "not known to be expected: {:?}", step.expect);
            }
            Err(error) => {
                assert_eq!(error.name(), status, "{error}");
                assert!(message.is_some() || part.is_some(), "{error}");
                let text = error.to_string();
                assert!(message.is_none_or(|message| message == text), "{text}");
                assert!(part.is_none_or(|part| text.contains(part.as_str().unwrap())), "{text}");
                if let Some(size) = step.expected("size") {
                    let needed = if let Error::BufferTooSmall { needed, .. } = error { needed } else { 0 };
                    assert_eq!(size, needed);
                }
            }
        }
        assert!(step.given.is_empty(), "members that are not known: {:?}", step.given);
    }

    /// The status, when it is no error.
    fn take(&mut self, step: &mut Step) -> Result<&'static str> {
        let op = name_of(&step.take("op").expect("an op"));
        let handle = step.take("handle").map_or_else(|| "a".to_owned(), |handle| name_of(&handle));
        match op.as_str() {
            "open" => {
                let settings = Settings {
                    path: self.path_setting(step),
                    schema_version: text_of(&self.setting(step, "schema_version", "1".into())),
                    options: self.setting(step, "options", Members::new().into()).as_object().unwrap().clone(),
                };
                self.open(handle, settings)?;
            }
            "reopen" => {
                let (cache, mut settings) = self.handles.remove(&handle).expect("an open handle");
                cache.close().unwrap();
                drop(cache);
                if let Some(version) = step.take("schema_version") {
                    settings.schema_version = text_of(&version);
                }
                if let Some(options) = step.take("options") {
                    settings.options = options.as_object().unwrap().clone();
                }
                self.open(handle, settings)?;
            }
            "sql" => self.sql(step),
            "write_file" => {
                let path = self.path(&name_of(&step.take("path").unwrap()));
                fs::write(path, bytes_of(&step.take("value").unwrap())).unwrap();
            }
            op => {
                let (cache, _) = self.handles.get(&handle).expect("an open handle");
                return Operation::new(cache, step, &mut self.named).run(op);
            }
        }
        Ok("DBC_OK")
    }

    fn open(&mut self, name: String, settings: Settings) -> Result<()> {
        let builder = builder(&settings.options).expect("options");
        let cache = S::open(&builder, &self.path(&settings.path), &settings.schema_version)?;
        assert!(self.handles.insert(name, (cache, settings)).is_none(), "that handle is open already");
        Ok(())
    }

    fn sql(&self, step: &mut Step) {
        let path = self.path(&self.path_setting(step));
        let sql = name_of(&step.take("sql").unwrap());
        let done = Command::new("sqlite3").arg(path).arg(sql).output().expect("the sqlite3 shell");
        assert!(done.status.success(), "{done:?}");
        let wanted = step.expected("output").unwrap_or_default();
        let output = String::from_utf8(done.stdout).unwrap();
        assert_eq!(output.trim_end_matches('\n'), wanted.as_str().unwrap_or_default());
    }

    fn path_setting(&self, step: &mut Step) -> String {
        name_of(&self.setting(step, "path", "cache.db".into()))
    }

    /// The step's, else the case's.
    fn setting(&self, step: &mut Step, name: &str, default: Json) -> Json {
        step.take(name).or_else(|| self.case.get(name).cloned()).unwrap_or(default)
    }

    fn path(&self, path: &str) -> PathBuf {
        if path == ":memory:" { path.into() } else { self.folder.join(path) }
    }
}
