// Command coresources writes, for each source of the core that src/meson.build lists, a core_*.cc that includes it.
//
// cgo compiles only what lies in a package's own folder. One file for each source, not one for all: sources may
// use the same names in their anonymous namespaces.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	log.SetFlags(0)
	wanted, err := wrappers("../../src/meson.build")
	if err != nil {
		log.Fatal(err)
	}
	present, err := filepath.Glob("core_*.cc")
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range present {
		if _, ok := wanted[name]; !ok {
			if err := os.Remove(name); err != nil {
				log.Fatal(err)
			}
		}
	}
	for name, text := range wanted {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

var quoted = regexp.MustCompile(`'([^']+\.cc)'`)

const wrapper = `// Written by internal/coresources; do not edit.

//go:build dbc_source

#include "../../src/%s"
`

// wrappers tells the files that should be there, by name, with what should be in them.
func wrappers(build string) (map[string]string, error) {
	text, err := os.ReadFile(build)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, match := range quoted.FindAllStringSubmatch(string(text), -1) {
		name := "core_" + strings.ReplaceAll(match[1], "/", "_")
		files[name] = fmt.Sprintf(wrapper, match[1])
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s lists no sources", build)
	}
	return files, nil
}
