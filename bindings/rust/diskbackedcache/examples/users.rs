//! The shortest complete example: users in a cache at cache/users.db. Run it twice: the second run finds them there.

use std::sync::Arc;

use diskbackedcache::{Cache, TypedCache};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    email: String,
}

fn main() -> diskbackedcache::Result<()> {
    let cache: TypedCache<User> = Cache::builder().max_memory_items(1_000).open_typed("cache/users.db", "1.0.0")?;
    println!("found from an earlier run: {:?}", cache.get("user:1")?);

    let ada = Arc::new(User { name: "Ada".into(), email: "ada@example.org".into() });
    cache.put("user:1", Arc::clone(&ada))?;
    assert!(Arc::ptr_eq(&ada, &cache.get("user:1")?.unwrap())); // memory answers with the same object
    cache.put_many(
        (2..100).map(|i| (format!("user:{i}"), User { name: format!("User {i}"), email: format!("{i}@example.org") })),
    )?;

    cache.clear_memory()?;
    assert_eq!(ada, cache.get("user:1")?.unwrap()); // the disk answers with an equal one, and brings it back to memory

    println!("users 5 and 7: {:?}", cache.get_many(["user:5", "user:7", "user:absent"])?);
    println!("items: {}, bytes: {}", cache.count()?, cache.total_size()?);
    println!("{:#?}", cache.stats()?);
    cache.close()
}
