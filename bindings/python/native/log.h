/* The library's messages on their way to Python's logging.
 *
 * The library calls back in the middle of a call, which is no place for Python: its handlers, and the signal handlers that
 * come along, may wait for that very call, and what they raise could not pass through the library. So the callback only
 * keeps the line, without the GIL, for the thread that it runs on; the wrapper of the call gives that thread's lines to
 * logging when the call is over and its outcome is where it belongs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dbc.h"

struct dbcpy_line {
  struct dbcpy_line *next;
  const char *text; /* behind this struct, with a terminating zero */
  size_t size;
  int level;
};

/* What waits on this thread, oldest first. */
static _Thread_local struct {
  struct dbcpy_line *first, *last;
  unsigned long lost; /* lines that found no memory */
  int delivering;     /* a handler that uses the cache makes lines of its own; handling those too would never end */
} dbcpy_lines;

/* Keeps a line for this thread. */
static void dbcpy_say(int level, const char *message, size_t size) {
  if (dbcpy_lines.delivering) return;
  struct dbcpy_line *line = (struct dbcpy_line *)malloc(sizeof *line + size + 1);
  if (!line) {
    ++dbcpy_lines.lost;
    return;
  }
  char *text = (char *)(line + 1);
  memcpy(text, message, size);
  text[size] = '\0';
  line->next = NULL;
  line->text = text;
  line->size = size;
  line->level = level;
  if (dbcpy_lines.first) {
    dbcpy_lines.last->next = line;
  } else {
    dbcpy_lines.first = line;
  }
  dbcpy_lines.last = line;
}

/* Does anything wait here that can be delivered now? */
static int dbcpy_has_lines(void) { return (dbcpy_lines.first || dbcpy_lines.lost) && !dbcpy_lines.delivering; }

/* From the first of these to the second, lines are delivered. */
static void dbcpy_begin_delivery(void) { dbcpy_lines.delivering = 1; }
static void dbcpy_end_delivery(void) { dbcpy_lines.delivering = 0; }

/* The oldest line, which is the caller's to free(), or NULL. */
static struct dbcpy_line *dbcpy_take_line(void) {
  struct dbcpy_line *line = dbcpy_lines.first;
  if (line) {
    dbcpy_lines.first = line->next;
  } else if (dbcpy_lines.lost && (line = (struct dbcpy_line *)malloc(sizeof *line + 80))) {
    char *text = (char *)(line + 1);
    line->size = (size_t)snprintf(text, 80, "%lu messages found no memory and are lost", dbcpy_lines.lost);
    line->text = text;
    line->level = DBC_LOG_WARNING;
    dbcpy_lines.lost = 0;
  }
  return line;
}
static void dbcpy_free_line(struct dbcpy_line *line) { free(line); }

/* In a forked child: what waits is the parent's, who delivers it. */
static void dbcpy_forget_lines(void) {
  struct dbcpy_line *line;
  dbcpy_lines.lost = 0;
  while ((line = dbcpy_take_line())) free(line);
}

static void dbcpy_keep_line(void *context, int level, const char *message, size_t size) {
  (void)context;
  dbcpy_say(level, message, size);
}
static int dbcpy_set_log(dbc_options *options) { return dbc_options_set_log(options, dbcpy_keep_line, NULL, NULL); }
