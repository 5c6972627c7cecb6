//go:build race

package dbc

const raceEnabled = true
