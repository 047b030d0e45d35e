#include "codegen/cuda/nvrtc.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static nvrtc library;
static lmn_error problem;
static pthread_once_t once = PTHREAD_ONCE_INIT;

// Where scripts/setup --nvrtc puts it: a folder of the user's.
static void *open_own(void) {
  const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
  text path = {0};
  if (xdg && *xdg) text_printf(&path, "%s/lmnc/nvrtc/libnvrtc.so.13", xdg);
  else if (home && *home) text_printf(&path, "%s/.local/share/lmnc/nvrtc/libnvrtc.so.13", home);
  void *found = path.data ? dlopen(path.data, RTLD_NOW | RTLD_LOCAL) : NULL;
  text_free(&path);
  return found;
}

static void *open_library(void) {
  static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12", "/usr/local/cuda/lib64/libnvrtc.so",
                                      "/usr/local/cuda/lib/libnvrtc.so", "libnvrtc.so"};
  const char *own = getenv("LMN_NVRTC");
  if (own && *own) return dlopen(own, RTLD_NOW | RTLD_LOCAL);
  void *found = open_own();
  for (size_t i = 0; !found && i < LENGTH(names); ++i) found = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  return found;
}

static void open_once(void) {
  const char *own = getenv("LMN_NVRTC");
  void *handle = open_library();
  if (!handle) {
    const char *cause = dlerror();
    if (own && *own)
      fail(&problem, "LMN_NVRTC=%s: %s; it names the file libnvrtc.so.13 or .12", own, cause ? cause : "");
    else
      fail(&problem, "kernels for a GPU are compiled by NVRTC, and libnvrtc.so.13 or .12 is not there; install it "
                     "(scripts/setup --nvrtc does, from PyPI's nvidia-cuda-nvrtc; so does the CUDA toolkit), and say "
                     "LMN_NVRTC=FILE if it lies in no folder of the system");
    return;
  }
  const struct {
    const char *name;
    void *to;
  } functions[] = {
      {"nvrtcGetErrorString", &library.error_string},
      {"nvrtcVersion", &library.version},
      {"nvrtcCreateProgram", &library.create},
      {"nvrtcDestroyProgram", &library.destroy},
      {"nvrtcCompileProgram", &library.compile},
      {"nvrtcGetProgramLogSize", &library.log_size},
      {"nvrtcGetProgramLog", &library.log},
      {"nvrtcGetCUBINSize", &library.cubin_size},
      {"nvrtcGetCUBIN", &library.cubin},
      {"nvrtcGetPTXSize", &library.ptx_size},
      {"nvrtcGetPTX", &library.ptx},
  };
  for (size_t i = 0; i < LENGTH(functions); ++i) {
    void *function = dlsym(handle, functions[i].name);
    if (!function) {
      fail(&problem, "NVRTC has no %s: it is too old; version 12.1 or later is needed", functions[i].name);
      return;
    }
    memcpy(functions[i].to, &function, sizeof function);
  }
  int result = library.version(&library.major, &library.minor);
  if (result) fail(&problem, "NVRTC does not say its version: %s", library.error_string(result));
  else if (library.major < 12 || (library.major == 12 && library.minor < 1)) // the first with parameters over 4 KB
    fail(&problem, "NVRTC is of version %d.%d; 12.1 or later is needed", library.major, library.minor);
}

const nvrtc *nvrtc_open(lmn_error *error) {
  pthread_once(&once, open_once);
  if (!problem.text[0]) return &library;
  fail(error, "%s", problem.text);
  return NULL;
}
