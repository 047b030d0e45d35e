#include "codegen/process.h"

#include <errno.h>
#include <pthread.h>
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

void process_side_by_side(int count, void *(*work)(void *), void *user) {
  enum { STACK_BYTES = 64 << 20, THREADS_MAX = 64 };
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  pthread_t threads[THREADS_MAX];
  int wanted = process_cores(), started = 0;
  if (wanted > count) wanted = count;
  if (wanted > THREADS_MAX) wanted = THREADS_MAX;
  while (started < wanted && !pthread_create(&threads[started], &attributes, work, user)) ++started;
  if (!started) work(user);
  for (int t = 0; t < started; ++t) pthread_join(threads[t], NULL);
  pthread_attr_destroy(&attributes);
}
