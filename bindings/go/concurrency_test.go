package dbc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// eachOf runs work in so many goroutines at once, and waits for all.
func eachOf(count int, work func(number int)) {
	var group sync.WaitGroup
	for number := range count {
		group.Add(1)
		go func() {
			defer group.Done()
			work(number)
		}()
	}
	group.Wait()
}

func TestClosingWhileOthersCall(t *testing.T) {
	for range 5 {
		cache, typed := openCache(t), openTypedCache[int](t)
		var begun sync.WaitGroup
		begun.Add(4)
		eachOf(6, func(number int) {
			if number >= 4 {
				begun.Wait()
				if err := errors.Join(cache.Close(), typed.Close()); err != nil {
					t.Error(err)
				}
				return
			}
			for round := 0; ; round++ {
				key := fmt.Sprint(round % 10)
				err := errors.Join(cache.Put(key, []byte(key)), typed.Put(key, &round))
				if err == nil {
					_, _, err = cache.Get(key)
				}
				if err == nil {
					_, _, err = typed.Get(key)
				}
				if err == nil {
					_, err = typed.GetMany([]string{key, "x"})
				}
				if round == 0 {
					begun.Done()
				}
				if err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
		if heldCount(typed) != 0 {
			t.Error("a closed cache holds objects")
		}
	}
}

// Whoever has closed the cache may rely on it, also when another goroutine was first.
func TestClosingWaitsForWhoeverClosesAlready(t *testing.T) {
	const puts = 20_000
	path := filepath.Join(t.TempDir(), "cache.db")
	cache, err := Open(path, "1", WithWriteMode(WriteBehind), WithWriteBehindItems(puts+1), WithWriteBehindDelay(time.Hour))
	must(t, err)
	other := openCacheAt(t, path) // before, since opening waits for writers
	for i := range puts {
		must(t, cache.Put(fmt.Sprint(i), nil))
	}
	eachOf(2, func(number int) {
		for err := error(nil); number == 1 && !errors.Is(err, ErrClosed); {
			_, err = cache.Exists("0") // until the other is at it
		}
		if err := cache.Close(); err != nil {
			t.Error(err)
			return
		}
		if count, err := other.Count(); count != puts || err != nil {
			t.Errorf("closer %d finds %d of %d, %v", number, count, puts, err)
		}
	})
}

// Writers count up under their own keys, and nobody may ever read a number smaller than one acknowledged before, nor two
// objects for one version.
func TestManyGoroutinesOnTwoHandlesOfOneFile(t *testing.T) {
	const writers, rounds = 4, 60
	path := filepath.Join(t.TempDir(), "cache.db")
	var caches [2]*Typed[[2]int]
	for i := range caches {
		cache, err := OpenTyped[[2]int](path, "1", WithMaxMemoryItems(6), WithBusyTimeout(time.Minute))
		must(t, err)
		defer cache.Close()
		caches[i] = cache
	}
	var acknowledged [writers]atomic.Int64
	var writing atomic.Int64
	writing.Store(writers)
	eachOf(2*writers, func(number int) {
		cache := caches[number%2]
		if number < writers {
			defer writing.Add(-1)
			for round := 1; round <= rounds; round++ {
				key := fmt.Sprint(number)
				var err error
				switch round % 3 {
				case 0:
					err = cache.PutMany(map[string]*[2]int{key: {number, round}, "other" + key: {number, round}})
				default:
					err = cache.Put(key, &[2]int{number, round})
				}
				if err != nil {
					t.Error(err)
					return
				}
				acknowledged[number].Store(int64(round))
			}
			return
		}
		for writing.Load() > 0 {
			writer := rand.IntN(writers)
			before := acknowledged[writer].Load()
			key := fmt.Sprint(writer)
			got, ok, err := cache.Get(key)
			if rand.IntN(4) == 0 {
				var many map[string]*[2]int
				many, err = cache.GetMany([]string{key})
				got, ok = many[key]
			}
			if err != nil || before > 0 && !ok || ok && (got[0] != writer || int64(got[1]) < before) {
				t.Errorf("%s: %v, %v, %v after %d", key, got, ok, err, before)
				return
			}
		}
	})
	for _, cache := range caches {
		// What left memory last is told with the next call.
		value(cache.Delete("absent"))(t)
		cache.objects.letGo()
		stats := value(cache.Stats())(t)
		if heldCount(cache) > int(stats.CurrentMemoryItems) {
			t.Errorf("%d held, %+v", heldCount(cache), stats)
		}
	}
}

func TestConcurrentReadersGetOneObject(t *testing.T) {
	cache := openTypedCache[user](t)
	must(t, cache.Put("k", &user{Name: "Ada"}))
	for range 20 {
		must(t, cache.ClearMemory())
		var found [4]*user
		eachOf(len(found), func(number int) { found[number] = get(t, cache, "k") })
		last := get(t, cache, "k")
		if last == nil || last.Name != "Ada" {
			t.Fatal(last)
		}
	}
}

// collected runs the collector until done, or fails.
func collected(t *testing.T, done func() bool) {
	t.Helper()
	for range 1000 {
		runtime.GC()
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("it was never collected")
}

func TestAForgottenCacheIsClosed(t *testing.T) {
	var finished atomic.Int32
	path := filepath.Join(t.TempDir(), "cache.db")
	func() {
		cache, err := Open(path, "1", WithLogger(loggerTo(func(message string) {
			if message == "close()" {
				finished.Add(1)
			}
		})))
		must(t, err)
		must(t, cache.Put("k", nil))
	}()
	collected(t, func() bool { return finished.Load() == 1 })
}
