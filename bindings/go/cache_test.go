package dbc

import (
	"errors"
	"path/filepath"
	"testing"
)

// openCache opens a cache of bytes on a file of the test's own, and closes it at the end.
func openCache(t testing.TB, options ...Option) *Cache {
	t.Helper()
	return openCacheAt(t, filepath.Join(t.TempDir(), "cache.db"), options...)
}

func openCacheAt(t testing.TB, path string, options ...Option) *Cache {
	t.Helper()
	cache, err := Open(path, "1", options...)
	must(t, err)
	t.Cleanup(func() { must(t, cache.Close()) })
	return cache
}

// openTypedCache is the same for a typed cache.
func openTypedCache[T any](t testing.TB, options ...Option) *Typed[T] {
	t.Helper()
	cache, err := OpenTyped[T](filepath.Join(t.TempDir(), "typed.db"), "1", options...)
	must(t, err)
	t.Cleanup(func() { must(t, cache.Close()) })
	return cache
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// value gives the one result of a call that must succeed.
func value[V any](result V, err error) func(testing.TB) V {
	return func(t testing.TB) V {
		t.Helper()
		must(t, err)
		return result
	}
}

// wantError checks an error's code, and that it has a message.
func wantError(t testing.TB, err error, code Code) {
	t.Helper()
	var failure *Error
	if !errors.Is(err, code) || !errors.As(err, &failure) {
		t.Fatalf("expected %v, got %v", code, err)
	}
	if failure.Message == "" || failure.Op == "" {
		t.Errorf("no message or operation in %#v", failure)
	}
}

func TestPutAndGet(t *testing.T) {
	cache := openCache(t)
	must(t, cache.Put("a", []byte("12")))
	got, ok, err := cache.Get("a")
	if string(got) != "12" || !ok || err != nil {
		t.Error(got, ok, err)
	}
	got, ok, err = cache.Get("b")
	if got != nil || ok || err != nil {
		t.Error(got, ok, err)
	}
}
