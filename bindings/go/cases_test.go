package dbc

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A runner runs the cases that need nothing but its features.
type runner struct {
	name     string
	features []string
	needs    string // if not empty, a case must need it
	open     func(path, version string, s *settings) (caseCache, error)
}

var runners = []runner{
	{"bytes", []string{"bytes", "raw_keys", "versions", "timestamps", "into", "binding"}, "",
		func(path, version string, s *settings) (caseCache, error) {
			opened, err := open(path, version, s)
			return bytesCache{&Cache{opened}}, err
		}},
	{"numbers", []string{"raw_keys"}, "", openTypedCase[json.Number]},
	{"records", []string{"objects"}, "objects", openTypedCase[caseRecord]},
}

func openTypedCase[T any](path, version string, s *settings) (caseCache, error) {
	opened, err := openTyped[T](path, version, s)
	return typedCache[T]{opened}, err
}

func TestCases(t *testing.T) {
	text, err := os.ReadFile(table)
	must(t, err)
	var all struct {
		Schema string `json:"$schema"`
		Cases  []testCase
	}
	must(t, strict(text, &all))
	for _, runner := range runners {
		t.Run(runner.name, func(t *testing.T) {
			ran, shown := 0, map[string]bool{}
			for _, c := range all.Cases {
				wanted := runner.needs == "" || slices.Contains(c.Needs, runner.needs)
				for _, need := range c.Needs {
					wanted = wanted && slices.Contains(runner.features, need)
				}
				if !wanted {
					continue
				}
				ran++
				for _, need := range c.Needs {
					shown[need] = true
				}
				t.Run(c.Name, func(t *testing.T) { runCase(t, runner, c) })
			}
			if ran == 0 || len(shown) != len(runner.features) {
				t.Errorf("%d cases ran, which showed %v of %v", ran, shown, runner.features)
			}
		})
	}
}

// A run is a case on its way.
type run struct {
	*testing.T
	runner   runner
	settings opening // the case's
	folder   string
	handles  map[string]caseCache
	opened   map[string]opening
	versions map[string]uint64
	objects  map[string]any
}

func runCase(t *testing.T, runner runner, c testCase) {
	t.Parallel()
	one := caseText("1")
	settings := c.opening.or(opening{"cache.db", &one, nil})
	r := &run{t, runner, settings, t.TempDir(), map[string]caseCache{}, map[string]opening{}, map[string]uint64{},
		map[string]any{}}
	defer func() {
		for _, cache := range r.handles {
			must(t, cache.shared().Close())
		}
	}()
	if c.Opened == nil || *c.Opened {
		must(t, r.open("a", settings))
	}
	for number, text := range c.Steps {
		s := step{Handle: "a", Expect: expectation{Status: "DBC_OK"}}
		if err := strict(text, &s); err != nil {
			t.Fatalf("step %d: %v", number, err)
		}
		status, err := r.take(s)
		if err != nil {
			err = checkError(s, err)
		} else if status != s.Expect.Status {
			err = differ("status", status, s.Expect.Status)
		}
		if err != nil {
			t.Fatalf("step %d: %s: %v", number, text, err)
		}
	}
}

// A mismatch is what a step found to be wrong, unlike an error that the cache gave.
type mismatch string

func (m mismatch) Error() string { return string(m) }

func differ(what string, got, want any) error {
	return mismatch(fmt.Sprintf("%s is %v, expected %v", what, got, want))
}

// compare says whether something is what is expected.
func compare[T comparable](what string, got, want T) error {
	if got != want {
		return differ(what, got, want)
	}
	return nil
}

func checkError(s step, err error) error {
	var failure *Error
	if !errors.As(err, &failure) {
		return err
	}
	switch {
	case failure.Code.Name() != s.Expect.Status:
		return fmt.Errorf("expected %s, got %s: %w", s.Expect.Status, failure.Code.Name(), err)
	case s.Expect.Error == "" && s.Expect.ErrorPart == "":
		return fmt.Errorf("the case says nothing of the message: %w", err)
	case s.Expect.Error != "" && failure.Message != s.Expect.Error,
		!strings.Contains(failure.Message, s.Expect.ErrorPart):
		return fmt.Errorf("another message: %q", failure.Message)
	}
	return nil
}

// take takes a step, checks what came of it, and gives its status.
func (r *run) take(s step) (string, error) {
	cache, ok := r.handles[s.Handle]
	switch {
	case s.Op == "open":
		return "DBC_OK", r.open(s.Handle, s.opening.or(r.settings))
	case s.Op == "sql":
		return "DBC_OK", r.sql(s)
	case s.Op == "write_file":
		return "DBC_OK", os.WriteFile(r.path(s.Path), []byte(textOf(s.Value)), 0o600)
	case !ok:
		return "", mismatch("no handle " + s.Handle)
	case s.Op == "reopen":
		if err := cache.shared().Close(); err != nil {
			return "", err
		}
		delete(r.handles, s.Handle)
		return "DBC_OK", r.open(s.Handle, s.opening.or(r.opened[s.Handle]))
	}
	return newOperation(r, s, cache).do()
}

func (r *run) open(handle string, with opening) error {
	settings, err := with.Options.settings()
	if err != nil {
		return err
	}
	cache, err := r.runner.open(r.path(with.Path), string(*with.SchemaVersion), settings)
	if err != nil {
		return err
	}
	if _, ok := r.handles[handle]; ok {
		return mismatch("a handle of this name is open already")
	}
	r.handles[handle], r.opened[handle] = cache, with
	return nil
}

func (r *run) path(path string) string {
	if path == ":memory:" {
		return path
	}
	return filepath.Join(r.folder, path)
}

func (r *run) sql(s step) error {
	path := r.path(s.opening.or(r.settings).Path)
	output, err := exec.Command("sqlite3", path, s.SQL).CombinedOutput()
	if err != nil {
		return mismatch(fmt.Sprintf("sqlite3: %v: %s", err, output))
	}
	if s.Expect.Output == nil {
		return nil
	}
	return compare("output", strings.TrimSuffix(string(output), "\n"), *s.Expect.Output)
}
