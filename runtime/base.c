#include "runtime/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

bool fail(lmn_error *error, const char *format, ...) {
  if (!error || error->text[0]) return false;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error->text, sizeof error->text, format, arguments);
  va_end(arguments);
  return false;
}

bool fail_in(lmn_error *error, const char *format, ...) {
  if (!error) return false;
  char before[sizeof error->text], cause[sizeof error->text];
  memcpy(cause, error->text, sizeof cause);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(before, sizeof before, format, arguments);
  va_end(arguments);
  int room = (int)sizeof error->text - 3;
  snprintf(error->text, sizeof error->text, "%.*s: %.*s", room / 2, before, room / 2, cause);
  return false;
}

// ---- temporary files ----------------------------------------------------------------------------

struct temporary {
  struct temporary *next;
  char path[];
};
static struct temporary *temporaries;
static pthread_mutex_t temporaries_lock = PTHREAD_MUTEX_INITIALIZER; // nothing is allocated while it is held
static pid_t temporaries_owner;

static void remove_temporaries(void) {
  if (getpid() != temporaries_owner) return;
  pthread_mutex_lock(&temporaries_lock);
  for (struct temporary *t = temporaries; t; t = t->next) directory_remove(t->path);
  pthread_mutex_unlock(&temporaries_lock);
}

void temporary_add(const char *path) {
  size_t bytes = strlen(path) + 1;
  struct temporary *t = memory_alloc(sizeof *t + bytes);
  memcpy(t->path, path, bytes);
  pthread_mutex_lock(&temporaries_lock);
  bool first = !temporaries_owner;
  t->next = temporaries_owner == getpid() ? temporaries : NULL;
  temporaries_owner = getpid();
  temporaries = t;
  pthread_mutex_unlock(&temporaries_lock);
  if (first) atexit(remove_temporaries);
}

void temporary_drop(const char *path) {
  pthread_mutex_lock(&temporaries_lock);
  struct temporary **at = &temporaries, *found;
  while (*at && strcmp((*at)->path, path)) at = &(*at)->next;
  if ((found = *at)) *at = found->next;
  pthread_mutex_unlock(&temporaries_lock);
  free(found);
}

// ---- memory -------------------------------------------------------------------------------------

static pthread_t ending; // the thread that ends the process

// Libraries do not check all of their allocations: a thread that stumbles over the same lack waits for the end.
static void wait_for_end(int number) {
  (void)number;
  if (pthread_equal(pthread_self(), ending)) _exit(1);
  for (;;) pause();
}

// Not by exit: other threads may be at work, and would find what its destructors leave.
void memory_exhausted(size_t bytes) {
  static atomic_flag told = ATOMIC_FLAG_INIT;
  while (atomic_flag_test_and_set(&told)) pause();
  ending = pthread_self();
  static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT};
  for (size_t i = 0; i < LENGTH(crashes); ++i) signal(crashes[i], wait_for_end);
  char needed[64] = "";
  if (bytes) snprintf(needed, sizeof needed, ": %zu bytes more were needed", bytes);
  fprintf(stderr, "error: out of memory%s; use a smaller network, batch or length\n", needed);
  remove_temporaries();
  _exit(1);
}

static void *memory_or_exit(void *memory, size_t bytes) {
  if (!memory) memory_exhausted(bytes);
  return memory;
}

void *memory_alloc(size_t bytes) { return memory_or_exit(malloc(bytes ? bytes : 1), bytes); }
void *memory_zero(size_t bytes) { return memory_or_exit(calloc(1, bytes ? bytes : 1), bytes); }
void *memory_grow(void *memory, size_t bytes) { return memory_or_exit(realloc(memory, bytes ? bytes : 1), bytes); }

// jansson returns NULL where memory is short, deep inside what it builds: no caller could say more than we do.
__attribute__((constructor)) static void share_memory(void) { json_set_alloc_funcs(memory_alloc, free); }
void *memory_copy(const void *bytes, size_t length) { return memcpy(memory_alloc(length), bytes, length); }
char *memory_string(const char *string) { return memory_copy(string, strlen(string) + 1); }

// ---- arenas -------------------------------------------------------------------------------------

// Blocks form a list, the newest first; a request larger than a block gets one of its own.
struct block {
  struct block *next;
  size_t used, size;
  _Alignas(16) char bytes[];
};
struct arena {
  struct block *blocks;
};

arena *arena_create(void) { return memory_zero(sizeof(arena)); }

void arena_destroy(arena *a) {
  if (!a) return;
  for (struct block *b = a->blocks, *next; b; b = next) {
    next = b->next;
    free(b);
  }
  free(a);
}

void *arena_alloc(arena *a, size_t bytes) {
  bytes = (bytes + 15) & ~(size_t)15;
  if (!a->blocks || a->blocks->size - a->blocks->used < bytes) {
    size_t size = bytes > 65536 ? bytes : 65536;
    struct block *b = memory_zero(sizeof *b + size);
    b->size = size;
    b->next = a->blocks;
    a->blocks = b;
  }
  void *result = a->blocks->bytes + a->blocks->used;
  a->blocks->used += bytes;
  return result;
}

char *arena_copy(arena *a, const void *bytes, size_t length) {
  char *copy = arena_alloc(a, length + 1);
  if (length) memcpy(copy, bytes, length);
  return copy;
}

char *arena_string(arena *a, const char *string) { return arena_copy(a, string, strlen(string)); }

char *arena_printf(arena *a, const char *format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  int length = vsnprintf(NULL, 0, format, arguments);
  char *result = arena_alloc(a, (size_t)length + 1);
  vsnprintf(result, (size_t)length + 1, format, again);
  va_end(again);
  va_end(arguments);
  return result;
}

// ---- text ---------------------------------------------------------------------------------------

void text_add_bytes(text *t, const void *bytes, size_t length) {
  if (t->length + length + 1 > t->capacity) {
    t->capacity = (t->length + length + 1) * 2;
    t->data = memory_grow(t->data, t->capacity);
  }
  if (length) memcpy(t->data + t->length, bytes, length);
  t->length += length;
  t->data[t->length] = 0;
}

void text_add(text *t, const char *string) { text_add_bytes(t, string, strlen(string)); }

void text_vprintf(text *t, const char *format, va_list arguments) {
  va_list again;
  va_copy(again, arguments);
  int length = vsnprintf(NULL, 0, format, arguments);
  char small[512], *buffer = (size_t)length < sizeof small ? small : memory_alloc((size_t)length + 1);
  vsnprintf(buffer, (size_t)length + 1, format, again);
  va_end(again);
  text_add_bytes(t, buffer, (size_t)length);
  if (buffer != small) free(buffer);
}

void text_printf(text *t, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  text_vprintf(t, format, arguments);
  va_end(arguments);
}

void text_free(text *t) {
  free(t->data);
  *t = (text){0};
}

int64_t memory_peak(void) {
  FILE *file = fopen("/proc/self/status", "r");
  char line[256];
  long long kilobytes = 0;
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, "VmHWM: %lld kB", &kilobytes) == 1) break;
  if (file) fclose(file);
  return (int64_t)kilobytes * 1024;
}

// ---- files --------------------------------------------------------------------------------------

bool fail_write(lmn_error *error, const char *path, int cause) {
  bool full = cause == ENOSPC || cause == EDQUOT || cause == EFBIG;
  return fail(error, "%s: cannot be written: %s; %s (an old file of this name is untouched)", path, strerror(cause),
              full ? "make room there, or choose a folder on another disk"
                   : "choose another folder, or change this one");
}

bool file_read(const char *path, size_t limit, char **data, size_t *length, lmn_error *error) {
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return fail(error, "%s: cannot be opened: %s", path, strerror(errno));
  struct stat status;
  if (fstat(descriptor, &status) || !S_ISREG(status.st_mode)) {
    close(descriptor);
    return fail(error, "%s: is not a regular file", path);
  }
  if ((uint64_t)status.st_size > limit) {
    close(descriptor);
    return fail(error, "%s: has %lld bytes; at most %zu are read", path, (long long)status.st_size, limit);
  }
  size_t size = (size_t)status.st_size, got = 0;
  char *buffer = memory_alloc(size + 1);
  while (got < size) {
    ssize_t n = read(descriptor, buffer + got, size - got);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    got += (size_t)n;
  }
  close(descriptor);
  if (got < size) {
    free(buffer);
    return fail(error, "%s: could be read only up to byte %zu of %zu: %s", path, got, size, strerror(errno));
  }
  buffer[size] = 0;
  *data = buffer;
  *length = size;
  return true;
}

static bool write_renamed(const char *path, const void *data, size_t length, bool sync, lmn_error *error) {
  text aside = {0};
  text_printf(&aside, "%s.tmp.%d", path, (int)getpid());
  temporary_add(aside.data);
  int descriptor = open(aside.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  bool ok = descriptor >= 0;
  for (size_t done = 0; ok && done < length;) {
    ssize_t n = write(descriptor, (const char *)data + done, length - done);
    if (n < 0 && errno == EINTR) continue;
    ok = n > 0;
    if (ok) done += (size_t)n;
  }
  ok = ok && (!sync || fsync(descriptor) == 0);
  int cause = errno;
  if (descriptor >= 0 && close(descriptor) && ok) ok = false, cause = errno;
  if (ok && rename(aside.data, path)) ok = false, cause = errno;
  if (!ok) {
    unlink(aside.data);
    fail_write(error, path, cause);
  }
  temporary_drop(aside.data);
  text_free(&aside);
  return ok;
}

bool file_write(const char *path, const void *data, size_t length, lmn_error *error) {
  return write_renamed(path, data, length, true, error);
}

bool file_write_unsynced(const char *path, const void *data, size_t length, lmn_error *error) {
  return write_renamed(path, data, length, false, error);
}

bool file_exists(const char *path) {
  struct stat status;
  return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

bool directory_exists(const char *path) {
  struct stat status;
  return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

bool directory_make(const char *path, lmn_error *error) {
  char *copy = memory_string(path);
  bool ok = true;
  for (char *p = copy + 1; ok; ++p) {
    if (*p && *p != '/') continue;
    char kept = *p;
    *p = 0;
    int cause = mkdir(copy, 0777) ? errno : 0;
    if (cause && cause != EEXIST && !directory_exists(copy))
      ok = fail(error, "%s: the folder cannot be made: %s; choose another place", copy, strerror(cause));
    *p = kept;
    if (!kept) break;
  }
  free(copy);
  return ok && (directory_exists(path) || fail(error, "%s: is not a folder; choose another name", path));
}

// Allocates nothing of its own: it is also called when there is no memory.
static bool remove_at(int folder, const char *name) {
  int inside = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (inside < 0) return unlinkat(folder, name, 0) == 0;
  DIR *directory = fdopendir(inside);
  bool ok = directory != NULL;
  if (!ok) close(inside);
  for (struct dirent *entry; directory && (entry = readdir(directory));)
    if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) ok &= remove_at(inside, entry->d_name);
  if (directory) closedir(directory);
  return unlinkat(folder, name, AT_REMOVEDIR) == 0 && ok;
}

bool directory_remove(const char *path) { return remove_at(AT_FDCWD, path); }

// ---- numbers ------------------------------------------------------------------------------------

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t length) {
  const unsigned char *p = bytes;
  for (size_t i = 0; i < length; ++i) hash = (hash ^ p[i]) * 0x100000001b3u;
  return hash;
}

uint64_t hash_words(uint64_t hash, const void *bytes, size_t length) {
  const unsigned char *p = bytes;
  uint64_t word;
  for (; length >= sizeof word; p += sizeof word, length -= sizeof word) {
    memcpy(&word, p, sizeof word);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93u; // a product moves bits upwards only, and one is not enough
    hash ^= hash >> 32;
  }
  return hash_bytes(hash, p, length);
}

double clock_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
