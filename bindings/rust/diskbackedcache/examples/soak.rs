//! The worker for Rust in the soak run of the repository: `soak FILE BOARD NUMBER`. `tests/soak/board.h` there says what
//! is on the board.

#[path = "../tests/interop/board.rs"]
mod board;

use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use board::Board;
use diskbackedcache::{Cache, TypedCache};
use serde::{Deserialize, Serialize};

type Outcome = Result<(), Box<dyn StdError + Send + Sync>>;

// As in board.h.
const KEYS: usize = 1600;
const WORKERS: usize = 8;
const COUNTS_AT: usize = 64;
const KEYS_AT: usize = 512;
const GETS: usize = 0;
const PUTS: usize = 1;
const MISSES: usize = 2;
const CLEARS: usize = 4;

#[derive(Serialize, Deserialize)]
struct Numbered {
    number: u64,
    padding: String,
}

/// xorshift64*; nothing that is tested depends on it.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % limit
    }
}

struct Worker {
    cache: TypedCache<Numbered>,
    board: Board,
    number: usize,
    failed: AtomicBool,
}

fn begun(key: usize) -> usize {
    KEYS_AT + 2 * key
}

fn done(key: usize) -> usize {
    KEYS_AT + 2 * key + 1
}

impl Worker {
    fn load(&self, slot: usize) -> u64 {
        self.board.slot(slot).load(Ordering::SeqCst)
    }

    fn store(&self, slot: usize, number: u64) {
        self.board.slot(slot).store(number, Ordering::SeqCst);
    }

    fn count(&self, what: usize) {
        self.board.slot(COUNTS_AT + 8 * self.number + what).fetch_add(1, Ordering::Relaxed);
    }

    fn own_keys(&self) -> impl Iterator<Item = usize> + use<> {
        (self.number..KEYS).step_by(WORKERS)
    }

    fn read(&self, random: &mut Random) -> Outcome {
        let key = random.below(KEYS as u64) as usize;
        let least = self.load(done(key));
        let found = self.cache.get(&format!("soak:{key}"))?;
        self.count(GETS);
        let Some(found) = found else {
            self.count(MISSES);
            return Ok(());
        };
        let (number, most) = (found.number, self.load(begun(key)));
        if number < least || number > most || number % 8 == 0 {
            return Err(format!("key {key} has {number}, not from {least} to {most}").into());
        }
        Ok(())
    }

    fn write_or_clear(&self, random: &mut Random) -> Outcome {
        if random.below(2000) == 0 {
            return self.clear();
        }
        let key = random.below((KEYS / WORKERS) as u64) as usize * WORKERS + self.number;
        let number = self.load(begun(key)) + 1;
        self.store(begun(key), number);
        if number % 8 == 0 {
            self.cache.delete(&format!("soak:{key}"))?;
        } else {
            let padding = "x".repeat(random.below(300) as usize);
            self.cache.put(&format!("soak:{key}"), Numbered { number, padding })?;
        }
        self.store(done(key), number);
        self.count(PUTS);
        thread::sleep(Duration::from_micros(500));
        Ok(())
    }

    /// Counts as a deletion of the worker's own keys.
    fn clear(&self) -> Outcome {
        for key in self.own_keys() {
            self.store(begun(key), self.load(begun(key)) / 8 * 8 + 8);
        }
        self.cache.clear()?;
        for key in self.own_keys() {
            self.store(done(key), self.load(begun(key)));
        }
        self.count(CLEARS);
        Ok(())
    }

    fn maintain(&self, random: &mut Random) -> Outcome {
        thread::sleep(Duration::from_millis(random.below(1000)));
        if random.below(2) == 0 {
            self.cache.flush()?;
        } else {
            self.cache.purge_expired()?;
        }
        Ok(())
    }

    /// Until the run ends, or any of the worker's threads has failed.
    fn forever(&self, seed: u64, task: impl Fn(&mut Random) -> Outcome) -> Outcome {
        let mut random = Random(seed | 1);
        while self.load(0) == 0 && !self.failed.load(Ordering::Relaxed) {
            if let Err(error) = task(&mut random) {
                self.failed.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    }
}

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, board, number] = &arguments[..] else {
        return Err("usage: soak FILE BOARD NUMBER".into());
    };
    let cache = Cache::builder()
        .max_disk_items(1200)
        .max_memory_items(600)
        .max_disk_size_bytes(4 << 20)
        .disk_ttl_seconds(5.0)
        .memory_ttl_seconds(2.0)
        .touch_delay_seconds(0.1)
        .busy_timeout_seconds(60.0)
        .open_typed(path, "1")?;
    let board = Board::open(board, KEYS_AT + 2 * KEYS)?;
    let worker = Worker { cache, board, number: number.parse()?, failed: AtomicBool::new(false) };
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos() as u64;
    thread::scope(|scope| {
        let threads = [
            scope.spawn(|| worker.forever(seed, |random| worker.write_or_clear(random))),
            scope.spawn(|| worker.forever(seed + 100, |random| worker.read(random))),
            scope.spawn(|| worker.forever(seed + 200, |random| worker.read(random))),
            scope.spawn(|| worker.forever(seed + 300, |random| worker.maintain(random))),
        ];
        threads.into_iter().try_for_each(|thread| thread.join().expect("a thread has panicked"))
    })?;
    Ok(worker.cache.close()?)
}
