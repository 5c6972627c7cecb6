// Memory for items, of which the large blocks are kept for a while after use.
//
// malloc gives a large block back to the kernel and gets the next one anew, page by page, filled with zeros: of a value
// of 1 MB that takes longer than reading it from disk. What is kept is bounded for the whole process, by 16 MiB.
//
// Thread safety: all functions from any thread, also in a child that was forked at any moment. Nobody waits: who finds
// the kept blocks in use by another thread (or, in a child, by one that is not there) does without.
#pragma once

#include <cstddef>

namespace dbc {

// Null when there is no memory.
void *allocate_block(size_t bytes) noexcept;
// `bytes`: as it was allocated.
void free_block(void *block, size_t bytes) noexcept;

}  // namespace dbc
