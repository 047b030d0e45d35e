// safetensors files: 8 bytes of header length, a JSON header, the tensors' bytes. Read by mapping them, written as a
// stream.
#ifndef LMN_SAFETENSORS_H
#define LMN_SAFETENSORS_H

#include "runtime/base.h"

typedef enum {
  STORED_F64,
  STORED_F32,
  STORED_F16,
  STORED_BF16,
  STORED_I64,
  STORED_I32,
  STORED_I16,
  STORED_I8,
  STORED_U8,
  STORED_BOOL,
  STORED_OTHER // known to others (float8, complex, …): such a tensor may be in a file, but not be read
} stored_type;

enum { SAFETENSORS_RANK = 8 };

typedef struct safetensors_tensor {
  const char *name, *file; // the file that has it: one of several where the model is sharded
  stored_type type;
  const char *type_name; // as the file says: "F32", "BF16"
  int rank;
  int64_t shape[SAFETENSORS_RANK], elements;
  const unsigned char *data; // mapped, of any alignment; of `bytes` bytes
  size_t bytes;
  int shard;
} safetensors_tensor;

typedef struct safetensors safetensors;

// Opens a .safetensors file, or a model directory: its model.safetensors, or every shard that its
// model.safetensors.index.json names. The header is checked whole (JSON, types, sizes, offsets within the file, no
// overlap, no hole). NULL with a message on any fault.
safetensors *safetensors_open(const char *path, lmn_error *error);
void safetensors_close(safetensors *s); // NULL: nothing
int safetensors_count(const safetensors *s);
const safetensors_tensor *safetensors_at(const safetensors *s, int index);
const safetensors_tensor *safetensors_find(const safetensors *s, const char *name); // NULL: none
const char *safetensors_metadata(const safetensors *s, const char *key);            // of the first file; NULL: none

// Elements [begin, begin + count) as float32 (exact from F16 and BF16, rounded from F64 and integers) or as int32
// (integers only; one that does not fit is an error). False where the type cannot be read, or the file has been cut
// since it was opened.
bool safetensors_floats(const safetensors *s, const safetensors_tensor *t, int64_t begin, int64_t count, float *out,
                        lmn_error *error);
bool safetensors_integers(const safetensors *s, const safetensors_tensor *t, int64_t begin, int64_t count, int32_t *out,
                          lmn_error *error);

// "[3, 4]", in `buffer`.
enum { SAFETENSORS_SHAPE_TEXT = 24 * SAFETENSORS_RANK };
const char *safetensors_shape_text(int rank, const int64_t *shape, char buffer[SAFETENSORS_SHAPE_TEXT]);

typedef struct safetensors_item {
  const char *name;
  stored_type type; // not STORED_OTHER
  int rank;
  int64_t shape[SAFETENSORS_RANK];
  const void *data;
} safetensors_item;
typedef struct safetensors_pair {
  const char *key, *value;
} safetensors_pair;

// Writes a file aside, syncs it and renames it over `path`. Header keys are sorted; the data are ordered by element
// size, then name, so that every tensor is aligned to its type. Names must differ.
bool safetensors_write(const char *path, const safetensors_item *items, int count, const safetensors_pair *metadata,
                       int metadata_count, lmn_error *error);

#endif
