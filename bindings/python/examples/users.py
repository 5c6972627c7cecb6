"""The shortest complete example: users in a cache at cache/users.db. Run it twice: the second run finds them there."""

from diskbackedcache import CacheableModel, DiskBackedCache


class User(CacheableModel):  # a frozen Pydantic v2 model
    schema_version: str = "1.0.0"
    name: str
    email: str


def main() -> None:
    with DiskBackedCache("cache/users.db", User, max_memory_items=1_000) as cache:
        print(f"found from an earlier run: {cache.get('user:1')}")

        ada = User(name="Ada", email="ada@example.org")
        cache.put("user:1", ada)
        assert cache.get("user:1") is ada  # memory answers with the same object
        cache.put_many({f"user:{i}": User(name=f"User {i}", email=f"{i}@example.org") for i in range(2, 100)})

        cache.clear_memory()
        assert cache.get("user:1") == ada  # the disk answers with an equal one, and brings it back to memory

        print(f"users 5 and 7: {cache.get_many(['user:5', 'user:7', 'user:absent'])}")
        print(f"items: {len(cache)}, bytes: {cache.get_total_size()}")
        for name, number in cache.get_stats().items():
            print(f"  {name}: {number}")


if __name__ == "__main__":
    main()
