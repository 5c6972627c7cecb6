// The same where char is unsigned, as on ARM (see meson.build).
#include "../../src/base/utf8.cc"
#include "utf8_test.cc"

static_assert(static_cast<char>(-1) > 0);
