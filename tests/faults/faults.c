#include "tests/faults/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const fault_names[] = {"no fault",
                                   "an allocation fails",
                                   "no memory any more",
                                   "a file operation fails",
                                   "the disk is full",
                                   "short writes",
                                   "killed",
                                   "killed in a write"};

static fault_kind kind;
static int64_t at;
static _Atomic int64_t allocations, operations;

void fault_set(fault_kind which, int64_t n) {
  kind = which;
  at = n;
  allocations = operations = 0;
}

void fault_signals(void) {
  static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};
  for (size_t i = 0; i < sizeof crashes / sizeof *crashes; ++i) signal(crashes[i], SIG_DFL);
}

int64_t fault_allocations(void) { return allocations; }
int64_t fault_file_operations(void) { return operations; }
bool fault_reached(void) { return (kind == FAULT_MEMORY || kind == FAULT_NO_MEMORY ? allocations : operations) >= at; }

// ---- memory -------------------------------------------------------------------------------------

static bool memory_fails(void) {
  int64_t n = ++allocations;
  return (kind == FAULT_MEMORY && n == at) || (kind == FAULT_NO_MEMORY && n >= at);
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes) { return memory_fails() ? NULL : __real_malloc(bytes); }
void *__wrap_calloc(size_t count, size_t bytes) { return memory_fails() ? NULL : __real_calloc(count, bytes); }
void *__wrap_realloc(void *memory, size_t bytes) { return memory_fails() ? NULL : __real_realloc(memory, bytes); }
void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
  return memory_fails() ? NULL : __real_aligned_alloc(alignment, bytes);
}

// ---- files --------------------------------------------------------------------------------------

// Counts an operation. True: it fails, with errno.
static bool file_fails(bool needs_room) {
  int64_t n = ++operations;
  if (kind == FAULT_KILL && n == at) kill(getpid(), SIGKILL);
  bool fails = (kind == FAULT_DISK && n == at) || (kind == FAULT_FULL_DISK && n >= at && needs_room);
  if (fails) errno = ENOSPC;
  return fails;
}

ssize_t __real_write(int descriptor, const void *data, size_t bytes);
ssize_t __wrap_write(int descriptor, const void *data, size_t bytes) {
  if (file_fails(true)) return -1;
  bool dies = kind == FAULT_KILL_HALF && operations == at;
  if ((dies || kind == FAULT_SHORT_WRITES) && bytes > 1) bytes /= 2;
  ssize_t written = __real_write(descriptor, data, bytes);
  if (dies) kill(getpid(), SIGKILL);
  return written;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  if ((flags & O_CREAT) && file_fails(true)) return -1; // reading needs no room
  return __real_open(path, flags, mode);
}

// Not done: the disk would be waited for thousands of times. A kill loses nothing that was written, as a power cut
// would.
int __wrap_fsync(int descriptor) { return (void)descriptor, file_fails(true) ? -1 : 0; }

#define WRAP(name, needs_room, parameters, arguments)                                                                  \
  int __real_##name parameters;                                                                                        \
  int __wrap_##name parameters;                                                                                        \
  int __wrap_##name parameters { return file_fails(needs_room) ? -1 : __real_##name arguments; }
WRAP(rename, true, (const char *from, const char *to), (from, to))
WRAP(renameat2, true, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags))
WRAP(mkdir, true, (const char *path, mode_t mode), (path, mode))
WRAP(unlink, false, (const char *path), (path))
WRAP(unlinkat, false, (int folder, const char *path, int flags), (folder, path, flags))
WRAP(rmdir, false, (const char *path), (path))
WRAP(ftruncate, false, (int descriptor, off_t length), (descriptor, length))
