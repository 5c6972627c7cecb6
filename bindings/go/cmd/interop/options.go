package main

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	dbc "github.com/libdbc/libdbc/bindings/go"
)

var numbers = map[string]func(int64) dbc.Option{
	"max_memory_items":        dbc.WithMaxMemoryItems,
	"max_memory_size_bytes":   dbc.WithMaxMemorySizeBytes,
	"max_disk_items":          dbc.WithMaxDiskItems,
	"max_disk_size_bytes":     dbc.WithMaxDiskSizeBytes,
	"max_item_size_bytes":     dbc.WithMaxItemSizeBytes,
	"write_behind_items":      dbc.WithWriteBehindItems,
	"write_behind_size_bytes": dbc.WithWriteBehindSizeBytes,
}

var durations = map[string]func(time.Duration) dbc.Option{
	"memory_ttl_seconds":         dbc.WithMemoryTTL,
	"disk_ttl_seconds":           dbc.WithDiskTTL,
	"busy_timeout_seconds":       dbc.WithBusyTimeout,
	"touch_delay_seconds":        dbc.WithTouchDelay,
	"write_behind_delay_seconds": dbc.WithWriteBehindDelay,
}

var words = map[string]map[string]dbc.Option{
	"durability": {
		"normal": dbc.WithDurability(dbc.DurabilityNormal),
		"full":   dbc.WithDurability(dbc.DurabilityFull),
		"off":    dbc.WithDurability(dbc.DurabilityOff),
	},
	"compression": {
		"none": dbc.WithCompression(dbc.CompressionNone),
		"zstd": dbc.WithCompression(dbc.CompressionZstd),
	},
	"write_mode": {
		"through": dbc.WithWriteMode(dbc.WriteThrough),
		"behind":  dbc.WithWriteMode(dbc.WriteBehind),
	},
	"on_corrupt": {
		"restart": dbc.WithOnCorrupt(dbc.OnCorruptRestart),
		"fail":    dbc.WithOnCorrupt(dbc.OnCorruptFail),
	},
}

// optionsOf makes options of their names and values in JSON.
func optionsOf(given map[string]json.RawMessage) ([]dbc.Option, error) {
	var made []dbc.Option
	for name, value := range given {
		option, err := optionOf(name, value)
		if err != nil {
			return nil, fmt.Errorf("option %s: %w", name, err)
		}
		made = append(made, option)
	}
	return made, nil
}

func optionOf(name string, value json.RawMessage) (dbc.Option, error) {
	var word string
	isWord := json.Unmarshal(value, &word) == nil
	if with, ok := durations[name]; ok {
		if isWord && word == "inf" {
			return with(dbc.Forever), nil
		}
		var seconds float64
		err := json.Unmarshal(value, &seconds)
		return with(time.Duration(math.Round(seconds * float64(time.Second)))), err
	}
	if with, ok := numbers[name]; ok {
		var number int64
		err := json.Unmarshal(value, &number)
		return with(number), err
	}
	if option, ok := words[name][word]; ok {
		return option, nil
	}
	return nil, fmt.Errorf("unknown, or with an unknown value %s", value)
}
