// Command interop is the worker for Go in the tests that let programs in several languages use one file: it
// obeys requests on standard input, one JSON object a line. tests/interop/README.md has the protocol.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"runtime/debug"

	dbc "github.com/libdbc/libdbc/bindings/go"
)

func main() {
	log.SetFlags(0)
	if err := serve(os.Stdin, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// serve answers requests until there are none any more.
func serve(requests io.Reader, answers io.Writer) error {
	reader := bufio.NewReader(requests)
	encoder := json.NewEncoder(answers)
	encoder.SetEscapeHTML(false)
	var w worker
	for {
		line, err := reader.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			if err := encoder.Encode(w.answer(line)); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

type record struct {
	ID      int64    `json:"id"`
	Name    string   `json:"name"`
	Tags    []string `json:"tags"`
	Score   *float64 `json:"score"`
	Address *address `json:"address"`
}

type address struct {
	City string `json:"city"`
	Zip  string `json:"zip"`
}

// item is a pair of a key and a record.
type item struct {
	key    string
	record *record
}

func (i *item) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{&i.key, &i.record})
}

type request struct {
	Op            string                     `json:"op"`
	Path          string                     `json:"path"`
	SchemaVersion string                     `json:"schema_version"`
	Options       map[string]json.RawMessage `json:"options"`
	Key           string                     `json:"key"`
	Keys          []string                   `json:"keys"`
	Record        *record                    `json:"record"`
	Items         []item                     `json:"items"`
	Board         string                     `json:"board"`
	Own           []int                      `json:"own"`
	Rounds        uint64                     `json:"rounds"`
}

// answer is what an operation gives beside "ok".
type answer map[string]any

type worker struct {
	cache *dbc.Typed[record]
	load  *load
}

func (w *worker) answer(line []byte) answer {
	var r request
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&r)
	var made answer
	if err == nil {
		made, err = w.do(r)
	}
	if err != nil {
		made = answer{"ok": false, "error": dbc.ErrInvalidArgument.Name(), "message": err.Error()}
		var failure *dbc.Error
		if errors.As(err, &failure) {
			made["error"], made["message"] = failure.Code.Name(), failure.Message
		}
		return made
	}
	if made == nil {
		made = answer{}
	}
	made["ok"] = true
	return made
}

func (w *worker) do(r request) (answer, error) {
	switch r.Op {
	case "hello":
		return answer{"language": "go", "library": dbc.LibraryVersion()}, nil
	case "open":
		return nil, w.open(r)
	}
	if w.cache == nil {
		return nil, errors.New("nothing is open")
	}
	switch r.Op {
	case "put":
		return nil, w.cache.Put(r.Key, r.Record)
	case "get":
		found, _, err := w.cache.Get(r.Key)
		return answer{"record": found}, err
	case "put_many":
		return nil, w.cache.PutSeq(func(yield func(string, *record) bool) {
			for _, item := range r.Items {
				if !yield(item.key, item.record) {
					return
				}
			}
		})
	case "get_many":
		found, err := w.cache.GetSlice(r.Keys)
		return answer{"records": found}, err
	case "delete":
		removed, err := w.cache.Delete(r.Key)
		return answer{"removed": removed}, err
	case "tier":
		tier, err := w.cache.Tier(r.Key)
		return answer{"tier": tier.String()}, err
	case "stats":
		return w.stats()
	case "start_load":
		started, err := startLoad(w.cache, r)
		w.load = started
		return nil, err
	case "finish_load":
		if w.load == nil {
			return nil, errors.New("no load was started")
		}
		return w.load.finish(), nil
	case "churn":
		return nil, w.churn(r.Rounds)
	case "close":
		return nil, w.cache.Close()
	default:
		return nil, fmt.Errorf("no such operation: %q", r.Op)
	}
}

func (w *worker) open(r request) error {
	options, err := optionsOf(r.Options)
	if err != nil {
		return err
	}
	opened, err := dbc.OpenTyped[record](r.Path, r.SchemaVersion, options...)
	if err != nil {
		return err
	}
	w.cache = opened
	return nil
}

func (w *worker) stats() (answer, error) {
	stats, err := w.cache.Stats()
	if err != nil {
		return nil, err
	}
	named := map[string]uint64{}
	for name, number := range stats.All() {
		named[name] = number
	}
	return answer{"stats": named}, nil
}

func (w *worker) churn(rounds uint64) error {
	keys := make([]string, 100)
	for i := range keys {
		keys[i] = fmt.Sprintf("churn:%d", i)
	}
	for n := range rounds {
		if err := w.churnOnce(keys, n+1); err != nil {
			return err
		}
	}
	debug.FreeOSMemory()
	return nil
}

func (w *worker) churnOnce(keys []string, n uint64) error {
	records := map[string]*record{}
	for _, key := range keys {
		records[key] = recordOf(key, n)
	}
	if err := w.cache.PutMany(records); err != nil {
		return err
	}
	for _, key := range keys {
		if _, _, err := w.cache.Get(key); err != nil {
			return err
		}
	}
	if _, err := w.cache.GetMany(keys); err != nil {
		return err
	}
	if err := w.cache.Put(keys[0], recordOf(keys[0], n)); err != nil {
		return err
	}
	if _, _, err := w.cache.Get("churn:absent"); err != nil {
		return err
	}
	_, err := w.cache.Delete("churn:absent")
	return err
}
