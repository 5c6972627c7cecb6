// Written by internal/coresources; do not edit.

//go:build dbc_source

#include "../../src/disk/writer_snapshot.cc"
