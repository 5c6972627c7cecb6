//go:build !race

package dbc

const raceEnabled = false
