// The whole harness. TEST(name) { CHECK(...); } registers a test; each runs in a process and a folder of its own, so
// that a crash, a leak or a stray file is charged to the test it belongs to. Output is TAP: "ok NAME", or
// "not ok NAME: file:line expression", and the plan at the end. Arguments select tests by parts of their names.
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void (*check_function)(void);
static const char *check_names[512], *check_current = "";
static check_function check_functions[512];
static size_t check_count;

#define TEST(NAME)                                                 \
  static void NAME(void);                                          \
  __attribute__((constructor)) static void register_##NAME(void) { \
    check_names[check_count] = #NAME;                              \
    check_functions[check_count++] = NAME;                         \
  }                                                                \
  static void NAME(void)
#define CHECK(EXPRESSION) ((EXPRESSION) ? (void)0 : check_fail(__FILE__, __LINE__, #EXPRESSION, "", ""))
#define CHECK_TEXT(ACTUAL, EXPECTED) check_text(ACTUAL, EXPECTED, __FILE__, __LINE__, #ACTUAL)

static inline void check_fail(const char *file, int line, const char *expression, const char *actual,
                              const char *wanted) {
  printf("not ok %s: %s:%d %s%s%s\n", check_current, strrchr(file, '/') + 1, line, expression, actual, wanted);
  fflush(stdout);
  _exit(1);
}
static inline void check_text(const char *actual, const char *expected, const char *file, int line, const char *name) {
  char is[2000], wanted[2000];
  snprintf(is, sizeof is, " is \"%.1900s\"", actual ? actual : "(NULL)");
  snprintf(wanted, sizeof wanted, ", not \"%.1900s\"", expected);
  if (!actual || strcmp(actual, expected) != 0) check_fail(file, line, name, is, wanted);
}

int main(int count, char **parts) {
  int run = 0, failed = 0, status = 0;
  for (size_t i = 0; i < check_count; ++i) {
    int wanted = count < 2;
    for (int part = 1; part < count; ++part) wanted |= strstr(check_names[i], parts[part]) != NULL;
    if (!wanted) continue;
    char folder[] = "/tmp/dbc-api-XXXXXX", command[64];
    if (!mkdtemp(folder) || chmod(folder, 0755) != 0 || fflush(stdout) != 0) return 2;
    pid_t child = fork();
    if (child == 0) {
      check_current = check_names[i];
      if (chdir(folder) != 0) _exit(99);
      // A hang is a failure too. CHECK_SECONDS: where everything is slow.
      alarm(getenv("CHECK_SECONDS") ? (unsigned)atoi(getenv("CHECK_SECONDS")) : 300);
      check_functions[i]();
      exit(0);  // not _exit: a leak checker looks now
    }
    waitpid(child, &status, 0);
    ++run, failed += status != 0;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) printf("# left behind: %s\n", folder);
    if (status == 0) printf("ok %s\n", check_names[i]);
    if (WIFSIGNALED(status)) printf("not ok %s: signal %d\n", check_names[i], WTERMSIG(status));
    if (WIFEXITED(status) && WEXITSTATUS(status) > 1)
      printf("not ok %s: exit code %d\n", check_names[i], WEXITSTATUS(status));
  }
  printf("1..%d\n", run);
  return failed != 0 || run == 0;
}
