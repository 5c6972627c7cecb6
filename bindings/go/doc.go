// Package dbc is a cache in two tiers: memory, and one SQLite file that is the source of truth. The file
// survives restarts and is shared by any number of goroutines, processes and languages; what another process
// has replaced or deleted is never returned.
//
//	type User struct {
//		Name  string `json:"name"`
//		Email string `json:"email"`
//	}
//
//	users, err := dbc.OpenTyped[User]("cache/users.db", "1.0.0", dbc.WithMaxMemoryItems(1_000))
//	if err != nil {
//		return err
//	}
//	defer users.Close()
//	if err := users.Put("user:1", &User{Name: "Ada", Email: "ada@example.org"}); err != nil {
//		return err
//	}
//	user, ok, err := users.Get("user:1") // the same *User
//
// [Cache] stores bytes. [Typed] stores values of one type as JSON, and its memory tier holds the values
// themselves: a hit in memory gives the same pointer and decodes nothing.
//
// # Time
//
// An item's timestamp is the time of its last put or get. TTLs count from there, so they slide, and the item
// with the smallest timestamp is evicted first (among equal ones that with the smallest key). Calls take [At]
// to count as made at another time. TTLs and delays are time.Durations; timestamps that are numbers are seconds
// since the Unix epoch; sizes are bytes.
//
// # Errors
//
// A key that is not there is no error: calls say so with a false ok. All errors are of type *[Error] and have a
// [Code] for errors.Is. After an error nothing has changed, in neither tier.
//
// # Closing
//
// Close a cache when it is no longer needed: access times that are not in the file yet are written then, and with
// [WriteBehind] the puts that wait. A cache that was forgotten is closed some time after it became unreachable, but none
// is closed because the program ends, by a return from main, os.Exit or log.Fatal.
//
// # Waiting
//
// Calls take no [context.Context]. A read waits for nobody, unless it finds an item that has expired or is of
// no use, and removes it. A write waits for other writers of the file at most for [WithBusyTimeout]; it could
// not be taken back once it has begun, and one that takes place after its caller was told it was cancelled
// would be worse than the wait.
//
// # Processes
//
// Any number of processes may use one file, on a local file system. Do not open it with another copy of SQLite
// inside a process that uses this package, such as github.com/mattn/go-sqlite3, nor with modernc.org/sqlite:
// two copies in one process undo each other's locks. Programs started with os/exec are no concern. Go programs
// do not fork otherwise.
//
// # Building
//
// The package uses cgo. By default it needs the library libdbc installed, which pkg-config finds under the name
// dbc. With the build tag dbc_source the library's sources are compiled into the program instead; that works
// within a checkout of the repository, and needs a C++20 compiler and the headers of SQLite, xxHash and zstd
// (not with dbc_nozstd). (The go command does not notice changes of those sources; use go build -a after such.)
package dbc
