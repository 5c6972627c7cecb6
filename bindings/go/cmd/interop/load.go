package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"

	dbc "github.com/libdbc/libdbc/bindings/go"
	"github.com/libdbc/libdbc/bindings/go/internal/board"
)

const mostProblems = 10

// recordOf is the record that load number n puts under the key.
func recordOf(key string, n uint64) *record {
	text := strconv.FormatUint(n, 10)
	score := float64(n) / 2
	made := &record{ID: int64(n), Name: key, Tags: []string{"load", text}, Score: &score}
	if n%2 == 0 {
		made.Address = &address{City: key, Zip: text}
	}
	return made
}

// load is a writer and a reader on one cache.
type load struct {
	cache  *dbc.Typed[record]
	board  board.Board
	keys   []string
	own    []int
	rounds uint64

	writes, reads int
	finishing     chan struct{}
	writer        sync.WaitGroup
	reader        sync.WaitGroup

	mutex    sync.Mutex // guards problems
	problems []string
}

func startLoad(cache *dbc.Typed[record], r request) (*load, error) {
	numbers, err := board.Open(r.Board, len(r.Keys))
	if err != nil {
		return nil, err
	}
	for _, slot := range r.Own {
		if slot < 0 || slot >= len(r.Keys) {
			return nil, errors.Join(fmt.Errorf("no slot %d", slot), numbers.Close())
		}
	}
	l := &load{cache: cache, board: numbers, keys: r.Keys, own: r.Own, rounds: r.Rounds, finishing: make(chan struct{})}
	l.problems = []string{}
	l.start(&l.writer, l.write)
	l.start(&l.reader, l.read)
	return l, nil
}

// start lets a goroutine work; an error is a problem, and ends it.
func (l *load) start(group *sync.WaitGroup, work func() error) {
	group.Add(1)
	go func() {
		defer group.Done()
		if err := work(); err != nil {
			l.problem(err.Error())
		}
	}()
}

// finish waits for both.
func (l *load) finish() answer {
	l.writer.Wait()
	close(l.finishing)
	l.reader.Wait()
	if err := l.board.Close(); err != nil {
		l.problem(err.Error())
	}
	return answer{"writes": l.writes, "reads": l.reads, "problems": l.problems}
}

func (l *load) problem(text string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if len(l.problems) < mostProblems {
		l.problems = append(l.problems, text)
	}
}

func (l *load) write() error {
	for n := uint64(1); n <= l.rounds; n++ {
		if err := l.writeRound(n); err != nil {
			return err
		}
		l.writes += len(l.own)
	}
	return nil
}

func (l *load) writeRound(n uint64) error {
	if n%10 == 0 {
		records := map[string]*record{}
		for _, slot := range l.own {
			records[l.keys[slot]] = recordOf(l.keys[slot], n)
		}
		if err := l.cache.PutMany(records); err != nil {
			return err
		}
		for _, slot := range l.own {
			l.board.Store(slot, n)
		}
		return nil
	}
	for _, slot := range l.own {
		if err := l.cache.Put(l.keys[slot], recordOf(l.keys[slot], n)); err != nil {
			return err
		}
		l.board.Store(slot, n)
	}
	return nil
}

func (l *load) read() error {
	seen := make([]uint64, len(l.keys))
	for {
		for slot, key := range l.keys {
			before := l.board.Load(slot)
			found, _, err := l.cache.Get(key)
			if err != nil {
				return fmt.Errorf("%s: after %d: %w", key, before, err)
			}
			l.reads++
			var n uint64
			if found != nil {
				n = uint64(found.ID)
			}
			if n < before || n < seen[slot] || found != nil && !reflect.DeepEqual(found, recordOf(key, n)) {
				text, err := json.Marshal(found)
				l.problem(fmt.Sprintf("%s: after %d and having seen %d there was %s (%v)", key, before, seen[slot], text, err))
			}
			seen[slot] = max(n, seen[slot])
		}
		select {
		case <-l.finishing:
			return nil
		default:
		}
	}
}
