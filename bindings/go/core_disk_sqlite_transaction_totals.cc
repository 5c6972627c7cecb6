// Written by internal/coresources; do not edit.

//go:build dbc_source

#include "../../src/disk/sqlite_transaction_totals.cc"
