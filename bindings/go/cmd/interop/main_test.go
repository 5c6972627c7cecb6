package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ask lets one worker answer all requests.
func ask(t *testing.T, requests ...string) []answer {
	t.Helper()
	var output bytes.Buffer
	if err := serve(strings.NewReader(strings.Join(requests, "\n")), &output); err != nil {
		t.Fatal(err)
	}
	var answers []answer
	decoder := json.NewDecoder(&output)
	for decoder.More() {
		var made answer
		if err := decoder.Decode(&made); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, made)
	}
	if len(answers) != len(requests) {
		t.Fatalf("%d answers to %d requests: %v", len(answers), len(requests), answers)
	}
	return answers
}

const opening = `{"op": "open", "path": ":memory:", "schema_version": "1", "options": {"memory_ttl_seconds": "inf",
	"disk_ttl_seconds": 2.5, "max_disk_items": 1000, "durability": "off", "write_mode": "through"}}`

func TestWhatIsNotUnderstoodIsAnErrorAndNotTheEnd(t *testing.T) {
	answers := ask(t, `{"op": "nothing"}`, `no JSON`, `{"op": "get", "surprise": 1}`, `{"op": "get", "key": "k"}`,
		strings.ReplaceAll(opening, "\n", ""), `{"op": "nothing"}`, `{"op": "finish_load"}`,
		`{"op": "open", "path": "x", "options": {"surprise": 1}}`,
		`{"op": "open", "path": "x", "options": {"durability": "some"}}`,
		`{"op": "start_load", "board": "absent", "keys": ["k"]}`, `{"op": "put", "key": "", "record": null}`,
		`{"op": "get", "key": ""}`, `{"op": "put_many", "items": [1]}`)
	for i, made := range answers {
		if i == 4 {
			if made["ok"] != true {
				t.Error(made)
			}
			continue
		}
		if made["ok"] != false || made["error"] != "DBC_INVALID_ARGUMENT" || made["message"] == "" {
			t.Error(i, made)
		}
	}
}

func TestALoadFindsNoProblems(t *testing.T) {
	board := filepath.Join(t.TempDir(), "board")
	if err := os.WriteFile(board, make([]byte, 16), 0o600); err != nil {
		t.Fatal(err)
	}
	name, err := json.Marshal(board)
	if err != nil {
		t.Fatal(err)
	}
	answers := ask(t, strings.ReplaceAll(opening, "\n", ""),
		`{"op": "start_load", "board": `+string(name)+`, "keys": ["a", "b"], "own": [0, 1], "rounds": 30}`,
		`{"op": "finish_load"}`, `{"op": "churn", "rounds": 2}`, `{"op": "get_many", "keys": ["a", "x"]}`,
		`{"op": "start_load", "board": `+string(name)+`, "keys": ["a", "b"], "own": [2], "rounds": 1}`)
	load := answers[2]
	if problems, _ := load["problems"].([]any); load["writes"] != 60.0 || len(problems) != 0 || problems == nil {
		t.Error(load)
	}
	records, _ := answers[4]["records"].([]any)
	if len(records) != 2 || records[0] == nil || records[1] != nil {
		t.Error(answers[4])
	}
	if answers[5]["ok"] != false {
		t.Error(answers[5])
	}
}
