// Command report runs the benchmarks and prints a table: go run ./report [-time 0.2s] [-rounds 3] [-output FILE]
//
// Read the ratios, not the digits. All is measured in the same run, and the rounds take turns; a cost is the
// median over the rounds. What is printed is also written as JSON, with every sample.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// A row is one thing measured with one library.
type row struct {
	What        string    `json:"what"`
	With        string    `json:"with"`
	Nanoseconds float64   `json:"nanoseconds"`
	Allocations float64   `json:"allocations"`
	Samples     []float64 `json:"samples"`
}

func main() {
	log.SetFlags(0)
	time := flag.String("time", "0.2s", "how long to measure each, in each round")
	rounds := flag.Int("rounds", 3, "how many rounds")
	output := flag.String("output", "../../../build/bench/go.json", "where the JSON goes")
	flag.Parse()
	var rows []*row
	for round := range *rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, *rounds)
		command := exec.Command("go", "test", "-run", "^$", "-bench", ".", "-benchtime", *time, ".")
		command.Stderr = os.Stderr
		text, err := command.Output()
		if err != nil {
			log.Fatalf("%v\n%s", err, text)
		}
		if rows, err = add(rows, text); err != nil {
			log.Fatal(err)
		}
	}
	print(rows)
	if err := write(*output, rows); err != nil {
		log.Fatal(err)
	}
}

var line = regexp.MustCompile(`^Benchmark(\w+)/(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op(?:.*?\s(\d+) allocs/op)?`)

// add takes up what a round has said.
func add(rows []*row, text []byte) ([]*row, error) {
	found := 0
	scanner := bufio.NewScanner(bytes.NewReader(text))
	for scanner.Scan() {
		match := line.FindStringSubmatch(scanner.Text())
		if match == nil {
			continue
		}
		found++
		nanoseconds, err := strconv.ParseFloat(match[3], 64)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(rows, func(r *row) bool { return r.What == match[1] && r.With == match[2] })
		if at < 0 {
			at = len(rows)
			rows = append(rows, &row{What: match[1], With: match[2]})
		}
		rows[at].Allocations, _ = strconv.ParseFloat(match[4], 64) // empty for batches
		rows[at].Samples = append(rows[at].Samples, nanoseconds)
		sorted := slices.Sorted(slices.Values(rows[at].Samples))
		rows[at].Nanoseconds = sorted[len(sorted)/2]
	}
	if found == 0 {
		return nil, fmt.Errorf("no benchmark in what go test has said:\n%s", text)
	}
	return rows, scanner.Err()
}

func print(rows []*row) {
	slices.SortStableFunc(rows, func(a, b *row) int {
		first := func(r *row) int { return slices.IndexFunc(rows, func(o *row) bool { return o.What == r.What }) }
		return first(a) - first(b)
	})
	fmt.Println("| what | with | microseconds | allocations |\n|---|---|---|---|")
	for _, r := range rows {
		fmt.Printf("| %s | %s | %.3f | %.0f |\n", words(r.What), strings.ReplaceAll(r.With, "_", " "), r.Nanoseconds/1000,
			r.Allocations)
	}
}

var capital = regexp.MustCompile(`(.)([A-Z])`)

func words(name string) string { return strings.ToLower(capital.ReplaceAllString(name, "$1 $2")) }

func write(path string, rows []*row) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(map[string]any{
		"go": runtime.Version(), "processors": runtime.NumCPU(), "results": rows,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
