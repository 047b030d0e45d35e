// Which files a data set is, and where in them the rows are.
#include "runtime/dataset_parts.h"
#include "runtime/tokenizer_text.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DATA_LIMIT ((size_t)1 << 40)
// Text is tokenized in pieces of about this size, cut where a line begins with a letter, so that all cores have work.
enum { TEXT_PIECE = 1 << 18 };

static bool known_format(const char *path, data_file *f) {
  static const struct {
    const char *ending;
    data_format format;
    char delimiter;
  } formats[] = {{".txt", DATA_TEXT, 0}, {".csv", DATA_CSV, ','}, {".tsv", DATA_CSV, '\t'}, {".jsonl", DATA_JSONL, 0}};
  size_t length = strlen(path);
  for (size_t i = 0; i < LENGTH(formats); ++i) {
    size_t ending = strlen(formats[i].ending);
    if (length <= ending || strcasecmp(path + length - ending, formats[i].ending)) continue;
    f->format = formats[i].format, f->delimiter = formats[i].delimiter;
    return true;
  }
  return false;
}

static bool add_file(data_list *list, const char *path, lmn_error *error) {
  data_file f = {.path = arena_string(list->memory, path)};
  if (!file_exists(path)) return fail(error, "%s: there is no such data file", path);
  if (!known_format(path, &f))
    return fail(error, "%s: data are read from .txt, .csv, .tsv and .jsonl files; rename or convert it", path);
  GROW(list->files, list->file_count, list->file_capacity);
  list->files[list->file_count++] = f;
  return true;
}

static bool add_matches(data_list *list, const char *pattern, bool folder, lmn_error *error) {
  glob_t found;
  int64_t before = list->file_count;
  int problem = glob(pattern, 0, NULL, &found);
  if (problem == GLOB_NOSPACE) memory_exhausted(0);
  if (problem) return fail(error, "%s: no data file is named like this", pattern);
  bool ok = true;
  for (size_t i = 0; ok && i < found.gl_pathc; ++i) {
    data_file ignored;
    if (folder && (!known_format(found.gl_pathv[i], &ignored) || !file_exists(found.gl_pathv[i]))) continue;
    ok = add_file(list, found.gl_pathv[i], error);
  }
  globfree(&found);
  return ok && (list->file_count > before || fail(error, "%s: there is no .txt, .csv, .tsv or .jsonl file", pattern));
}

static bool add_path(data_list *list, const char *path, lmn_error *error) {
  if (file_exists(path)) return add_file(list, path, error);
  if (directory_exists(path)) return add_matches(list, arena_printf(list->memory, "%s/*", path), true, error);
  return strpbrk(path, "*?[") ? add_matches(list, path, false, error) : add_file(list, path, error);
}

static bool find_files(data_list *list, const char *data, lmn_error *error) {
  if (file_exists(data) || directory_exists(data)) return add_path(list, data, error);
  char *copy = arena_string(list->memory, data), *rest = copy;
  for (char *path; (path = strsep(&rest, ","));) {
    while (*path == ' ') ++path;
    for (size_t n = strlen(path); n && path[n - 1] == ' ';) path[--n] = 0;
    if (*path && !add_path(list, path, error)) return false;
  }
  return list->file_count > 0 ||
         fail(error, "no data file is named; give a file, a folder, a glob or a list with commas");
}

static void add_row(data_list *list, int64_t line, size_t offset, size_t length, bool first) {
  GROW(list->rows, list->row_count, list->row_capacity);
  list->rows[list->row_count++] =
      (data_row){.file = (int32_t)list->file_count, .first = first, .line = line, .offset = offset, .length = length};
}

// A line end before and a character that is no space behind: no tokenizer's words reach over that.
static bool may_cut(const char *data, size_t at) {
  unsigned char next = (unsigned char)data[at];
  return data[at - 1] == '\n' && next > ' ' && next < 0x80;
}

static void find_text(data_list *list, const data_file *f, size_t begin) {
  size_t start = begin, line = 1;
  for (size_t at = begin + TEXT_PIECE; at < f->length; ++at) {
    if (!may_cut(f->data, at)) continue;
    add_row(list, (int64_t)line, start, at - start, start == begin);
    for (size_t i = start; i < at; ++i) line += f->data[i] == '\n';
    start = at;
    at += TEXT_PIECE;
  }
  if (start < f->length) add_row(list, (int64_t)line, start, f->length - start, start == begin);
}

static void find_lines(data_list *list, const data_file *f, size_t at) {
  for (int64_t line = 1; at < f->length; ++line) {
    const char *end = memchr(f->data + at, '\n', f->length - at);
    size_t length = end ? (size_t)(end - f->data) - at : f->length - at, blank = strspn(f->data + at, " \t\r");
    if (blank < length) add_row(list, line, at, length, false);
    at += length + 1;
  }
}

static bool read_header(data_list *list, data_file *f, const csv_record *record, lmn_error *error) {
  f->columns = arena_alloc(list->memory, (size_t)record->count * sizeof *f->columns);
  f->column_count = record->count;
  for (int64_t i = 0; i < record->count; ++i) {
    text name = {0};
    text_add(&name, "");
    csv_value(f->data, record->fields[i], &name);
    f->columns[i] = arena_copy(list->memory, name.data, name.length);
    text_free(&name);
    for (int64_t k = 0; k < i; ++k)
      if (!strcmp(f->columns[k], f->columns[i]))
        return fail(error,
                    "%s:1: the header has the column \"%.60s\" twice; the first row must name the columns, each once",
                    f->path, f->columns[i]);
  }
  return true;
}

static bool find_records(data_list *list, data_file *f, size_t at, lmn_error *error) {
  csv_record record = {0};
  bool ok = true, header = false;
  for (int64_t line = 1; ok && at < f->length;) {
    int64_t from = line;
    size_t offset = at;
    ok = csv_read(f->data, f->length, f->delimiter, &at, &line, &record, error);
    if (!ok) fail_in(error, "%s:%lld", f->path, (long long)from);
    if (!ok || record.blank) continue;
    if (!header) header = true, ok = read_header(list, f, &record, error);
    else if (record.count != f->column_count)
      ok = fail(error,
                "%s:%lld: the row has %lld fields, the header %lld; a field that has the delimiter or a line end in it "
                "must be in double quotes",
                f->path, (long long)from, (long long)record.count, (long long)f->column_count);
    else add_row(list, from, offset, at - offset, false);
  }
  free(record.fields);
  return ok && (header || fail(error, "%s: has no header row", f->path));
}

static bool check_utf8(const data_file *f, lmn_error *error) {
  size_t bad;
  if (utf8_valid(f->data, f->length, &bad)) return true;
  long long line = 1;
  for (size_t i = 0; i < bad; ++i) line += f->data[i] == '\n';
  return fail(error, "%s:%lld: byte %zu of the file, 0x%02x, is not UTF-8; convert the file, with iconv for example",
              f->path, line, bad, (unsigned char)f->data[bad]);
}

bool data_read(data_list *list, const char *data, lmn_error *error) {
  if (!find_files(list, data, error)) return false;
  int64_t files = list->file_count;
  for (list->file_count = 0; list->file_count < files; ++list->file_count) {
    data_file *f = &list->files[list->file_count];
    if (!file_read(f->path, DATA_LIMIT, &f->data, &f->length, error)) break;
    size_t start = f->length >= 3 && !memcmp(f->data, "\xef\xbb\xbf", 3) ? 3 : 0; // a byte order mark
    int64_t before = list->row_count;
    if (!check_utf8(f, error)) break;
    if (f->format == DATA_TEXT) find_text(list, f, start);
    if (f->format == DATA_JSONL) find_lines(list, f, start);
    if (f->format == DATA_CSV && !find_records(list, f, start, error)) break;
    if (list->row_count == before && !fail(error, "%s: has no %s", f->path, f->format == DATA_TEXT ? "text" : "rows"))
      break;
  }
  bool ok = list->file_count == files;
  list->file_count = files;
  return ok;
}

bool dataset_hash(const char *data, uint64_t *hash, lmn_error *error) {
  data_list list = {.memory = arena_create()};
  bool ok = find_files(&list, data, error);
  *hash = HASH_START;
  for (int64_t i = 0; ok && i < list.file_count; ++i) {
    data_file *f = &list.files[i];
    ok = file_read(f->path, DATA_LIMIT, &f->data, &f->length, error);
    if (ok) *hash = hash_bytes(*hash, f->data, f->length);
    free(f->data);
    f->data = NULL;
  }
  data_free(&list);
  arena_destroy(list.memory);
  return ok;
}

void data_free(data_list *list) {
  for (int64_t i = 0; i < list->file_count; ++i) free(list->files[i].data);
  free(list->files);
  free(list->rows);
}
