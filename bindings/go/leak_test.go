//go:build !race

// Without the race detector, whose own memory grows.

package dbc

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"testing"
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

// wantFlat runs the rounds, and fails if the second half of them needs more memory than the first.
func wantFlat(t *testing.T, rounds int, round func(number int)) {
	t.Helper()
	for number := range rounds / 2 {
		round(number)
	}
	before := residentBytes(t)
	for number := range rounds / 2 {
		round(rounds/2 + number)
	}
	after := residentBytes(t)
	t.Logf("%d MiB, then %d MiB", before>>20, after>>20)
	if after > before+8<<20 {
		t.Errorf("%d bytes have become %d", before, after)
	}
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
	})
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
	large := make([]byte, 10*scratchSize)
	must(t, cache.Put("large", large))
	wantFlat(t, 2000, func(int) {
		for range 20 {
			if err := cache.Put("", nil); err == nil {
				t.Fatal("no error")
			}
			if _, err := cache.GetMany([]string{"\xff"}); err == nil {
				t.Fatal("no error")
			}
			if _, ok, err := cache.Get("absent"); ok || err != nil {
				t.Fatal(ok, err)
			}
			if got, _, err := cache.Get("large"); len(got) != len(large) || err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestOpeningAndClosingLeavesNothingBehind(t *testing.T) {
	wantFlat(t, 200, func(int) {
		cache, err := OpenTyped[int](":memory:", "1", WithLogger(loggerTo(func(string) {})))
		must(t, err)
		must(t, cache.Put("k", new(int)))
		must(t, cache.Close())
		_, err = Open(":memory:", "", WithLogger(loggerTo(func(string) {})))
		wantError(t, err, ErrInvalidArgument)
	})
}
