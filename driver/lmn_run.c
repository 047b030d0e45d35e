// lmn-run: runs compiled networks on a machine without the compiler.
#include "driver/run_options.h"
#include "driver/tune.h"

#include <stdio.h>
#include <string.h>

bool source_open(network_source *s, const source_request *request, lmn_error *error) {
  *s = (network_source){.request = request, .arena = arena_create()};
  bool ok = artifact_is(request->net)
                ? artifact_open(s, error)
                : fail(error, "%s: is no compiled network; make one with lmnc compile NET -o net.lmnx", request->net);
  if (!ok) source_close(s);
  return ok;
}

void source_close(network_source *s) {
  lmn_close(s->opened);
  arena_destroy(s->arena);
  *s = (network_source){0};
}

const char *source_artifact(network_source *s, const entry_wanted *wanted, int count, lmn_error *error) {
  return artifact_has(s, wanted, count, error) ? s->request->net : NULL;
}

lmn_network *source_network(network_source *s, const entry_wanted *wanted, int count, uint64_t seed, lmn_error *error) {
  if (!artifact_has(s, wanted, count, error) || !artifact_fits(s->opened, wanted, count, error) ||
      !lmn_load(s->opened, seed, error))
    return NULL;
  lmn_network *n = s->opened;
  s->opened = NULL; // the caller's now
  return n;
}

static const char usage[] =
    "lmn-run runs networks that lmnc has compiled.\n\n"
    "usage: lmn-run COMMAND net.lmnx [options]\n\n"
    "commands: train, eval, generate, trace, bench, tune (each has --help)\n\n"
    "example:\n  lmn-run generate net.lmnx --init run/parameters.safetensors --prompt 'Once upon a time'\n";

static int run_named(int argc, char **argv) {
  if (argc < 2) {
    fputs(usage, stderr);
    return 2;
  }
  if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) return fputs(usage, stdout) < 0;
  if (!strcmp(argv[1], "--version")) return printf("lmn-run %s\n", LMN_VERSION) < 0;
  if (!strcmp(argv[1], "tune")) return tune_run_command(argc - 1, argv + 1);
  int status = run_command_named(argv[1], argc - 1, argv + 1);
  if (status >= 0) return status;
  fprintf(stderr, "error: there is no command \"%s\"; lmn-run has train, eval, generate, trace, bench and tune\n",
          argv[1]);
  return 2;
}

int main(int argc, char **argv) {
  options_program = "lmn-run";
  program_begin();
  return program_end(run_named(argc, argv));
}
