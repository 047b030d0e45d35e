#include "runtime/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/safetensors_type.h"

static const uint64_t limit_header = 100000000; // the format's own

struct shard {
  const char *path;
  int descriptor;
  unsigned char *map;
  size_t size;
};

struct safetensors {
  arena *memory;
  struct shard *shards;
  int shard_count, shard_capacity;
  safetensors_tensor *tensors;
  int count, capacity;
  int *slots; // open addressing by name: index of a tensor, or -1
  size_t slot_count;
  safetensors_pair *metadata;
  int metadata_count, metadata_capacity;
};

static const safetensors_tensor *lookup(const safetensors *s, const char *name, size_t *slot) {
  size_t i = hash_bytes(HASH_START, name, strlen(name)) & (s->slot_count - 1);
  while (s->slots[i] >= 0 && strcmp(s->tensors[s->slots[i]].name, name)) i = (i + 1) & (s->slot_count - 1);
  *slot = i;
  return s->slots[i] < 0 ? NULL : &s->tensors[s->slots[i]];
}

static void index_names(safetensors *s) {
  s->slot_count = 16;
  while (s->slot_count < (size_t)s->count * 2) s->slot_count *= 2;
  free(s->slots);
  s->slots = memory_alloc(s->slot_count * sizeof *s->slots);
  memset(s->slots, -1, s->slot_count * sizeof *s->slots);
  for (int i = 0; i < s->count; ++i) {
    size_t slot;
    if (!lookup(s, s->tensors[i].name, &slot)) s->slots[slot] = i;
  }
}

static bool read_shape(const json_t *shape, safetensors_tensor *t, const char *path, lmn_error *error) {
  if (!json_is_array(shape) || json_array_size(shape) > SAFETENSORS_RANK)
    return fail(error, "%s: tensor \"%s\": shape must be a list of at most %d sizes; the header is damaged", path,
                t->name, SAFETENSORS_RANK);
  t->rank = (int)json_array_size(shape);
  t->elements = 1;
  for (int i = 0; i < t->rank; ++i) {
    const json_t *size = json_array_get(shape, (size_t)i);
    t->shape[i] = json_integer_value(size);
    if (!json_is_integer(size) || t->shape[i] < 0 || __builtin_mul_overflow(t->elements, t->shape[i], &t->elements) ||
        t->elements > INT64_MAX / 8)
      return fail(error, "%s: tensor \"%s\": shape[%d] is not a size that can be; the header is damaged", path, t->name,
                  i);
  }
  return true;
}

// One entry of the header: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}.
static bool read_tensor(safetensors *s, int shard, size_t header, const char *name, const json_t *entry,
                        lmn_error *error) {
  const struct shard *file = &s->shards[shard];
  safetensors_tensor t = {.name = arena_string(s->memory, name), .file = file->path, .shard = shard};
  const char *type = json_string_value(json_object_get(entry, "dtype"));
  if (!type) return fail(error, "%s: tensor \"%s\" has no dtype; the header is damaged", file->path, name);
  t.type = stored_type_named(type);
  t.type_name = arena_string(s->memory, type);
  if (!read_shape(json_object_get(entry, "shape"), &t, file->path, error)) return false;
  const json_t *offsets = json_object_get(entry, "data_offsets");
  const json_t *from = json_array_get(offsets, 0), *to = json_array_get(offsets, 1);
  if (json_array_size(offsets) != 2 || !json_is_integer(from) || !json_is_integer(to) || json_integer_value(from) < 0 ||
      json_integer_value(to) < json_integer_value(from))
    return fail(error, "%s: tensor \"%s\": data_offsets must be two growing offsets; the header is damaged", file->path,
                name);
  size_t begin = (size_t)json_integer_value(from), end = (size_t)json_integer_value(to),
         available = file->size - header;
  if (end > available)
    return fail(
        error,
        "%s: tensor \"%s\" ends at byte %zu of the data, of which the file has %zu; it is cut short, get it again",
        file->path, name, end, available);
  t.data = file->map + header + begin;
  t.bytes = end - begin;
  size_t element = stored_type_size(t.type);
  if (element && t.bytes != (size_t)t.elements * element)
    return fail(error, "%s: tensor \"%s\" has %zu bytes; its shape and dtype %s need %zu; the header is damaged",
                file->path, name, t.bytes, t.type_name, (size_t)t.elements * element);
  GROW(s->tensors, s->count, s->capacity);
  s->tensors[s->count++] = t;
  return true;
}

static int by_place(const void *a, const void *b) {
  const safetensors_tensor *const *x = a, *const *y = b;
  if ((*x)->data != (*y)->data) return (*x)->data < (*y)->data ? -1 : 1;
  return ((*x)->bytes > (*y)->bytes) - ((*x)->bytes < (*y)->bytes);
}

// As the format wants it, the tensors from `first` on cover the data of their file exactly once.
static bool check_cover(const safetensors *s, int first, const struct shard *file, size_t header, lmn_error *error) {
  int count = s->count - first;
  const safetensors_tensor **sorted = memory_alloc((size_t)count * sizeof *sorted);
  for (int i = 0; i < count; ++i) sorted[i] = &s->tensors[first + i];
  qsort(sorted, (size_t)count, sizeof *sorted, by_place);
  const unsigned char *end = file->map + header;
  bool ok = true;
  for (int i = 0; ok && i < count; ++i) {
    if (sorted[i]->data != end)
      ok = fail(error, "%s: tensor \"%s\" %s; the header is damaged", file->path, sorted[i]->name,
                sorted[i]->data < end ? "overlaps the tensor before it" : "does not follow the tensor before it");
    end = sorted[i]->data + sorted[i]->bytes;
  }
  free(sorted);
  size_t rest = (size_t)(file->map + file->size - end);
  if (ok && rest)
    return fail(error, "%s: has %zu bytes behind its last tensor; the file is damaged, get it again", file->path, rest);
  return ok;
}

static bool read_metadata(safetensors *s, const struct shard *file, const json_t *entry, lmn_error *error) {
  const char *key;
  const json_t *value;
  if (!json_is_object(entry))
    return fail(error, "%s: __metadata__ must be an object of strings; the header is damaged", file->path);
  json_object_foreach((json_t *)entry, key, value) {
    if (!json_is_string(value))
      return fail(error, "%s: __metadata__ must be an object of strings; the header is damaged", file->path);
    if (s->shard_count > 1) continue;
    GROW(s->metadata, s->metadata_count, s->metadata_capacity);
    s->metadata[s->metadata_count++] =
        (safetensors_pair){arena_string(s->memory, key), arena_string(s->memory, json_string_value(value))};
  }
  return true;
}

static bool read_header(safetensors *s, int shard, json_t *root, size_t header, lmn_error *error) {
  int first = s->count;
  const char *name;
  json_t *entry;
  if (!json_is_object(root))
    return fail(error, "%s: the header must be a JSON object; the file is damaged", s->shards[shard].path);
  json_object_foreach(root, name, entry) {
    bool ok = strcmp(name, "__metadata__") ? read_tensor(s, shard, header, name, entry, error)
                                           : read_metadata(s, &s->shards[shard], entry, error);
    if (!ok) return false;
  }
  return check_cover(s, first, &s->shards[shard], header, error);
}

static bool map_file(struct shard *file, lmn_error *error) {
  file->descriptor = open(file->path, O_RDONLY | O_CLOEXEC);
  if (file->descriptor < 0) return fail(error, "%s: cannot be opened: %s", file->path, strerror(errno));
  struct stat status;
  if (fstat(file->descriptor, &status) || !S_ISREG(status.st_mode))
    return fail(error, "%s: is not a regular file", file->path);
  if (status.st_size < 8)
    return fail(error, "%s: has %lld bytes, too few for a safetensors file; get it again", file->path,
                (long long)status.st_size);
  file->size = (size_t)status.st_size;
  void *map = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, file->descriptor, 0);
  if (map == MAP_FAILED) return fail(error, "%s: cannot be mapped: %s", file->path, strerror(errno));
  file->map = map;
  return true;
}

static bool open_file(safetensors *s, const char *path, lmn_error *error) {
  GROW(s->shards, s->shard_count, s->shard_capacity);
  struct shard *file = &s->shards[s->shard_count++];
  *file = (struct shard){.path = arena_string(s->memory, path), .descriptor = -1};
  if (!map_file(file, error)) return false;
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | file->map[i];
  if (length > limit_header || length > file->size - 8)
    return fail(error,
                "%s: says that its header has %llu bytes, the file has %zu; it is cut short, or not a safetensors file",
                path, (unsigned long long)length, file->size);
  // A git-lfs pointer, an HTML page and the like end above; what passes is parsed whole, with no byte behind the object
  // but spaces.
  json_error_t cause;
  json_t *root = json_loadb((const char *)file->map + 8, (size_t)length, JSON_REJECT_DUPLICATES, &cause);
  if (!root)
    return fail(error, "%s: header, byte %d: %s; the file is damaged, get it again", path, cause.position + 8,
                cause.text);
  bool ok = read_header(s, s->shard_count - 1, root, (size_t)length + 8, error);
  json_decref(root);
  return ok;
}

// Opens the shards that the index names, then keeps of each what the index says it gives.
static bool open_shards(safetensors *s, const char *directory, const char *index, const json_t *map, lmn_error *error) {
  const char *name;
  const json_t *value;
  if (!json_object_size(map)) return fail(error, "%s: has no weight_map; get the file again", index);
  json_object_foreach((json_t *)map, name, value) {
    const char *file = json_string_value(value);
    if (!file || !*file || strchr(file, '/') || !strcmp(file, ".."))
      return fail(error, "%s: weight_map: \"%s\" must name a file in the same folder", index, name);
    const char *path = arena_printf(s->memory, "%s/%s", directory, file);
    int i = 0;
    while (i < s->shard_count && strcmp(s->shards[i].path, path)) ++i;
    if (i == s->shard_count && !open_file(s, path, error)) return fail_in(error, "%s names this file", index);
  }
  int kept = 0;
  for (int i = 0; i < s->count; ++i) {
    const char *file = json_string_value(json_object_get(map, s->tensors[i].name));
    if (file && !strcmp(file, strrchr(s->tensors[i].file, '/') + 1)) s->tensors[kept++] = s->tensors[i];
  }
  s->count = kept;
  index_names(s);
  json_object_foreach((json_t *)map, name, value) {
    if (!safetensors_find(s, name))
      return fail(error, "%s: weight_map: \"%s\" is not in %s; get both again", index, name, json_string_value(value));
  }
  return true;
}

static bool open_directory(safetensors *s, const char *directory, lmn_error *error) {
  const char *single = arena_printf(s->memory, "%s/model.safetensors", directory);
  const char *index = arena_printf(s->memory, "%s/model.safetensors.index.json", directory);
  if (file_exists(single)) return open_file(s, single, error);
  if (!file_exists(index)) {
    static const char *const pickles[] = {"pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt",
                                          "consolidated.00.pth"};
    for (size_t i = 0; i < LENGTH(pickles); ++i)
      if (file_exists(arena_printf(s->memory, "%s/%s", directory, pickles[i])))
        return fail(error,
                    "%s: has %s only, which is a Python pickle and is not read; save it as safetensors: "
                    "AutoModelForCausalLM.from_pretrained(\"%s\").save_pretrained(\"%s\")",
                    directory, pickles[i], directory, directory);
    return fail(error,
                "%s: has neither model.safetensors nor model.safetensors.index.json; --random-weights does without",
                directory);
  }
  char *data;
  size_t length;
  if (!file_read(index, 1 << 28, &data, &length, error)) return false;
  json_error_t cause;
  json_t *root = json_loadb(data, length, JSON_REJECT_DUPLICATES, &cause);
  free(data);
  if (!root) return fail(error, "%s:%d:%d: %s; get the file again", index, cause.line, cause.column, cause.text);
  bool ok = open_shards(s, directory, index, json_object_get(root, "weight_map"), error);
  json_decref(root);
  return ok;
}

safetensors *safetensors_open(const char *path, lmn_error *error) {
  safetensors *s = memory_zero(sizeof *s);
  s->memory = arena_create();
  bool directory = directory_exists(path);
  if (directory ? open_directory(s, path, error) : open_file(s, path, error)) {
    index_names(s);
    return s;
  }
  safetensors_close(s);
  return NULL;
}

void safetensors_close(safetensors *s) {
  if (!s) return;
  for (int i = 0; i < s->shard_count; ++i) {
    if (s->shards[i].map) munmap(s->shards[i].map, s->shards[i].size);
    if (s->shards[i].descriptor >= 0) close(s->shards[i].descriptor);
  }
  free(s->shards);
  free(s->tensors);
  free(s->slots);
  free(s->metadata);
  arena_destroy(s->memory);
  free(s);
}

int safetensors_count(const safetensors *s) { return s->count; }

const safetensors_tensor *safetensors_at(const safetensors *s, int index) { return &s->tensors[index]; }

const safetensors_tensor *safetensors_find(const safetensors *s, const char *name) {
  size_t slot;
  return lookup(s, name, &slot);
}

const char *safetensors_metadata(const safetensors *s, const char *key) {
  for (int i = 0; i < s->metadata_count; ++i)
    if (!strcmp(s->metadata[i].key, key)) return s->metadata[i].value;
  return NULL;
}

// Reading a mapped page that the file no longer has would end the program, so its size is asked again.
static bool readable(const safetensors *s, const safetensors_tensor *t, int64_t begin, int64_t count,
                     lmn_error *error) {
  const struct shard *file = &s->shards[t->shard];
  struct stat status;
  if (begin < 0 || count < 0 || begin > t->elements - count)
    return fail(error, "%s: tensor \"%s\" has %lld elements; %lld from %lld on were asked for", t->file, t->name,
                (long long)t->elements, (long long)count, (long long)begin);
  if (fstat(file->descriptor, &status) || (uint64_t)status.st_size < file->size)
    return fail(error, "%s: the file was cut while it was open; get it again", t->file);
  return true;
}

bool safetensors_floats(const safetensors *s, const safetensors_tensor *t, int64_t begin, int64_t count, float *out,
                        lmn_error *error) {
  if (!readable(s, t, begin, count, error)) return false;
  if (stored_to_floats(t->type, t->data + (size_t)begin * stored_type_size(t->type), count, out)) return true;
  return fail(error, "%s: tensor \"%s\" has dtype %s; F32, F16, BF16, F64 and integers are read; convert the file",
              t->file, t->name, t->type_name);
}

bool safetensors_integers(const safetensors *s, const safetensors_tensor *t, int64_t begin, int64_t count, int32_t *out,
                          lmn_error *error) {
  if (!readable(s, t, begin, count, error)) return false;
  int64_t bad = stored_to_integers(t->type, t->data + (size_t)begin * stored_type_size(t->type), count, out);
  if (bad == count) return true;
  if (bad < 0)
    return fail(error, "%s: tensor \"%s\" has dtype %s; it must be of integers (I64 or I32)", t->file, t->name,
                t->type_name);
  return fail(error, "%s: tensor \"%s\": element %lld does not fit 32 bits", t->file, t->name,
              (long long)(begin + bad));
}

const char *safetensors_shape_text(int rank, const int64_t *shape, char buffer[SAFETENSORS_SHAPE_TEXT]) {
  int length = snprintf(buffer, SAFETENSORS_SHAPE_TEXT, "[");
  for (int i = 0; i < rank && i < SAFETENSORS_RANK; ++i)
    length += snprintf(buffer + length, (size_t)(SAFETENSORS_SHAPE_TEXT - length), "%s%lld", i ? ", " : "",
                       (long long)shape[i]);
  snprintf(buffer + length, (size_t)(SAFETENSORS_SHAPE_TEXT - length), "]");
  return buffer;
}
