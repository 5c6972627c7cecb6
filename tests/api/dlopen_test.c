// A program that knows the library only at run time, as plugins and other languages do. Not linked with it.
#include <dlfcn.h>
#include <pthread.h>

#include "check.h"
#include "dbc.h"

// The cast of the address is how POSIX would have it: ISO C knows no way from an object pointer to a function pointer.
#define LOAD(LIBRARY, NAME)                    \
  __typeof__(&NAME) p_##NAME = NULL;           \
  *(void **)&p_##NAME = dlsym(LIBRARY, #NAME); \
  CHECK(p_##NAME != NULL)

static void *load(void) {
  const char *path = getenv("DBC_LIBRARY");
  if (!path) check_fail(__FILE__, __LINE__, "DBC_LIBRARY must name the shared library", "", "");
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) check_fail(__FILE__, __LINE__, "dlopen: ", dlerror(), "");
  return library;
}

TEST(a_program_may_load_the_library_at_run_time) {
  void *library = load();
  LOAD(library, dbc_abi_version);
  LOAD(library, dbc_open);
  LOAD(library, dbc_put);
  LOAD(library, dbc_get);
  LOAD(library, dbc_value_size);
  LOAD(library, dbc_value_release);
  LOAD(library, dbc_free);
  CHECK(p_dbc_abi_version() == DBC_ABI_VERSION);
  dbc_cache *cache = NULL;
  dbc_value *value = NULL;
  CHECK(p_dbc_open("cache.db", "1.0.0", NULL, &cache) == DBC_OK);
  CHECK(p_dbc_put(cache, "k", 1, "value", 5, 0, NULL, NULL) == DBC_OK);
  CHECK(p_dbc_get(cache, "k", 1, NULL, &value) == DBC_OK && p_dbc_value_size(value) == 5);
  p_dbc_value_release(value);
  p_dbc_free(cache);
  CHECK(dlclose(library) == 0);
}

static void *use_and_stay(void *argument) {
  int *turns = argument;
  void *library = load();
  LOAD(library, dbc_open);
  LOAD(library, dbc_put);
  LOAD(library, dbc_free);
  dbc_cache *cache = NULL;
  CHECK(p_dbc_open("cache.db", "1.0.0", NULL, &cache) == DBC_OK);
  CHECK(p_dbc_put(cache, "", 0, "v", 1, 0, NULL, NULL) == DBC_INVALID_ARGUMENT);  // this thread has a last error
  CHECK(p_dbc_put(cache, "k", 1, "v", 1, 0, NULL, NULL) == DBC_OK);
  p_dbc_free(cache);
  CHECK(dlclose(library) == 0);
  char byte;
  CHECK(write(turns[1], "x", 1) == 1 && read(turns[2], &byte, 1) == 1);
  return NULL;  // after the unloading: nothing of the library may run now
}

TEST(unloading_is_harmless) {
  int out[2], back[2];
  char byte;
  CHECK(pipe(out) == 0 && pipe(back) == 0);
  int turns[3] = {out[0], out[1], back[0]};
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, use_and_stay, turns) == 0);
  CHECK(read(out[0], &byte, 1) == 1);
  CHECK(write(back[1], "x", 1) == 1 && pthread_join(thread, NULL) == 0);
  // A fork after it runs the handlers that were registered.
  pid_t child = fork();
  if (child == 0) _exit(0);
  int status = 1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  for (int i = 0; i < 20; ++i) {
    void *library = load();
    LOAD(library, dbc_open);
    LOAD(library, dbc_free);
    dbc_cache *cache = NULL;
    CHECK(p_dbc_open("cache.db", "1.0.0", NULL, &cache) == DBC_OK);
    p_dbc_free(cache);
    CHECK(dlclose(library) == 0);
  }
}
