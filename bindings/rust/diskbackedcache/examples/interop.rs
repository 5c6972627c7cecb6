//! The worker for Rust: obeys requests on standard input, one JSON object a line. `tests/interop/README.md` in the
//! repository has the protocol. It starts, loads and looks into a cache of records that other languages use meanwhile.

#[path = "../tests/interop/board.rs"]
mod board;
#[path = "../tests/interop/mod.rs"]
mod interop;

use std::error::Error as StdError;
use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use board::Board;
use diskbackedcache::{Error, TypedCache};
use interop::{Address, Record, builder, stats_by_name, tier_name};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

type Outcome<T> = Result<T, Box<dyn StdError>>;
type Records = TypedCache<Record>;

const MOST_PROBLEMS: usize = 10;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Request {
    Hello,
    Open {
        path: String,
        schema_version: String,
        #[serde(default)]
        options: Map<String, Json>,
    },
    Put {
        key: String,
        record: Record,
    },
    Get {
        key: String,
    },
    PutMany {
        items: Vec<(String, Record)>,
    },
    GetMany {
        keys: Vec<String>,
    },
    Delete {
        key: String,
    },
    Tier {
        key: String,
    },
    Stats,
    StartLoad(Plan),
    FinishLoad,
    Churn {
        rounds: u64,
    },
    Close,
}

/// What a load does.
#[derive(Deserialize)]
struct Plan {
    board: String,
    keys: Vec<String>,
    own: Vec<usize>,
    rounds: u64,
}

/// The record that a load writes under that number.
fn record_of(key: &str, number: u64) -> Record {
    let digits = number.to_string();
    Record {
        id: number as i64,
        name: key.to_owned(),
        tags: vec!["load".to_owned(), digits.clone()],
        score: Some(number as f64 / 2.0),
        address: (number % 2 == 0).then(|| Address { city: key.to_owned(), zip: digits }),
    }
}

/// A writer and a reader on one cache.
struct Load {
    writer: JoinHandle<(u64, Vec<String>)>,
    reader: JoinHandle<(u64, Vec<String>)>,
    finishing: Arc<AtomicBool>,
}

impl Load {
    fn start(records: &Arc<Records>, plan: Plan) -> io::Result<Load> {
        let board = Arc::new(Board::open(&plan.board, plan.keys.len())?);
        let plan = Arc::new(plan);
        let finishing = Arc::new(AtomicBool::new(false));
        let writer = {
            let (records, plan, board) = (Arc::clone(records), Arc::clone(&plan), Arc::clone(&board));
            thread::spawn(move || {
                let mut writes = 0;
                let outcome = write(&records, &plan, &board, &mut writes);
                (writes, outcome.err().map(|error| error.to_string()).into_iter().collect())
            })
        };
        let reader = {
            let (records, finishing) = (Arc::clone(records), Arc::clone(&finishing));
            thread::spawn(move || {
                let (mut reads, mut problems) = (0, Vec::new());
                if let Err(error) = read(&records, &plan, &board, &finishing, &mut reads, &mut problems) {
                    problems.insert(0, error.to_string());
                }
                (reads, problems)
            })
        };
        Ok(Load { writer, reader, finishing })
    }

    fn finish(self) -> Json {
        let panicked = |_| (0, vec!["a thread has panicked".to_owned()]);
        let (writes, mut problems) = self.writer.join().unwrap_or_else(panicked);
        self.finishing.store(true, Ordering::Relaxed);
        let (reads, more) = self.reader.join().unwrap_or_else(panicked);
        problems.extend(more);
        problems.truncate(MOST_PROBLEMS);
        json!({"writes": writes, "reads": reads, "problems": problems})
    }
}

fn write(records: &Records, plan: &Plan, board: &Board, writes: &mut u64) -> Result<(), Error> {
    for number in 1..=plan.rounds {
        if number % 10 == 0 {
            records.put_many(plan.own.iter().map(|&slot| (&plan.keys[slot], record_of(&plan.keys[slot], number))))?;
            for &slot in &plan.own {
                board.slot(slot).store(number, Ordering::Release);
            }
        } else {
            for &slot in &plan.own {
                records.put(&plan.keys[slot], record_of(&plan.keys[slot], number))?;
                board.slot(slot).store(number, Ordering::Release);
            }
        }
        *writes += plan.own.len() as u64;
    }
    Ok(())
}

fn read(
    records: &Records,
    plan: &Plan,
    board: &Board,
    finishing: &AtomicBool,
    reads: &mut u64,
    problems: &mut Vec<String>,
) -> Result<(), Error> {
    let mut seen = vec![0; plan.keys.len()];
    while !finishing.load(Ordering::Relaxed) {
        for (slot, key) in plan.keys.iter().enumerate() {
            let before = board.slot(slot).load(Ordering::Acquire);
            let record = records.get(key)?;
            *reads += 1;
            let is_good = match &record {
                None => before == 0,
                Some(record) => {
                    let number = record.id as u64;
                    number >= before && number >= seen[slot] && **record == record_of(key, number)
                }
            };
            if is_good {
                seen[slot] = record.map_or(seen[slot], |record| record.id as u64);
            } else if problems.len() < MOST_PROBLEMS {
                let last = seen[slot];
                problems.push(format!("{key}: after {before} and having seen {last} there was {record:?}"));
            }
        }
    }
    Ok(())
}

fn churn(records: &Records, round: u64) -> Result<(), Error> {
    let keys: Vec<String> = (0..100).map(|i| format!("churn:{i}")).collect();
    records.put_many(keys.iter().map(|key| (key, record_of(key, round))))?;
    for key in &keys {
        records.get(key)?;
    }
    records.get_many(&keys)?;
    records.put(&keys[0], record_of(&keys[0], round))?;
    records.get("churn:absent")?;
    records.delete("churn:absent")?;
    Ok(())
}

#[derive(Default)]
struct Worker {
    records: Option<Arc<Records>>,
    load: Option<Load>,
}

impl Worker {
    fn answer(&mut self, request: Request) -> Outcome<Json> {
        match request {
            Request::Hello => {
                return Ok(json!({"language": "rust", "library": diskbackedcache::library_version()}));
            }
            Request::Open { path, schema_version, options } => {
                self.records = Some(Arc::new(builder(&options)?.open_typed(path, &schema_version)?));
                return Ok(json!({}));
            }
            Request::FinishLoad => return Ok(self.load.take().ok_or("no load was started")?.finish()),
            _ => {}
        }
        let records = self.records.as_ref().ok_or("nothing is open")?;
        Ok(match request {
            Request::Put { key, record } => {
                records.put(&key, record)?;
                json!({})
            }
            Request::Get { key } => json!({"record": records.get(&key)?.as_deref()}),
            Request::PutMany { items } => {
                records.put_many(items)?;
                json!({})
            }
            Request::GetMany { keys } => {
                let found = records.get_many(&keys)?;
                json!({"records": found.iter().map(Option::as_deref).collect::<Vec<_>>()})
            }
            Request::Delete { key } => json!({"removed": records.delete(&key)?}),
            Request::Tier { key } => json!({"tier": tier_name(records.tier(&key)?)}),
            Request::Stats => json!({"stats": stats_by_name(&records.stats()?)}),
            Request::StartLoad(plan) => {
                self.load = Some(Load::start(records, plan)?);
                json!({})
            }
            Request::Churn { rounds } => {
                for round in 1..=rounds {
                    churn(records, round)?;
                }
                json!({})
            }
            Request::Close => {
                records.close()?;
                json!({})
            }
            Request::Hello | Request::Open { .. } | Request::FinishLoad => unreachable!("answered above"),
        })
    }
}

fn main() -> io::Result<()> {
    let mut worker = Worker::default();
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let request = serde_json::from_str::<Request>(&line?).map_err(Into::into);
        let answer = match request.and_then(|request| worker.answer(request)) {
            Ok(mut answer) => {
                answer["ok"] = true.into();
                answer
            }
            Err(error) => {
                let name = error.downcast_ref::<Error>().map_or("DBC_INVALID_ARGUMENT", Error::name);
                json!({"ok": false, "error": name, "message": error.to_string()})
            }
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}
