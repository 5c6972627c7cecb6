//go:build !race

// Without the race detector, whose own memory grows.

package dbc

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"weak"
)

// residentBytes is this process's memory, after everything that Go can give back was given back.
func residentBytes(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	_, after, ok := strings.Cut(string(status), "VmRSS:")
	var kilobytes int
	if _, err := fmt.Sscan(after, &kilobytes); err != nil || !ok {
		t.Fatal(err, ok)
	}
	return kilobytes << 10
}

// wantFlat runs the rounds in four parts, each of which ends with settle, if there is one, and more such parts as long as
// the last one needed more memory than all before. What the allocator keeps for later it keeps now and then; what is left
// behind grows with every part, to the end.
func wantFlat(t *testing.T, rounds int, round func(number int), settle func()) {
	t.Helper()
	// Each thread has the allocator set memory aside for it, and which thread runs a goroutine is chance.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var needed []int
	for part := range 10 {
		for number := range rounds / 4 {
			round(part*rounds/4 + number)
		}
		if settle != nil {
			settle()
		}
		needed = append(needed, residentBytes(t))
		if part >= 3 && needed[part] <= slices.Max(needed[:part])+4<<20 {
			t.Logf("bytes: %d", needed)
			return
		}
	}
	t.Errorf("it needs more and more: %d bytes", needed)
}

// A million items put, and a million got, of 100 bytes each: had any part of one been left behind, it would show.
func TestAMillionPutsAndGetsLeaveNothingBehind(t *testing.T) {
	const batch, rounds = 1000, 500 // of each kind of cache
	options := []Option{WithMaxMemoryItems(500), WithMaxDiskItems(2000), WithDurability(DurabilityOff)}
	cache, typed := openCache(t, options...), openTypedCache[user](t, options...)
	keys, values := make([]string, batch), make([][]byte, batch)
	objects := make([]*user, batch)
	for i := range keys {
		keys[i] = fmt.Sprint("key ", i)
		values[i] = make([]byte, 100)
		objects[i] = &user{Name: strings.Repeat("x", 80)}
	}
	wantFlat(t, rounds, func(number int) {
		must(t, cache.PutSlice(keys, values))
		must(t, typed.PutSlice(keys, objects))
		for i := range batch / 2 {
			key := keys[(number+i)%batch]
			if _, _, err := cache.Get(key); err != nil {
				t.Fatal(err)
			}
			if _, _, err := typed.Get(key); err != nil {
				t.Fatal(err)
			}
		}
		value(cache.GetMany(keys[:batch/2]))(t)
		value(typed.GetMany(keys[:batch/2]))(t)
		must(t, cache.Put(keys[0], values[0]))
		must(t, typed.Put(keys[0], objects[0]))
	}, nil)
	puts := value(cache.Stats())(t).TotalPuts + value(typed.Stats())(t).TotalPuts
	gets := value(cache.Stats())(t).TotalGets + value(typed.Stats())(t).TotalGets
	if puts < 1_000_000 || gets < 1_000_000 {
		t.Error(puts, gets)
	}
	if heldCount(typed) > 500 || len(typed.objects.recent)+len(typed.objects.older) > 4*remembered {
		t.Error(heldCount(typed), len(typed.objects.recent), len(typed.objects.older))
	}
}

func TestErrorsMissesAndLargeValuesLeaveNothingBehind(t *testing.T) {
	cache := openCache(t, WithLogger(loggerTo(func(string) {})))
	large, long := make([]byte, 10*scratchSize), strings.Repeat("x", 257)
	wantFlat(t, 1000, func(int) {
		must(t, cache.Put("large", large))
		for range 200 {
			if err := cache.Put(long, nil); err == nil {
				t.Fatal("no error")
			}
			if _, err := cache.GetMany([]string{"\xff"}); err == nil {
				t.Fatal("no error")
			}
		}
		for range 20 {
			if _, ok, err := cache.Get("absent"); ok || err != nil {
				t.Fatal(ok, err)
			}
			if got, _, err := cache.Get("large"); len(got) != len(large) || err != nil {
				t.Fatal(err)
			}
		}
	}, nil)
}

func TestOpeningAndClosingLeavesNothingBehind(t *testing.T) {
	var sinks []weak.Pointer[logSink] // which the library gives back when a handle is freed
	wantFlat(t, 200, func(int) {
		cache, err := OpenTyped[int](":memory:", "1", WithLogger(loggerTo(func(string) {})))
		must(t, err)
		sinks = append(sinks, weak.Make(cache.log))
		must(t, cache.Put("k", new(int)))
		must(t, cache.Close())
		_, err = Open(":memory:", "", WithLogger(loggerTo(func(string) {})))
		wantError(t, err, ErrInvalidArgument)
	}, func() {
		collected(t, func() bool {
			return !slices.ContainsFunc(sinks, func(sink weak.Pointer[logSink]) bool { return sink.Value() != nil })
		})
		sinks = nil
	})
}
