// Written by internal/coresources; do not edit.

//go:build dbc_source

#include "../../src/disk/wal_index.cc"
