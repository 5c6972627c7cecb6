package dbc

// #include "calls.h"
import "C"

// LibraryVersion gives the version of the library, such as "0.1.0".
func LibraryVersion() string { return C.GoString(C.dbc_version_text()) }
