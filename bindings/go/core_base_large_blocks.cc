// Written by internal/coresources; do not edit.

//go:build dbc_source

#include "../../src/base/large_blocks.cc"
