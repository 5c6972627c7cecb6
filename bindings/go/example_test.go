package dbc_test

import (
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	dbc "github.com/libdbc/libdbc/bindings/go"
)

type User struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// folder makes a folder for an example.
func folder() (path string, remove func()) {
	path, err := os.MkdirTemp("", "dbc-example-")
	if err != nil {
		log.Fatal(err)
	}
	return path, func() { os.RemoveAll(path) }
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleOpenTyped() {
	dir, remove := folder()
	defer remove()

	users, err := dbc.OpenTyped[User](filepath.Join(dir, "users.db"), "1.0.0", dbc.WithMaxMemoryItems(1_000))
	check(err)
	defer users.Close()

	ada := &User{Name: "Ada", Email: "ada@example.org"}
	check(users.Put("user:1", ada))
	user, ok, err := users.Get("user:1")
	check(err)
	fmt.Println(user.Name, ok, user == ada)
	_, ok, err = users.Get("user:2")
	check(err)
	fmt.Println(ok)
	// Output:
	// Ada true true
	// false
}

func ExampleOpen() {
	cache, err := dbc.Open(":memory:", "1")
	check(err)
	defer cache.Close()

	check(cache.Put("greeting", []byte("hello")))
	value, ok, err := cache.Get("greeting")
	check(err)
	fmt.Printf("%s %v\n", value, ok)
	// Output: hello true
}

func ExampleCache_PutMany() {
	cache, err := dbc.Open(":memory:", "1")
	check(err)
	defer cache.Close()

	// All or nothing, in one transaction.
	check(cache.PutMany(map[string][]byte{"a": []byte("1"), "b": []byte("2")}))
	values, err := cache.GetMany([]string{"a", "b", "c"})
	check(err)
	fmt.Printf("%q\n", values)
	// Output: map["a":"1" "b":"2"]
}

func ExampleTyped_GetSeq() {
	users, err := dbc.OpenTyped[User](":memory:", "1.0.0")
	check(err)
	defer users.Close()

	check(users.PutMany(map[string]*User{"user:1": {Name: "Ada"}, "user:2": {Name: "Bob"}}))
	found, err := users.GetSeq(slices.Values([]string{"user:2", "user:9", "user:1"}))
	check(err)
	for key, user := range found {
		fmt.Println(key, user.Name)
	}
	// Output:
	// user:2 Bob
	// user:1 Ada
}

func ExampleError() {
	cache, err := dbc.Open(":memory:", "1", dbc.WithMaxDiskSizeBytes(100))
	check(err)
	defer cache.Close()

	err = cache.Put("k", make([]byte, 250))
	fmt.Println(errors.Is(err, dbc.ErrInvalidArgument))
	var failure *dbc.Error
	if errors.As(err, &failure) {
		fmt.Println(failure.Code.Name())
		fmt.Println(failure.Message)
	}
	// Output:
	// true
	// DBC_INVALID_ARGUMENT
	// Item size (250 bytes) exceeds max_disk_size_bytes (100 bytes)
}

func ExampleAt() {
	cache, err := dbc.Open(":memory:", "1", dbc.WithDiskTTL(time.Hour))
	check(err)
	defer cache.Close()

	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	check(cache.Put("k", nil, dbc.At(noon)))
	for _, later := range []time.Duration{time.Minute, 2 * time.Hour} {
		exists, err := cache.Exists("k", dbc.At(noon.Add(later)))
		check(err)
		fmt.Println(later, exists)
	}
	// Output:
	// 1m0s true
	// 2h0m0s false
}

func ExampleWithLogger() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: dbc.LevelTrace,
		ReplaceAttr: func(_ []string, attribute slog.Attr) slog.Attr {
			if attribute.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return attribute
		},
	}))
	cache, err := dbc.Open(":memory:", "1", dbc.WithLogger(logger))
	check(err)
	defer cache.Close()

	_, _, err = cache.Get("k")
	check(err)
	check(cache.SetLogLevel(slog.LevelWarn)) // enough of that
	_, _, err = cache.Get("k")
	check(err)
	// Output:
	// level=INFO msg="opened :memory:"
	// level=DEBUG-4 msg="get(key='k')"
	// level=DEBUG-4 msg="get(key='k'): miss (not found)"
}

func ExampleCache_GetItem() {
	cache, err := dbc.Open(":memory:", "1")
	check(err)
	defer cache.Close()

	version, err := cache.PutVersion("k", []byte("12"))
	check(err)
	item, err := cache.GetItem("k", version) // no bytes are copied when this is still the one
	check(err)
	fmt.Println(item.Found, item.Unchanged)
	// Output: true true
}

func ExampleStats_All() {
	cache, err := dbc.Open(":memory:", "1")
	check(err)
	defer cache.Close()

	check(cache.Put("k", []byte("12")))
	stats, err := cache.Stats()
	check(err)
	for name, number := range stats.All() {
		if number != 0 {
			fmt.Println(name, number)
		}
	}
	// Output:
	// total_puts 1
	// current_memory_items 1
	// current_disk_items 1
	// memory_bytes 2
	// disk_bytes 2
}
