package dbc

import (
	"encoding/json"
	"errors"
	"iter"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// everyKeyedCall makes each call that takes a key with this one.
func everyKeyedCall(cache *Cache, typed *Typed[int], key string) iter.Seq2[string, error] {
	one := 1
	calls := map[string]func() error{
		"put":         func() error { return cache.Put(key, []byte("x")) },
		"put version": func() error { _, err := cache.PutVersion(key, []byte("x")); return err },
		"put many":    func() error { return cache.PutMany(map[string][]byte{key: nil}) },
		"put seq":     func() error { return cache.PutSeq(maps.All(map[string][]byte{key: nil})) },
		"put slice":   func() error { return cache.PutSlice([]string{"good", key}, [][]byte{nil, nil}) },
		"get":         func() error { _, _, err := cache.Get(key); return err },
		"append get":  func() error { _, _, err := cache.AppendGet(nil, key); return err },
		"get item":    func() error { _, err := cache.GetItem(key, 0); return err },
		"get into":    func() error { _, err := cache.GetInto(key, make([]byte, 10)); return err },
		"get many":    func() error { _, err := cache.GetMany([]string{"good", key}); return err },
		"get slice":   func() error { _, err := cache.GetSlice([]string{key}); return err },
		"get seq":     func() error { _, err := cache.GetSeq(maps.Keys(map[string]int{key: 1})); return err },
		"get items":   func() error { _, err := cache.GetItems([]string{key}, nil); return err },
		"delete":      func() error { _, err := cache.Delete(key); return err },
		"delete many": func() error { _, err := cache.DeleteMany([]string{"good", key}); return err },
		"exists":      func() error { _, err := cache.Exists(key); return err },
		"tier":        func() error { _, err := cache.Tier(key); return err },

		"typed put":       func() error { return typed.Put(key, &one) },
		"typed put many":  func() error { return typed.PutMany(map[string]*int{key: &one}) },
		"typed put slice": func() error { return typed.PutSlice([]string{"good", key}, []*int{&one, &one}) },
		"typed put seq":   func() error { return typed.PutSeq(maps.All(map[string]*int{key: &one})) },
		"typed get":       func() error { _, _, err := typed.Get(key); return err },
		"typed get many":  func() error { _, err := typed.GetMany([]string{"good", key}); return err },
		"typed get slice": func() error { _, err := typed.GetSlice([]string{"good", key}); return err },
		"typed get seq":   func() error { _, err := typed.GetSeq(maps.Keys(map[string]int{key: 1})); return err },
	}
	return func(yield func(string, error) bool) {
		for name, call := range calls {
			if !yield(name, call()) {
				return
			}
		}
	}
}

func TestBadKeysAreRefusedAndChangeNothing(t *testing.T) {
	cache, typed := openCache(t), openTypedCache[int](t)
	for _, bad := range []struct{ name, key, message string }{
		{"empty", "", "Key cannot be empty"},
		{"too long", strings.Repeat("x", 257), "Key length 257 exceeds maximum of 256 characters"},
		{"too long in characters", strings.Repeat("é", 257), "Key length 257 exceeds maximum of 256 characters"},
		{"with NUL", "a\x00b", "Key must not contain U+0000"},
		{"no UTF-8", "\xff", "Key is not valid UTF-8"},
		{"a surrogate", "\xed\xa0\x80", "Key is not valid UTF-8"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			for name, err := range everyKeyedCall(cache, typed, bad.key) {
				wantError(t, err, ErrInvalidArgument)
				if !strings.Contains(err.Error(), bad.message) {
					t.Errorf("%s: %q", name, err)
				}
			}
			for name, shared := range map[string]*base{"cache": cache.base, "typed": typed.base} {
				stats := value(shared.Stats())(t)
				if stats != (Stats{}) {
					t.Errorf("%s has changed: %+v", name, stats)
				}
			}
		})
	}
}

func TestTheLongestKeys(t *testing.T) {
	cache := openCache(t)
	for _, key := range []string{strings.Repeat("x", 256), strings.Repeat("\U0001F600", 256), "x"} {
		must(t, cache.Put(key, []byte(key)))
		got, ok, err := cache.Get(key)
		if string(got) != key || !ok || err != nil {
			t.Errorf("%q: %q, %v, %v", key, got, ok, err)
		}
	}
}

func TestAKeyMayBePartOfALargerString(t *testing.T) {
	cache := openCache(t)
	long := strings.Repeat("key:", 100)
	must(t, cache.Put(long[4:8], []byte("x")))
	if !value(cache.Exists("key:"))(t) {
		t.Error("not there")
	}
}

func TestEmptyAndNilValues(t *testing.T) {
	cache := openCache(t)
	must(t, cache.Put("nil", nil))
	must(t, cache.Put("empty", []byte{}))
	must(t, cache.Put("part", []byte("abc")[3:]))
	must(t, cache.PutMany(map[string][]byte{"nil in a map": nil, "other": {}}))
	keys := []string{"nil", "empty", "part", "nil in a map", "other"}
	check := func(how, key string, got []byte, ok bool, err error) {
		if got == nil || len(got) != 0 || !ok || err != nil {
			t.Errorf("%s, %s: %v, %v, %v", how, key, got, ok, err)
		}
	}
	for range 2 { // from memory and from disk
		many := value(cache.GetMany(keys))(t)
		for _, key := range keys {
			got, ok, err := cache.Get(key)
			check("get", key, got, ok, err)
			got, ok = many[key]
			check("get many", key, got, ok, nil)
			item, err := cache.GetItem(key, 0)
			check("get item", key, item.Value, item.Found, err)
			item, err = cache.GetInto(key, nil)
			if !item.Found || item.Size != 0 || err != nil {
				t.Errorf("get into %s: %+v, %v", key, item, err)
			}
			got, ok, err = cache.AppendGet(nil, key)
			if len(got) != 0 || !ok || err != nil {
				t.Errorf("append get %s: %v, %v, %v", key, got, ok, err)
			}
		}
		must(t, cache.ClearMemory())
	}
}

func TestEmptyBatchesDoNothing(t *testing.T) {
	cache, typed := openCache(t), openTypedCache[int](t)
	must(t, cache.PutMany(nil))
	must(t, cache.PutSlice([]string{}, [][]byte{}))
	must(t, typed.PutMany(map[string]*int{}))
	for _, keys := range [][]string{nil, {}} {
		if got := value(cache.GetMany(keys))(t); got == nil || len(got) != 0 {
			t.Error(got)
		}
		if got := value(cache.GetItems(keys, []uint64{}))(t); len(got) != 0 {
			t.Error(got)
		}
		if got := value(typed.GetMany(keys))(t); got == nil || len(got) != 0 {
			t.Error(got)
		}
		if got := value(cache.DeleteMany(keys))(t); got != 0 {
			t.Error(got)
		}
	}
	if stats := value(cache.Stats())(t); stats != (Stats{}) {
		t.Error(stats)
	}
}

func TestSlicesOfDifferentLengths(t *testing.T) {
	cache, typed := openCache(t), openTypedCache[int](t)
	wantError(t, cache.PutSlice([]string{"a", "b"}, [][]byte{nil}), ErrInvalidArgument)
	wantError(t, typed.PutSlice([]string{"a"}, nil), ErrInvalidArgument)
	_, err := cache.GetItems([]string{"a"}, []uint64{1, 2})
	wantError(t, err, ErrInvalidArgument)
	if value(cache.Count())(t)+value(typed.Count())(t) != 0 {
		t.Error("something was stored")
	}
}

func TestValuesBeyondTheLimits(t *testing.T) {
	cache := openCache(t, WithMaxDiskSizeBytes(100), WithMaxItemSizeBytes(10))
	must(t, cache.Put("k", []byte("before")))
	const message = "Item size (250 bytes) exceeds max_disk_size_bytes (100 bytes)"
	for _, err := range []error{
		cache.Put("k", make([]byte, 250)),
		cache.PutMany(map[string][]byte{"k": make([]byte, 250), "l": nil}),
	} {
		wantError(t, err, ErrInvalidArgument)
		if !strings.Contains(err.Error(), message) {
			t.Errorf("%q", err)
		}
	}
	if got, _, _ := cache.Get("k"); string(got) != "before" || value(cache.Count())(t) != 1 {
		t.Errorf("%q", got)
	}
	must(t, cache.Put("large", make([]byte, 11)))
	if tier := value(cache.Tier("large"))(t); tier != TierDisk {
		t.Error(tier)
	}
}

func TestLargeValues(t *testing.T) {
	cache, typed := openCache(t), openTypedCache[string](t)
	for _, size := range []int{scratchSize - 1, scratchSize, scratchSize + 1, 3 << 20} {
		want := strings.Repeat("x", size)
		must(t, cache.Put("k", []byte(want)))
		must(t, typed.Put("k", &want))
		for range 2 {
			got, _, err := cache.Get("k")
			if string(got) != want || err != nil {
				t.Errorf("%d bytes: %d, %v", size, len(got), err)
			}
			got, _, err = cache.AppendGet([]byte("before"), "k")
			if string(got) != "before"+want || err != nil {
				t.Errorf("%d bytes appended: %d, %v", size, len(got), err)
			}
			object, _, err := typed.Get("k")
			if err != nil || *object != want {
				t.Errorf("%d bytes typed: %v", size, err)
			}
			must(t, cache.ClearMemory())
			must(t, typed.ClearMemory())
		}
	}
}

func TestTimesMustBeFinite(t *testing.T) {
	cache := openCache(t)
	for _, seconds := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		at := AtSeconds(seconds)
		_, _, getting := cache.Get("k", at)
		_, many := cache.GetMany([]string{"k"}, at)
		_, existing := cache.Exists("k", at)
		_, tier := cache.Tier("k", at)
		_, purging := cache.PurgeExpired(at)
		for _, err := range []error{cache.Put("k", nil, at), cache.PutMany(map[string][]byte{"k": nil}, at), getting, many,
			existing, tier, purging} {
			wantError(t, err, ErrInvalidArgument)
		}
	}
	if value(cache.Count())(t) != 0 {
		t.Error("something was stored")
	}
}

func TestOpenRefusesBadArguments(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "cache.db")
	for _, bad := range []struct {
		name, path, version string
		option              Option
		message             string
	}{
		{"no path", "", "1", nil, "db_path cannot be empty"},
		{"NUL in the path", path + "\x00", "1", nil, "path must not contain U+0000"},
		{"no UTF-8 in the path", path + "\xff", "1", nil, "db_path is not valid UTF-8"},
		{"no version", path, "", nil, "schema_version cannot be empty"},
		{"long version", path, strings.Repeat("1", 65), nil, "schema_version exceeds maximum of 64 bytes"},
		{"NUL in the version", path, "1\x002", nil, "schema_version must not contain U+0000"},
		{"no UTF-8 in the version", path, "\xff", nil, "schema_version is not valid UTF-8"},
		{"negative items", path, "1", WithMaxMemoryItems(-1), "max_memory_items must not be negative, got -1"},
		{"negative bytes", path, "1", WithMaxMemorySizeBytes(-1), "max_memory_size_bytes"},
		{"negative item size", path, "1", WithMaxItemSizeBytes(math.MinInt64), "max_item_size_bytes"},
		{"no disk items", path, "1", WithMaxDiskItems(0), "max_disk_items"},
		{"no disk bytes", path, "1", WithMaxDiskSizeBytes(0), "max_disk_size_bytes"},
		{"no memory TTL", path, "1", WithMemoryTTL(0), "memory_ttl_seconds"},
		{"negative disk TTL", path, "1", WithDiskTTL(-time.Second), "disk_ttl_seconds"},
		{"negative timeout", path, "1", WithBusyTimeout(-1), "busy_timeout_seconds"},
		{"endless timeout", path, "1", WithBusyTimeout(Forever), "busy_timeout_seconds"},
		{"no touch delay", path, "1", WithTouchDelay(0), "touch_delay_seconds"},
		{"unknown durability", path, "1", WithDurability(7), "durability"},
		{"unknown action", path, "1", WithOnCorrupt(7), "on_corrupt"},
		{"unknown compression", path, "1", WithCompression(7), "compression"},
		{"unknown write mode", path, "1", WithWriteMode(7), "write_mode"},
		{"no room to wait", path, "1", WithWriteBehindItems(0), "write_behind_items"},
		{"no bytes to wait", path, "1", WithWriteBehindSizeBytes(0), "write_behind_size_bytes"},
		{"no delay", path, "1", WithWriteBehindDelay(0), "write_behind_delay_seconds"},
		{"file type as mode", path, "1", WithFileMode(os.ModeDir | 0o700), "file_mode"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			cache, err := Open(bad.path, bad.version, bad.option)
			typed, typedErr := OpenTyped[int](bad.path, bad.version, bad.option)
			if cache != nil || typed != nil {
				t.Error("opened")
			}
			for _, err := range []error{err, typedErr} {
				wantError(t, err, ErrInvalidArgument)
				if !strings.Contains(err.Error(), bad.message) {
					t.Errorf("%q", err)
				}
			}
		})
	}
	if left := value(os.ReadDir(folder))(t); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOptionsReachTheLibrary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "cache.db")
	cache := openCacheAt(t, path, WithMaxMemoryItems(2), WithMaxMemorySizeBytes(10), WithMaxDiskItems(3),
		WithMaxDiskSizeBytes(20), WithMaxItemSizeBytes(5), WithMemoryTTL(10*time.Second), WithDiskTTL(time.Minute),
		WithDurability(DurabilityFull), WithOnCorrupt(OnCorruptFail), WithBusyTimeout(time.Minute),
		WithTouchDelay(500*time.Millisecond), WithFileMode(0o640), nil)
	put := func(key string, size int, at float64) { must(t, cache.Put(key, make([]byte, size), AtSeconds(at))) }
	wantTier := func(key string, at float64, want Tier) {
		t.Helper()
		if tier := value(cache.Tier(key, AtSeconds(at)))(t); tier != want {
			t.Errorf("%s is in %v, expected %v", key, tier, want)
		}
	}
	put("a", 1, 1)
	put("b", 1, 2)
	put("c", 1, 3)
	wantTier("a", 3, TierDisk) // max_memory_items
	put("d", 1, 4)
	wantTier("a", 4, TierNone) // max_disk_items
	put("e", 6, 5)
	wantTier("e", 5, TierDisk) // max_item_size_bytes
	wantTier("d", 14.5, TierDisk)
	wantTier("d", 64.5, TierNone)
	put("f", 20, 6)
	if size := value(cache.TotalSize())(t); size != 20 { // max_disk_size_bytes
		t.Error(size)
	}
	if mode := value(os.Stat(path))(t).Mode(); mode.Perm() != 0o640 {
		t.Error(mode)
	}
}

func TestForeverNeverExpires(t *testing.T) {
	cache := openCache(t, WithMemoryTTL(Forever), WithDiskTTL(Forever))
	must(t, cache.Put("k", nil, AtSeconds(0)))
	if tier := value(cache.Tier("k", AtSeconds(1e15)))(t); tier != TierMemory {
		t.Error(tier)
	}
}

func TestAnotherSchemaVersionFindsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	first := openCacheAt(t, path)
	must(t, first.Put("k", nil))
	second, err := Open(path, "2")
	must(t, err)
	defer second.Close()
	if _, ok, err := second.Get("k"); ok || err != nil {
		t.Error(ok, err)
	}
}

func TestFilesThatAreNoCache(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	rubbish := strings.Repeat("no database", 1000)
	_, err := Open(write("rubbish.db", rubbish), "1", WithOnCorrupt(OnCorruptFail))
	wantError(t, err, ErrCorrupt)
	_, err = Open(folder, "1")
	wantError(t, err, ErrIO)
	_, err = Open(filepath.Join(write("file", "x"), "cache.db"), "1")
	wantError(t, err, ErrIO)
	openCacheAt(t, write("restarted.db", rubbish))
	aside := value(filepath.Glob(filepath.Join(folder, "restarted.db.corrupt-*")))(t)
	if len(aside) != 1 {
		t.Errorf("moved aside: %v", aside)
	}
}

// ---- Values that have no JSON.

type panicking struct{ Text string }

func (p panicking) MarshalJSON() ([]byte, error) {
	switch p.Text {
	case "panic":
		panic("no JSON today")
	case "error":
		return nil, errNoJSON
	case "invalid":
		return []byte("{"), nil
	default:
		return json.Marshal(p.Text)
	}
}

func (p *panicking) UnmarshalJSON(data []byte) error {
	err := json.Unmarshal(data, &p.Text)
	if p.Text == "panic when read" {
		panic("cannot be read")
	}
	return err
}

var errNoJSON = errors.New("this one has no JSON")

func TestValuesThatCannotBeEncodedChangeNothing(t *testing.T) {
	cache := openTypedCache[panicking](t)
	good := &panicking{"good"}
	must(t, cache.Put("k", good))
	before := value(cache.Stats())(t)
	for _, text := range []string{"error", "invalid"} {
		bad := &panicking{text}
		for _, err := range []error{
			cache.Put("k", bad),
			cache.PutMany(map[string]*panicking{"k": bad}),
			cache.PutSlice([]string{"l", "k"}, []*panicking{good, bad}),
		} {
			wantError(t, err, ErrInvalidArgument)
			if !strings.Contains(err.Error(), `"k"`) {
				t.Errorf("it does not name the key: %v", err)
			}
			var cause *json.MarshalerError
			if !errors.As(err, &cause) || text == "error" && !errors.Is(err, errNoJSON) {
				t.Errorf("without the cause: %v", err)
			}
		}
	}
	for name, call := range map[string]func(){
		"put":      func() { _ = cache.Put("k", &panicking{"panic"}) },
		"put many": func() { _ = cache.PutSlice([]string{"l", "k"}, []*panicking{good, {"panic"}}) },
	} {
		if reason := panicOf(call); reason != "no JSON today" {
			t.Errorf("%s: %v", name, reason)
		}
	}
	if after := value(cache.Stats())(t); after != before {
		t.Errorf("%+v has become %+v", before, after)
	}
	if got, ok, err := cache.Get("k"); got != good || !ok || err != nil {
		t.Error(got, ok, err)
	}
}

func panicOf(call func()) (reason any) {
	defer func() { reason = recover() }()
	call()
	return nil
}

func TestAPanicInADecoderPassesThrough(t *testing.T) {
	cache := openTypedCache[panicking](t)
	must(t, cache.Put("k", &panicking{"panic when read"}))
	must(t, cache.ClearMemory())
	if reason := panicOf(func() { _, _, _ = cache.Get("k") }); reason != "cannot be read" {
		t.Error(reason)
	}
	if reason := panicOf(func() { _, _ = cache.GetMany([]string{"k"}) }); reason != "cannot be read" {
		t.Error(reason)
	}
	must(t, cache.Put("k", &panicking{"good"}))
	must(t, cache.ClearMemory())
	if got, _, err := cache.Get("k"); err != nil || got.Text != "good" {
		t.Error(got, err)
	}
}

func TestNullIsNoValue(t *testing.T) {
	pointers, maps, anything := openTypedCache[int](t), openTypedCache[map[string]int](t), openTypedCache[any](t)
	var null any
	for _, err := range []error{
		pointers.Put("k", nil), maps.Put("k", new(map[string]int)), anything.Put("k", &null),
		pointers.PutMany(map[string]*int{"k": nil}),
	} {
		wantError(t, err, ErrInvalidArgument)
	}
	if value(pointers.Count())(t) != 0 {
		t.Error("something was stored")
	}
	must(t, maps.Put("k", &map[string]int{}))
}

// ---- Caches that are not open.

func everyCall(cache *Cache, typed *Typed[int]) iter.Seq2[string, error] {
	calls := map[string]func(*base) error{
		"delete many":   func(b *base) error { _, err := b.DeleteMany(nil); return err },
		"clear":         (*base).Clear,
		"clear memory":  (*base).ClearMemory,
		"flush":         (*base).Flush,
		"purge expired": func(b *base) error { _, err := b.PurgeExpired(); return err },
		"check":         func(b *base) error { _, err := b.Check(); return err },
		"repair":        func(b *base) error { _, err := b.Repair(); return err },
		"count":         func(b *base) error { _, err := b.Count(); return err },
		"total size":    func(b *base) error { _, err := b.TotalSize(); return err },
		"stats":         func(b *base) error { _, err := b.Stats(); return err },
		"set log level": func(b *base) error { return b.SetLogLevel(0) },
		"discard":       func(b *base) error { return b.discard("k", 1, false) },
	}
	return func(yield func(string, error) bool) {
		for name, err := range everyKeyedCall(cache, typed, "k") {
			if !yield(name, err) {
				return
			}
		}
		for name, call := range calls {
			if !yield(name, call(cache.base)) || !yield("typed "+name, call(typed.base)) {
				return
			}
		}
	}
}

func TestAClosedCache(t *testing.T) {
	cache, typed := openCache(t), openTypedCache[int](t)
	one := 1
	must(t, cache.Put("k", []byte("x")))
	must(t, typed.Put("k", &one))
	for range 2 {
		must(t, cache.Close())
		must(t, typed.Close())
	}
	for name, err := range everyCall(cache, typed) {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACacheThatWasNeverOpened(t *testing.T) {
	cache := &Cache{}
	wantError(t, cache.Put("k", nil), ErrInvalidArgument)
	_, _, err := cache.Get("k")
	wantError(t, err, ErrInvalidArgument)
	wantError(t, cache.Close(), ErrInvalidArgument)
}
