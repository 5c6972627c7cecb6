package dbc

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

type user struct {
	Name string   `json:"name"`
	Tags []string `json:"tags,omitempty"`
}

// get gives what a get finds, or nil.
func get[T any](t testing.TB, cache *Typed[T], key string, options ...CallOption) *T {
	t.Helper()
	found, ok, err := cache.Get(key, options...)
	if ok != (found != nil) || err != nil {
		t.Fatal(found, ok, err)
	}
	return found
}

func heldCount[T any](cache *Typed[T]) int {
	count := 0
	for i := range cache.objects.shards {
		count += len(cache.objects.shards[i].held)
	}
	return count
}

func TestAMemoryHitIsTheSamePointer(t *testing.T) {
	cache := openTypedCache[user](t)
	ada := &user{Name: "Ada"}
	must(t, cache.Put("a", ada))
	if get(t, cache, "a") != ada {
		t.Error("another object")
	}
	must(t, cache.ClearMemory())
	decoded := get(t, cache, "a")
	if decoded == ada || decoded.Name != "Ada" {
		t.Error(decoded)
	}
	if get(t, cache, "a") != decoded || value(cache.GetMany([]string{"a"}))(t)["a"] != decoded {
		t.Error("another object")
	}
	stats := value(cache.Stats())(t)
	if stats.MemoryHits != 3 || stats.DiskHits != 1 {
		t.Errorf("%+v", stats)
	}
}

func TestAMemoryHitDecodesAndAllocatesNothing(t *testing.T) {
	cache := openTypedCache[user](t)
	must(t, cache.Put("a", &user{Name: "Ada"}))
	allocations := testing.AllocsPerRun(100, func() {
		if _, ok, err := cache.Get("a"); !ok || err != nil {
			t.Fatal(ok, err)
		}
	})
	if allocations != 0 && !raceEnabled {
		t.Error(allocations)
	}
}

func TestObjectsOfBatches(t *testing.T) {
	cache := openTypedCache[user](t)
	ada, bob, eve := &user{Name: "Ada"}, &user{Name: "Bob"}, &user{Name: "Eve"}
	must(t, cache.PutMany(map[string]*user{"a": ada}))
	must(t, cache.PutSlice([]string{"b", "e", "b"}, []*user{ada, eve, bob})) // the later one stays
	if got := value(cache.GetSlice([]string{"e", "x", "b", "a"}))(t); !slices.Equal(got, []*user{eve, nil, bob, ada}) {
		t.Error(got)
	}
	var order []string
	for key, found := range value(cache.GetSeq(slices.Values([]string{"e", "x", "b", "a"})))(t) {
		order = append(order, key+found.Name)
		if key == "b" {
			break
		}
	}
	if !slices.Equal(order, []string{"eEve", "bBob"}) {
		t.Error(order)
	}
	must(t, cache.ClearMemory())
	got := value(cache.GetMany([]string{"a", "x", "b"}))(t)
	if len(got) != 2 || got["a"].Name != "Ada" || got["b"].Name != "Bob" {
		t.Error(got)
	}
	if stats := value(cache.Stats())(t); stats.CurrentMemoryItems != 0 || heldCount(cache) != 0 {
		t.Errorf("a batch of gets brought something into memory: %+v, %d", stats, heldCount(cache))
	}
}

func TestObjectsFollowTheLibrary(t *testing.T) {
	cache := openTypedCache[user](t, WithMaxMemoryItems(10))
	check := func(after string) {
		t.Helper()
		stats := value(cache.Stats())(t)
		if heldCount(cache) != int(stats.CurrentMemoryItems) || len(cache.objects.keys) != heldCount(cache) {
			t.Errorf("after %s: %d held, %d keys, %+v", after, heldCount(cache), len(cache.objects.keys), stats)
		}
	}
	for i := range 100 {
		must(t, cache.Put(fmt.Sprint(i%17), &user{Name: "x"}))
	}
	check("puts")
	for i := range 17 {
		get(t, cache, fmt.Sprint(i))
	}
	check("gets")
	batch := map[string]*user{}
	for i := range 2 * reportSize {
		batch[fmt.Sprint("b", i)] = &user{}
	}
	must(t, cache.PutMany(batch))
	check("a batch larger than memory, and than a report")
	value(cache.DeleteMany(slices.Collect(maps.Keys(batch))))(t)
	check("deletes")
	must(t, cache.Put("k", &user{}))
	value(cache.Delete("k"))(t)
	check("a delete")
	must(t, cache.Put("old", &user{}, AtSeconds(1)))
	value(cache.PurgeExpired(AtSeconds(1e9)))(t)
	check("a purge")
	must(t, cache.Put("k", &user{}))
	must(t, cache.Clear())
	check("clear")
	must(t, cache.Put("k", &user{}))
	must(t, cache.ClearMemory())
	check("clear memory")
}

func TestAnObjectThatIsTooLargeForMemoryIsNotHeld(t *testing.T) {
	cache := openTypedCache[user](t, WithMaxItemSizeBytes(30))
	small, large := &user{Name: "x"}, &user{Name: strings.Repeat("x", 100)}
	must(t, cache.Put("k", small))
	must(t, cache.Put("k", large))
	if got := get(t, cache, "k"); got == large || !reflect.DeepEqual(got, large) || heldCount(cache) != 0 {
		t.Error(got, heldCount(cache))
	}
}

func TestWithoutAMemoryTier(t *testing.T) {
	cache := openTypedCache[user](t, WithMaxMemoryItems(0))
	ada := &user{Name: "Ada"}
	must(t, cache.Put("a", ada))
	must(t, cache.PutMany(map[string]*user{"b": ada}))
	for _, key := range []string{"a", "b"} {
		if got := get(t, cache, key); got == ada || got.Name != "Ada" {
			t.Error(got)
		}
	}
	if got := value(cache.GetMany([]string{"a", "x"}))(t); len(got) != 1 || got["a"] == ada {
		t.Error(got)
	}
	value(cache.Delete("a"))(t)
	must(t, cache.ClearMemory())
	if stats := value(cache.Stats())(t); stats.MemoryHits != 0 || stats.DiskHits != 3 {
		t.Errorf("%+v", stats)
	}
}

func TestExpiredObjectsAreLetGo(t *testing.T) {
	cache := openTypedCache[user](t)
	must(t, cache.Put("k", &user{}, AtSeconds(0)))
	if get(t, cache, "k", AtSeconds(1e9)) != nil || heldCount(cache) != 0 {
		t.Error("still there")
	}
	must(t, cache.Put("k", &user{}, AtSeconds(0)))
	if got := value(cache.GetMany([]string{"k"}, AtSeconds(1e9)))(t); len(got) != 0 || heldCount(cache) != 0 {
		t.Error("still there")
	}
}

func TestWhatAnotherHandleReplacesIsDecodedAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	first, err := OpenTyped[user](path, "1")
	must(t, err)
	defer first.Close()
	second, err := OpenTyped[user](path, "1")
	must(t, err)
	defer second.Close()
	must(t, first.Put("k", &user{Name: "Ada"}))
	bob := &user{Name: "Bob"}
	must(t, second.Put("k", bob))
	got := get(t, first, "k")
	if got.Name != "Bob" || got == bob || get(t, first, "k") != got {
		t.Error(got)
	}
	value(second.Delete("k"))(t)
	if get(t, first, "k") != nil || heldCount(first) != 0 {
		t.Error("still there")
	}
}

func TestValuesThatDoNotDecodeAreMisses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	typed, err := OpenTyped[user](path, "1", WithLogger(logger))
	must(t, err)
	defer typed.Close()
	raw := openCacheAt(t, path)
	bad := []string{"no JSON", "", "null", "1", `{"name": 1}`, `{"name": "x"} more`, `"text"`, "{\"name\": \"x\""}
	for i, text := range bad {
		key := fmt.Sprint(i)
		must(t, raw.Put(key, []byte(text)))
		if i%2 == 0 {
			if got := get(t, typed, key); got != nil {
				t.Errorf("%q: %v", text, got)
			}
		} else if got := value(typed.GetMany([]string{key}))(t); len(got) != 0 {
			t.Errorf("%q: %v", text, got)
		}
	}
	count := uint64(len(bad))
	if stats := value(typed.Stats())(t); stats.Misses != count || stats.DiskHits != 0 || stats.Discarded != count {
		t.Errorf("%+v", stats)
	}
	if value(raw.Count())(t) != 0 || heldCount(typed) != 0 {
		t.Error("still there")
	}
	if strings.Count(log.String(), "value does not decode") != len(bad) {
		t.Error(log.String())
	}
	// Also after the same object was held.
	must(t, typed.Put("k", &user{Name: "Ada"}))
	must(t, raw.Put("k", []byte("no JSON")))
	if get(t, typed, "k") != nil || heldCount(typed) != 0 {
		t.Error("still there")
	}
}

func TestTextIsStoredAsPeopleReadIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	typed, err := OpenTyped[user](path, "1")
	must(t, err)
	defer typed.Close()
	must(t, typed.Put("k", &user{Name: "<Zoë & Ada>"}))
	item := value(openCacheAt(t, path).GetItem("k", 0))(t)
	if string(item.Value) != `{"name":"<Zoë & Ada>"}` || !item.Text {
		t.Errorf("%q, %v", item.Value, item.Text)
	}
}

func TestManyTypes(t *testing.T) {
	text, number, list := "text", 1.5, []int{1, 2}
	texts, numbers, lists := openTypedCache[string](t), openTypedCache[float64](t), openTypedCache[[]int](t)
	must(t, errors.Join(texts.Put("k", &text), numbers.Put("k", &number), lists.Put("k", &list)))
	must(t, errors.Join(texts.ClearMemory(), numbers.ClearMemory(), lists.ClearMemory()))
	if *get(t, texts, "k") != text || *get(t, numbers, "k") != number || !slices.Equal(*get(t, lists, "k"), list) {
		t.Error("something has changed")
	}
}
