// Written by internal/coresources; do not edit.

//go:build dbc_source

#include "../../src/base/utf8.cc"
