// A process for each training. What a back end keeps, leaks or breaks in one point does not reach the next, the peak
// of its memory is its own, and a point that crashes is a failed point.
#include "driver/sweep/sweep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static sweep_shared *to_stop;
static void ask_to_stop(int number) { to_stop->stop = number; }

// A second signal ends the process as usual, and with it the one that trains.
void sweep_catch_signals(sweep *s) {
  to_stop = s->shared;
  struct sigaction action = {.sa_handler = ask_to_stop, .sa_flags = (int)SA_RESETHAND};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

// A terminal's Ctrl-C reaches both processes: the one that trains only listens to shared->stop.
static void become_worker(pid_t parent) {
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
}

static bool describe_end(sweep *s, int status) {
  lmn_error *error = &s->shared->error;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
  if (s->shared->stop) return false;
  if (WIFSIGNALED(status)) {
    *error = (lmn_error){0};
    return fail(error, "the process was ended by signal %d (%s)%s", WTERMSIG(status), strsignal(WTERMSIG(status)),
                WTERMSIG(status) == SIGKILL ? "; is there too little memory?" : "");
  }
  return fail(error, "the process ended with status %d", WEXITSTATUS(status));
}

bool sweep_process(sweep *s, bool (*work)(sweep *s, void *context), void *context) {
  s->shared->error = (lmn_error){0};
  fflush(NULL);
  pid_t parent = getpid(), child = fork();
  if (child < 0) return fail(&s->shared->error, "no process can be started: %s", strerror(errno));
  if (child == 0) {
    become_worker(parent);
    exit(work(s, context) ? 0 : 1);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return fail(&s->shared->error, "the process is lost: %s", strerror(errno));
  return describe_end(s, status);
}
