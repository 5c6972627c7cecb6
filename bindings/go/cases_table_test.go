package dbc

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// The table of behaviours that all languages run; tests/interop/README.md says what everything in it means.
const table = "../../tests/interop/cases.json"

type testCase struct {
	Name   string
	Shows  string
	Needs  []string
	Opened *bool
	Steps  []json.RawMessage // read when the case is run: others may have members that are not known here
	opening
}

// An opening is what a cache is opened with.
type opening struct {
	Path          string
	SchemaVersion *caseText `json:"schema_version"`
	Options       caseOptions
}

// or fills what is absent.
func (o opening) or(other opening) opening {
	if o.Options == nil {
		o.Options = other.Options
	}
	return opening{cmp.Or(o.Path, other.Path), cmp.Or(o.SchemaVersion, other.SchemaVersion), o.Options}
}

type step struct {
	Op     string
	Handle string
	opening
	Key          caseText
	Keys         []caseText
	Value        json.RawMessage
	Items        []caseItem
	At           *seconds
	Text         bool
	Held         names
	Remember     names
	Object       string
	Capacity     int
	Version      string
	WasMemoryHit int `json:"was_memory_hit"`
	SQL          string
	Expect       expectation
}

type expectation struct {
	Status      string
	Error       string
	ErrorPart   string `json:"error_part"`
	Value       json.RawMessage
	Values      []json.RawMessage
	Statuses    []string
	Timestamp   *float64
	Size        *int
	VersionOf   string `json:"version_of"`
	NewerThan   string `json:"newer_than"`
	SameObject  string `json:"same_object"`
	OtherObject string `json:"other_object"`
	Tier        string
	Memory      []caseText
	Disk        []caseText
	None        []caseText
	Count       *int
	Bytes       *int64
	Stats       map[string]uint64
	Versions    names
	Output      *string
}

// strict decodes JSON, and refuses members that the runner does not know.
func strict(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// caseText is a text, a repeated text, or bytes in hexadecimal.
type caseText string

func (t *caseText) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, (*string)(t))
	}
	var made struct {
		Repeat string
		Times  int
		Hex    *string
	}
	if err := strict(data, &made); err != nil {
		return err
	}
	if made.Hex != nil {
		raw, err := hex.DecodeString(*made.Hex)
		*t = caseText(raw)
		return err
	}
	*t = caseText(strings.Repeat(made.Repeat, made.Times))
	return nil
}

// textOf is for values, which are texts or records.
func textOf(value json.RawMessage) string {
	var text caseText
	if err := json.Unmarshal(value, &text); err != nil {
		panic(err)
	}
	return string(text)
}

func each[A, B any](given []A, made func(A) B) []B {
	list := make([]B, len(given))
	for i, one := range given {
		list[i] = made(one)
	}
	return list
}

func texts(given []caseText) []string {
	return each(given, func(text caseText) string { return string(text) })
}

type caseItem struct {
	key   string
	value json.RawMessage
}

func (i *caseItem) UnmarshalJSON(data []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(data, &pair); err != nil || len(pair) != 2 {
		return fmt.Errorf("%s is no pair: %w", data, err)
	}
	var key caseText
	err := json.Unmarshal(pair[0], &key)
	*i = caseItem{string(key), pair[1]}
	return err
}

// split gives the keys, and what the values stand for.
func split[V any](items []caseItem, value func(json.RawMessage) V) ([]string, []V) {
	return each(items, func(item caseItem) string { return item.key }),
		each(items, func(item caseItem) V { return value(item.value) })
}

// names are those of versions; one alone need not stand in a list, and null is the empty name.
type names []string

func (n *names) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		*n = make(names, 1)
		return json.Unmarshal(data, &(*n)[0])
	}
	return json.Unmarshal(data, (*[]string)(n))
}

type seconds float64

func (s *seconds) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case `"nan"`:
		*s = seconds(math.NaN())
	case `"inf"`:
		*s = seconds(math.Inf(1))
	case `"-inf"`:
		*s = seconds(math.Inf(-1))
	default:
		return json.Unmarshal(data, (*float64)(s))
	}
	return nil
}

type caseOptions map[string]json.RawMessage

// settings gives them as a cache is opened with them.
func (o caseOptions) settings() (*settings, error) {
	made := newSettings(nil)
	for name, text := range o {
		if _, ok := optionByName[name]; !ok {
			return nil, mismatch("unknown option " + name)
		}
		var err error
		if strings.HasSuffix(name, "_seconds") {
			var double seconds
			err = json.Unmarshal(text, &double)
			made.setDouble(name, float64(double))
		} else {
			var number optionNumber
			err = json.Unmarshal(text, &number)
			made.setNumber(name, int64(number))
		}
		if err != nil {
			return nil, err
		}
	}
	return made, nil
}

// optionNumber is a number, or a word for one.
type optionNumber int64

var words = map[string]optionNumber{
	`"normal"`: optionNumber(DurabilityNormal), `"full"`: optionNumber(DurabilityFull),
	`"off"`:  optionNumber(DurabilityOff),
	`"none"`: optionNumber(CompressionNone), `"zstd"`: optionNumber(CompressionZstd),
	`"through"`: optionNumber(WriteThrough), `"behind"`: optionNumber(WriteBehind),
	`"restart"`: optionNumber(OnCorruptRestart), `"fail"`: optionNumber(OnCorruptFail),
}

func (n *optionNumber) UnmarshalJSON(data []byte) error {
	number, ok := words[string(data)]
	if !ok {
		return json.Unmarshal(data, (*int64)(n)) // which an unknown word is not
	}
	*n = number
	return nil
}
