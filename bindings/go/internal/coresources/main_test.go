package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCommittedFilesAgreeWithTheBuildOfTheCore(t *testing.T) {
	t.Chdir("../..")
	wanted, err := wrappers("../../src/meson.build")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range wanted {
		present, err := os.ReadFile(name)
		if err != nil || string(present) != text {
			t.Errorf("%s is missing or out of date: run go generate -tags dbc_source (%v)", name, err)
		}
	}
	present, err := filepath.Glob("core_*.cc")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range present {
		if _, ok := wanted[name]; !ok {
			t.Errorf("%s belongs to a source that is gone: run go generate -tags dbc_source", name)
		}
	}
}

func TestABuildWithoutSourcesIsAnError(t *testing.T) {
	build := filepath.Join(t.TempDir(), "meson.build")
	if err := os.WriteFile(build, []byte("project('x')"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := wrappers(build); err == nil {
		t.Error("no error")
	}
	if _, err := wrappers(build + ".absent"); err == nil {
		t.Error("no error")
	}
}
