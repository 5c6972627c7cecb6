// Command soak is the worker for Go in the soak run of the repository: soak FILE BOARD NUMBER.
// tests/soak/board.h says what is on the board.
package main

import (
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	dbc "github.com/libdbc/libdbc/bindings/go"
	"github.com/libdbc/libdbc/bindings/go/internal/board"
)

// As in board.h.
const (
	keys, workers    = 1600, 8
	countsAt, keysAt = 64, 512
	gets, puts       = 0, 1
	misses, clears   = 2, 4
	boardSize        = keysAt + 2*keys
	deletesEvery     = 8
)

type numbered struct {
	Number  uint64 `json:"number"`
	Padding string `json:"padding"`
}

type worker struct {
	cache  *dbc.Typed[numbered]
	board  board.Board
	number int
	failed atomic.Bool
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("soak: ")
	if len(os.Args) != 4 {
		log.Fatal("usage: soak FILE BOARD NUMBER")
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatalf("worker %s: %v", os.Args[3], err)
	}
}

func run(path, boardPath, number string) error {
	w := &worker{}
	var err error
	if w.number, err = strconv.Atoi(number); err != nil {
		return err
	}
	if w.board, err = board.Open(boardPath, boardSize); err != nil {
		return err
	}
	w.cache, err = dbc.OpenTyped[numbered](path, "1", dbc.WithMaxDiskItems(1200), dbc.WithMaxMemoryItems(600),
		dbc.WithMaxDiskSizeBytes(4<<20), dbc.WithDiskTTL(5*time.Second), dbc.WithMemoryTTL(2*time.Second),
		dbc.WithTouchDelay(100*time.Millisecond), dbc.WithBusyTimeout(time.Minute))
	if err != nil {
		return err
	}
	tasks := []func() error{w.writeOrClear, w.read, w.read, w.maintain}
	errs := make(chan error, len(tasks))
	var all sync.WaitGroup
	for _, task := range tasks {
		all.Add(1)
		go func() {
			defer all.Done()
			errs <- w.forever(task)
		}()
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return w.cache.Close()
}

// forever ends when the run does, or any of the worker's goroutines has failed.
func (w *worker) forever(task func() error) error {
	for w.board.Load(0) == 0 && !w.failed.Load() {
		if err := task(); err != nil {
			w.failed.Store(true)
			return err
		}
	}
	return nil
}

func (w *worker) count(what int) { w.board.Add(countsAt+8*w.number+what, 1) }

func begun(key int) int { return keysAt + 2*key }
func done(key int) int  { return keysAt + 2*key + 1 }

func nameOf(key int) string { return fmt.Sprintf("soak:%d", key) }

func (w *worker) read() error {
	key := rand.IntN(keys)
	least := w.board.Load(done(key))
	found, ok, err := w.cache.Get(nameOf(key))
	if err != nil {
		return err
	}
	w.count(gets)
	if !ok {
		w.count(misses)
		return nil
	}
	most := w.board.Load(begun(key))
	if n := found.Number; n < least || n > most || n%deletesEvery == 0 {
		return fmt.Errorf("key %d has %d, not from %d to %d", key, n, least, most)
	}
	return nil
}

func (w *worker) writeOrClear() error {
	if rand.IntN(2000) == 0 {
		return w.clear()
	}
	key := rand.IntN(keys/workers)*workers + w.number
	n := w.board.Load(begun(key)) + 1
	w.board.Store(begun(key), n)
	var err error
	if n%deletesEvery == 0 {
		_, err = w.cache.Delete(nameOf(key))
	} else {
		err = w.cache.Put(nameOf(key), &numbered{n, strings.Repeat("x", rand.IntN(300))})
	}
	if err != nil {
		return err
	}
	w.board.Store(done(key), n)
	w.count(puts)
	time.Sleep(500 * time.Microsecond)
	return nil
}

// clear counts as a deletion of the worker's own keys.
func (w *worker) clear() error {
	for key := w.number; key < keys; key += workers {
		w.board.Store(begun(key), w.board.Load(begun(key))/deletesEvery*deletesEvery+deletesEvery)
	}
	if err := w.cache.Clear(); err != nil {
		return err
	}
	for key := w.number; key < keys; key += workers {
		w.board.Store(done(key), w.board.Load(begun(key)))
	}
	w.count(clears)
	return nil
}

func (w *worker) maintain() error {
	time.Sleep(rand.N(time.Second))
	if rand.IntN(2) == 0 {
		return w.cache.Flush()
	}
	_, err := w.cache.PurgeExpired()
	return err
}
