// Written by internal/coresources; do not edit.

//go:build dbc_source

#include "../../src/cache/cache_check.cc"
