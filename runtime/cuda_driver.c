#include "runtime/cuda_driver.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static const char remedy[] = "install NVIDIA's driver, or compile the network with --target cpu";

const char *cuda_error_text(const cuda_driver *c, CUresult result, char out[CUDA_ERROR_TEXT]) {
  const char *name = NULL, *string = NULL;
  if (c->cuGetErrorName(result, &name) || !name) name = "an error that the driver does not know";
  if (c->cuGetErrorString(result, &string) || !string) string = "";
  snprintf(out, CUDA_ERROR_TEXT, "%s%s%s", name, *string ? ": " : "", string);
  return out;
}

const char *cuda_remedy(CUresult result) {
  switch (result) {
  case CUDA_ERROR_OUT_OF_MEMORY: return "; other programs may have its memory (nvidia-smi lists them)";
  case CUDA_ERROR_DEVICE_UNAVAILABLE:
    return "; another program may have it for itself (nvidia-smi lists them and the compute mode)";
  case CUDA_ERROR_SYSTEM_NOT_READY: return "; NVIDIA's fabric manager must run on this machine";
  case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
    return "; the driver's library and its kernel module are of two versions: start the machine again";
  default: return "";
  }
}

// The toolkit has a library of the same name to link against, in a folder "stubs": it only returns errors.
static bool is_stub(const void *function, const char **path) {
  Dl_info info;
  *path = dladdr(function, &info) && info.dli_fname ? info.dli_fname : "libcuda.so.1";
  return strstr(*path, "/stubs/") != NULL;
}

static bool fail_stub(const char *path, lmn_error *error) {
  return fail(error, "%s: is the CUDA toolkit's stub, no driver; take its folder out of LD_LIBRARY_PATH, and %s", path,
              remedy);
}

static bool resolve(cuda_driver *c, const char *path, lmn_error *error) {
#define RESOLVE(name, symbol, parameters)                                                                              \
  *(void **)&c->name = dlsym(c->library, #symbol);                                                                     \
  if (!c->name)                                                                                                        \
    return fail(error, "%s: NVIDIA's driver is too old: it has no " #symbol "; install one of CUDA 12 or newer", path);
  CUDA_DRIVER_FUNCTIONS(RESOLVE)
#undef RESOLVE
  return true;
}

static bool start(cuda_driver *c, lmn_error *error) {
  char text[CUDA_ERROR_TEXT];
  const char *path;
  if (is_stub(*(void **)&c->cuInit, &path)) return fail_stub(path, error);
  CUresult result = c->cuInit(0);
  int count = 0;
  if (result == CUDA_ERROR_STUB_LIBRARY) return fail_stub(path, error);
  if (!result) result = c->cuDriverGetVersion(&c->version);
  if (!result) result = c->cuDeviceGetCount(&count);
  if (result == CUDA_ERROR_NO_DEVICE || (!result && !count))
    return fail(error,
                "NVIDIA's driver shows no GPU%s%s; see nvidia-smi and CUDA_VISIBLE_DEVICES, or compile the network "
                "with --target cpu",
                result ? ": " : "", result ? cuda_error_text(c, result, text) : "");
  return !result || fail(error, "NVIDIA's driver, %s, cannot be started: %s%s; nvidia-smi may say more", path,
                         cuda_error_text(c, result, text), cuda_remedy(result));
}

bool cuda_driver_open(cuda_driver *c, lmn_error *error) {
  const char *said = getenv("LMN_CUDA_DRIVER"), *path = said && *said ? said : "libcuda.so.1";
  // It stays in the process: drivers do not like to be taken out of it.
  *c = (cuda_driver){.library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)};
  if (!c->library) {
    const char *cause = dlerror();
    return fail(error, "%s, NVIDIA's driver, cannot be opened (%s); %s", path, cause ? cause : "no cause is given",
                remedy);
  }
  if (resolve(c, path, error) && start(c, error)) return true;
  cuda_driver_close(c);
  return false;
}

void cuda_driver_close(cuda_driver *c) {
  if (c->library) dlclose(c->library);
  *c = (cuda_driver){0};
}
