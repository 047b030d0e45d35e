#include "runtime/tiles.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 20 };

void tiles_free(tiles_file *f) {
  free(f->items);
  *f = (tiles_file){0};
}

const tiles_product *tiles_find(const tiles_file *f, const char *product) {
  for (int i = 0; i < f->count; ++i)
    if (!strcmp(f->items[i].product, product)) return &f->items[i];
  return NULL;
}

void tiles_set(tiles_file *f, tiles_product product) {
  tiles_product *there = (tiles_product *)tiles_find(f, product.product);
  if (!there) {
    GROW(f->items, f->count, f->capacity);
    there = &f->items[f->count++];
  }
  *there = product;
}

void tiles_path(text *path, const char *cache, const char *architecture, const char *gpu) {
  text_printf(path, "%s/tiles-%s-", cache, architecture);
  for (const char *c = gpu; *c; ++c) {
    bool plain = (*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z');
    text_add_bytes(path, plain ? c : "-", 1);
  }
  text_add(path, ".json");
}

// ---- reading and writing

static const char *text_of(arena *a, const json_t *object, const char *name) {
  const char *value = json_string_value(json_object_get(object, name));
  return value ? arena_string(a, value) : NULL;
}

static bool read_product(arena *a, const char *path, const char *name, const json_t *value, tiles_file *f,
                         lmn_error *error) {
  tiles_product p = {
      .product = arena_string(a, name), .tiles = text_of(a, value, "tiles"), .usual = text_of(a, value, "usual")};
  if (!p.tiles || !p.usual)
    return fail(error, "%s: product \"%s\" needs \"tiles\" and \"usual\", as lmnc tune writes them", path, name);
  p.seconds = json_number_value(json_object_get(value, "us")) / 1e6;
  p.usual_seconds = json_number_value(json_object_get(value, "usual_us")) / 1e6;
  tiles_set(f, p);
  return true;
}

bool tiles_read(arena *a, const char *path, tiles_file *f, lmn_error *error) {
  char *data;
  size_t length;
  json_error_t place;
  *f = (tiles_file){0};
  if (!file_read(path, FILE_LIMIT, &data, &length, error)) return false;
  json_t *root = json_loadb(data, length, JSON_REJECT_DUPLICATES, &place);
  free(data);
  if (!root) return fail(error, "%s:%d: %s; lmnc tune writes it", path, place.line, place.text);
  f->gpu = text_of(a, root, "gpu"), f->architecture = text_of(a, root, "architecture");
  json_t *products = json_object_get(root, "products"), *value;
  bool ok = (f->gpu && f->architecture && json_is_object(products)) ||
            fail(error, "%s: no file of tiles: it needs \"gpu\", \"architecture\" and \"products\"", path);
  const char *name;
  if (ok) json_object_foreach(products, name, value) ok = ok && read_product(a, path, name, value, f, error);
  json_decref(root);
  if (!ok) tiles_free(f);
  return ok;
}

bool tiles_write(const tiles_file *f, const char *path, lmn_error *error) {
  json_t *products = json_object(),
         *root = json_pack("{s:s, s:s, s:o}", "gpu", f->gpu, "architecture", f->architecture, "products", products);
  for (int i = 0; i < f->count; ++i) {
    const tiles_product *p = &f->items[i];
    json_object_set_new(products, p->product,
                        json_pack("{s:s, s:f, s:s, s:f}", "tiles", p->tiles, "us", p->seconds * 1e6, "usual", p->usual,
                                  "usual_us", p->usual_seconds * 1e6));
  }
  char *printed = json_dumps(root, JSON_INDENT(1) | JSON_SORT_KEYS | JSON_REAL_PRECISION(6));
  const char *slash = strrchr(path, '/');
  char *folder = slash && slash > path ? memory_copy(path, (size_t)(slash - path) + 1) : NULL;
  if (folder) folder[slash - path] = 0;
  bool ok = (!folder || directory_make(folder, error)) && file_write(path, printed, strlen(printed), error);
  free(folder);
  free(printed);
  json_decref(root);
  return ok;
}
