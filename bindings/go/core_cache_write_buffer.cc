// Written by internal/coresources; do not edit.

//go:build dbc_source

#include "../../src/cache/write_buffer.cc"
