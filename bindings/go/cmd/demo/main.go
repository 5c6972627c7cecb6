// Command demo caches every package record of this machine and shows what each tier costs.
//
//	go run ./cmd/demo [STATUS_FILE]
//
// It reads dpkg's list of packages (/var/lib/dpkg/status, or a file of that format), makes an object of each record, puts
// them all into a cache, opens it anew, and gets every one of them from disk and from memory.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	dbc "github.com/libdbc/libdbc/bindings/go"
)

const (
	batch  = 100
	rounds = 20 // over all records, to time what takes less than a microsecond
)

type Package struct {
	Package          string   `json:"package"`
	Version          string   `json:"version"`
	Architecture     string   `json:"architecture"`
	Section          string   `json:"section"`
	InstalledSizeKiB int64    `json:"installed_size_kib"`
	Depends          []string `json:"depends"`
	Description      string   `json:"description"`
}

func main() {
	log.SetFlags(0)
	status := "/var/lib/dpkg/status"
	if len(os.Args) > 1 {
		status = os.Args[1]
	}
	if err := run(status); err != nil {
		log.Fatal(err)
	}
}

func run(status string) (err error) {
	text, err := os.ReadFile(status)
	if err != nil {
		return err
	}
	keys, packages := parse(string(text))
	fmt.Printf("%d packages in %s\n\n", len(keys), status)

	folder, err := os.MkdirTemp("", "dbc-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "packages.db")

	cache, err := open(path)
	if err != nil {
		return err
	}
	defer func() { err = closed(cache, err) }()
	if err := timed("put many, 100 at a time", len(keys), func() error { return putAll(cache, keys, packages) }); err != nil {
		return err
	}
	if err := cache.Close(); err != nil {
		return err
	}
	if cache, err = open(path); err != nil {
		return err
	}
	getAll := func() error { return getEach(cache, keys) }
	if err := timed("get from disk, decoded", len(keys), getAll); err != nil {
		return err
	}
	err = timed("get from memory, the same object", rounds*len(keys), func() error {
		for range rounds {
			if err := getAll(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	stats, err := cache.Stats()
	if err != nil {
		return err
	}
	fmt.Println()
	for name, number := range stats.All() {
		fmt.Printf("%-32s %10d\n", name, number)
	}
	return nil
}

func open(path string) (*dbc.Typed[Package], error) {
	return dbc.OpenTyped[Package](path, "1", dbc.WithMaxMemoryItems(100_000))
}

// closed closes the cache that was opened last; an error before that is the one that counts.
func closed(cache *dbc.Typed[Package], before error) error {
	if cache == nil {
		return before
	}
	if err := cache.Close(); before == nil {
		return err
	}
	return before
}

func putAll(cache *dbc.Typed[Package], keys []string, packages map[string]*Package) error {
	for some := range slices.Chunk(keys, batch) {
		items := map[string]*Package{}
		for _, key := range some {
			items[key] = packages[key]
		}
		if err := cache.PutMany(items); err != nil {
			return err
		}
	}
	return nil
}

func getEach(cache *dbc.Typed[Package], keys []string) error {
	for _, key := range keys {
		if _, ok, err := cache.Get(key); err != nil || !ok {
			return fmt.Errorf("%s: %v, %w", key, ok, err)
		}
	}
	return nil
}

// timed says how long one of so many takes.
func timed(what string, count int, work func() error) error {
	began := time.Now()
	err := work()
	fmt.Printf("%-32s %10.2f us each\n", what, float64(time.Since(began).Nanoseconds())/1000/float64(max(count, 1)))
	return err
}

// parse reads dpkg's format: "Field: value" lines, continued by indented ones; blank lines between records.
func parse(text string) (keys []string, packages map[string]*Package) {
	packages = map[string]*Package{}
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		fields := map[string]string{}
		last := ""
		for line := range strings.SplitSeq(paragraph, "\n") {
			if more, ok := strings.CutPrefix(line, " "); ok {
				fields[last] += "\n" + more
			} else if name, value, ok := strings.Cut(line, ":"); ok {
				last = name
				fields[name] = strings.TrimSpace(value)
			}
		}
		if fields["Package"] == "" {
			continue
		}
		size, err := strconv.ParseInt(fields["Installed-Size"], 10, 64)
		if err != nil {
			size = 0 // virtual packages have none
		}
		key := fields["Package"] + ":" + fields["Architecture"]
		if packages[key] == nil {
			keys = append(keys, key)
		}
		packages[key] = &Package{
			Package: fields["Package"], Version: fields["Version"], Architecture: fields["Architecture"],
			Section: fields["Section"], InstalledSizeKiB: size, Depends: strings.Split(fields["Depends"], ", "),
			Description: fields["Description"],
		}
	}
	return keys, packages
}
