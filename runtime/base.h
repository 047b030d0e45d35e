// What every folder stands on: errors that go up as values, arenas freed in one go, a growing text, files written aside
// and renamed.
#ifndef LMN_BASE_H
#define LMN_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define PRINTF_LIKE(string, first) __attribute__((format(printf, string, first)))

// One clear message: what is wrong, where (file, line or tensor), and the remedy. Empty text: no error.
typedef struct lmn_error {
  char text[2048];
} lmn_error;

// Formats the message into *error (ignored if NULL) and returns false, so that callers write `return fail(error, …)`.
// A message already there is kept: the first one is the cause.
bool fail(lmn_error *error, const char *format, ...) PRINTF_LIKE(2, 3);
// Puts "context: " before the message already in *error; returns false.
bool fail_in(lmn_error *error, const char *format, ...) PRINTF_LIKE(2, 3);

// Memory of one phase: allocations are zeroed, 16-byte aligned, and freed together. Out of memory ends the program with
// one message (see memory_or_exit): a compiler phase has nothing better to do.
typedef struct arena arena;
arena *arena_create(void);
void arena_destroy(arena *a);
void *arena_alloc(arena *a, size_t bytes);
char *arena_copy(arena *a, const void *bytes, size_t length); // adds a 0 after the copy
char *arena_string(arena *a, const char *string);
char *arena_printf(arena *a, const char *format, ...) PRINTF_LIKE(2, 3);
#define ARENA_NEW(a, type) ((type *)arena_alloc(a, sizeof(type)))
#define ARENA_ARRAY(a, type, count) ((type *)arena_alloc(a, sizeof(type) * (size_t)(count)))

// malloc, calloc and realloc that end the program with one message instead of returning NULL. jansson allocates by them
// too.
void *memory_alloc(size_t bytes);
void *memory_zero(size_t bytes);
void *memory_grow(void *memory, size_t bytes);
void *memory_copy(const void *bytes, size_t length);
char *memory_string(const char *string);
// That end: one message, temporary files and folders removed, exit status 1; from whatever thread. bytes 0: not known.
_Noreturn void memory_exhausted(size_t bytes);
int64_t memory_peak(void); // the most bytes that this process ever had; 0: not known

// Makes room for one more element in `array` of `count` elements with capacity `capacity` (all lvalues, malloc'ed).
#define GROW(array, count, capacity)                                                                                   \
  do {                                                                                                                 \
    if ((count) == (capacity)) {                                                                                       \
      (capacity) = (capacity) ? (capacity)*2 : 8;                                                                      \
      (array) = memory_grow((array), (size_t)(capacity) * sizeof *(array));                                            \
    }                                                                                                                  \
  } while (0)

// A growing string; `data` is always 0-terminated once anything was added. Free with text_free.
typedef struct text {
  char *data;
  size_t length, capacity;
} text;
void text_add(text *t, const char *string);
void text_add_bytes(text *t, const void *bytes, size_t length);
void text_printf(text *t, const char *format, ...) PRINTF_LIKE(2, 3);
void text_vprintf(text *t, const char *format, va_list arguments);
void text_free(text *t);

// Files and folders that must not outlive this process: what is added and not dropped again is removed when it exits,
// or has no memory left. A forked child leaves its parent's alone.
void temporary_add(const char *path);
void temporary_drop(const char *path);

// Files. read: the whole file, malloc'ed and 0-terminated, refused above `limit` bytes. write: to a temporary name
// beside `path`, synced, then renamed over it, so that a full disk or a crash leaves the old file.
bool file_read(const char *path, size_t limit, char **data, size_t *length, lmn_error *error);
bool file_write(const char *path, const void *data, size_t length, lmn_error *error);
// The same without waiting for the disk, for what is checked when it is read: after a power failure it may be cut
// short.
bool file_write_unsynced(const char *path, const void *data, size_t length, lmn_error *error);
// "path: cannot be written: cause; remedy", for an errno.
bool fail_write(lmn_error *error, const char *path, int cause);
bool file_exists(const char *path);
bool directory_exists(const char *path);
bool directory_make(const char *path, lmn_error *error); // with its parents
bool directory_remove(const char *path);                 // with its files

// 64-bit FNV-1a, for cache keys and for the seed of a tensor's own random stream.
uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t length);
// Another, eight bytes at a time: for what is long.
uint64_t hash_words(uint64_t hash, const void *bytes, size_t length);
#define HASH_START 0xcbf29ce484222325u

// random.c: counter-based random numbers (splitmix64): the same key gives the same stream on every machine.
typedef struct random_stream {
  uint64_t state;
} random_stream;
random_stream random_named(uint64_t seed, const char *name);
uint64_t random_next(random_stream *r);
void random_skip(random_stream *r, uint64_t count); // as that many calls of random_next
double random_uniform(random_stream *r);            // in [0, 1)
double random_normal(random_stream *r);
// mean + std times as many of them, in turn.
void random_normals(random_stream *r, double mean, double std, float *out, int64_t count);

double clock_seconds(void); // monotonic

#endif
