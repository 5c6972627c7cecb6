package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheDemoRuns(t *testing.T) {
	status := filepath.Join(t.TempDir(), "status")
	text := "Package: a\nArchitecture: all\nInstalled-Size: 12\nDepends: b, c\nDescription: first\n second line\n\nPackage: b\n\n\n"
	if err := os.WriteFile(status, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, packages := parse(text)
	if len(keys) != 2 || packages["a:all"].InstalledSizeKiB != 12 || packages["a:all"].Description != "first\nsecond line" {
		t.Error(keys, packages["a:all"])
	}
	if err := run(status); err != nil {
		t.Error(err)
	}
	if err := run(status + ".absent"); err == nil {
		t.Error("no error")
	}
}
