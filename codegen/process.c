#include "codegen/process.h"

#include <errno.h>
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int process_run(char *const *command, int output_of, text *output) {
  int ends[2];
  if (pipe(ends)) return -1;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], output_of);
  posix_spawn_file_actions_addclose(&actions, ends[0]);
  posix_spawn_file_actions_addclose(&actions, ends[1]);
  pid_t child;
  int problem = posix_spawnp(&child, command[0], &actions, NULL, command, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  char buffer[1024];
  for (ssize_t n; !problem && ((n = read(ends[0], buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR));)
    if (n > 0) text_add_bytes(output, buffer, (size_t)n);
  close(ends[0]);
  int status = -1;
  while (!problem && waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return problem ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

int process_cores(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}
