package dbc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/cgo"
	"strings"
	"sync"
	"testing"
	"weak"
)

// handlerFunc is a slog.Handler that has everything enabled.
type handlerFunc func(slog.Record) error

func (h handlerFunc) Enabled(context.Context, slog.Level) bool           { return true }
func (h handlerFunc) Handle(_ context.Context, record slog.Record) error { return h(record) }
func (h handlerFunc) WithAttrs([]slog.Attr) slog.Handler                 { return h }
func (h handlerFunc) WithGroup(string) slog.Handler                      { return h }
func loggerTo(each func(message string)) *slog.Logger {
	return slog.New(handlerFunc(func(record slog.Record) error {
		each(record.Message)
		return nil
	}))
}

func TestEveryOperationIsLogged(t *testing.T) {
	var mutex sync.Mutex
	var lines []string
	logger := slog.New(handlerFunc(func(record slog.Record) error {
		mutex.Lock()
		defer mutex.Unlock()
		lines = append(lines, record.Level.String()+" "+record.Message)
		if record.Time.IsZero() {
			t.Error("no time")
		}
		return nil
	}))
	cache, err := Open(filepath.Join(t.TempDir(), "cache.db"), "1", WithLogger(logger), WithMaxDiskItems(1))
	must(t, err)
	must(t, cache.Put("k", nil))
	_, _, err = cache.Get("k")
	must(t, err)
	_, _, err = cache.Get("x")
	must(t, err)
	must(t, cache.PutMany(map[string][]byte{"a": nil, "b": nil}))
	value(cache.GetMany([]string{"a", "b"}))(t)
	value(cache.DeleteMany([]string{"a", "b"}))(t)
	value(cache.Exists("it's"))(t)
	value(cache.Delete("k"))(t)
	must(t, cache.Clear())
	must(t, cache.Close())
	log := strings.Join(lines, "\n")
	for _, want := range []string{
		"DEBUG-4 put(key='k')", "DEBUG-4 get(key='k')", "get(key='k'): memory hit", "get(key='x'): miss (not found)",
		"put_many(count=2)", "get_many(count=2)", "delete_many(count=2)", `exists(key='it\'s')`, "delete(key='k')",
		"clear()", "evicting from disk (count): key='", "INFO ",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("%q is missing in\n%s", want, log)
		}
	}
}

func TestTheLoggersLevelIsAskedWhenTheCacheIsOpened(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	cache := openCache(t, WithLogger(logger))
	must(t, cache.Put("k", nil))
	if strings.Contains(log.String(), "put(") || !strings.Contains(log.String(), "level=INFO") {
		t.Error(log.String())
	}
}

func TestTheLevelCanBeChanged(t *testing.T) {
	count := 0
	cache := openCache(t, WithLogger(loggerTo(func(string) { count++ })))
	quiet := func() int {
		before := count
		_, _, err := cache.Get("k")
		must(t, err)
		return count - before
	}
	if quiet() == 0 {
		t.Error("nothing was logged")
	}
	must(t, cache.SetLogLevel(slog.LevelWarn))
	if quiet() != 0 {
		t.Error("something was logged")
	}
	must(t, cache.SetLogLevel(slog.LevelError+1))
	if quiet() != 0 {
		t.Error("something was logged")
	}
	must(t, cache.SetLogLevel(LevelTrace-100))
	if quiet() == 0 {
		t.Error("nothing was logged")
	}
}

func TestAHandlerMayUseTheCacheButNotCloseIt(t *testing.T) {
	var cache *Cache
	var closing error
	calls := 0
	opened, err := Open(filepath.Join(t.TempDir(), "cache.db"), "1", WithLogger(loggerTo(func(string) {
		if cache == nil {
			return
		}
		calls++
		if _, _, err := cache.Get("k"); err != nil {
			t.Error(err)
		}
		closing = cache.Close()
	})))
	must(t, err)
	cache = opened
	must(t, cache.Put("k", nil))
	if calls == 0 || calls > 10 {
		t.Errorf("the handler was called %d times", calls)
	}
	wantError(t, closing, ErrInvalidArgument)
	if _, ok, err := cache.Get("k"); !ok || err != nil {
		t.Error("the cache does not work any more", ok, err)
	}
	cache = nil
	must(t, opened.Close())
}

func TestAPanicInAHandlerEndsThere(t *testing.T) {
	read, write, err := os.Pipe()
	must(t, err)
	stderr := os.Stderr
	os.Stderr = write
	panics := 0
	cache, err := Open(":memory:", "1", WithLogger(loggerTo(func(string) {
		panics++
		if panics < 4 {
			panic("the handler's own affair")
		}
	})))
	var got []byte
	if err == nil {
		err = cache.Put("k", []byte("x"))
		got, _, _ = cache.Get("k")
	}
	os.Stderr = stderr
	must(t, write.Close())
	must(t, err)
	text, err := io.ReadAll(read)
	must(t, err)
	if string(got) != "x" || panics < 4 || strings.Count(string(text), "panic in a log handler: the handler's own") != 3 {
		t.Errorf("%q after %d panics, and on standard error %q", got, panics, text)
	}
	must(t, cache.Close())
}

// What the package tells itself goes the same way as what the library tells.
func TestWhatDoesNotDecodeIsToldAsAllElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	raw, err := Open(path, "1")
	must(t, err)
	spoil := func() { must(t, raw.Put("bad", []byte("no JSON"), AsText())) }
	spoil()
	var cache *Typed[int]
	depth, told := 0, 0
	handler := func(message string) {
		if !strings.HasPrefix(message, "get(") || !strings.Contains(message, "value does not decode") {
			return
		}
		told++
		depth++
		defer func() { depth-- }()
		if depth > 1 {
			t.Error("a handler heard of what it did itself")
			return
		}
		spoil() // it is there again
		if _, found, err := cache.Get("bad"); found || err != nil {
			t.Errorf("in a handler: %v, %v", found, err)
		}
		if err := cache.Close(); !errors.Is(err, ErrInvalidArgument) {
			t.Errorf("a handler closed the cache: %v", err)
		}
		panic("a handler that panics")
	}
	cache, err = OpenTyped[int](path, "1", WithLogger(loggerTo(handler)))
	must(t, err)
	stderr := os.Stderr
	os.Stderr, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0) // where it says that the handler has panicked
	must(t, err)
	_, found, err := cache.Get("bad")
	must(t, os.Stderr.Close())
	os.Stderr = stderr
	if found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	must(t, cache.SetLogLevel(slog.LevelError))
	spoil()
	if _, found, err := cache.Get("bad"); found || err != nil || told != 1 {
		t.Errorf("%v, %v, told %d times", found, err, told)
	}
	must(t, cache.Close())
	must(t, raw.Close())
}

func TestAClosedCacheKeepsNoLogger(t *testing.T) {
	logger := loggerTo(func(string) {})
	kept := weak.Make(logger)
	cache := openCache(t, WithLogger(logger))
	must(t, cache.Close())
	logger = nil
	collected(t, func() bool { return kept.Value() == nil })
	runtime.KeepAlive(cache)
}

func TestTheHandleOfALoggerIsGivenBackWhenOpeningFails(t *testing.T) {
	for name, open := range map[string]func(Option) (*Cache, error){
		"path":   func(logger Option) (*Cache, error) { return Open("", "1", logger) },
		"option": func(logger Option) (*Cache, error) { return Open(":memory:", "1", logger, WithMaxDiskItems(0)) },
		"file":   func(logger Option) (*Cache, error) { return Open(t.TempDir(), "1", logger) },
	} {
		// Handles are numbered one after the other.
		before := cgo.NewHandle(0)
		_, err := open(WithLogger(loggerTo(func(string) {})))
		after := cgo.NewHandle(0)
		if err == nil || after != before+2 {
			t.Errorf("%s: %v, and %d handles were made", name, err, after-before-1)
		}
		if panicOf(func() { (before + 1).Value() }) == nil {
			t.Errorf("%s: the handle is still there", name)
		}
		before.Delete()
		after.Delete()
	}
}
