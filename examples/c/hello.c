// The smallest program that uses libdbc: cc hello.c -ldbc && ./a.out. The second run finds what the first one left.
#include <dbc.h>
#include <stdio.h>
#include <stdlib.h>

static void check(dbc_status status) {
  if (status < DBC_INVALID_ARGUMENT) return;
  fprintf(stderr, "%s: %s\n", dbc_status_name((int)status), dbc_last_error());
  exit(1);
}

int main(void) {
  dbc_cache *cache = NULL;
  check(dbc_open("hello-cache/hello.db", "1.0.0", NULL, &cache));

  dbc_value *value = NULL;
  dbc_status status = dbc_get(cache, "greeting", 8, NULL, &value);
  check(status);
  if (status == DBC_NOT_FOUND) {
    puts("miss: nothing was there yet, so it is put");
    check(dbc_put(cache, "greeting", 8, "Hello, world", 12, DBC_TEXT, NULL, NULL));
    check(dbc_get(cache, "greeting", 8, NULL, &value));
  }
  printf("hit: %.*s\n", (int)dbc_value_size(value), (const char *)dbc_value_data(value));
  dbc_value_release(value);

  check(dbc_close(cache));
  dbc_free(cache);
  return 0;
}
