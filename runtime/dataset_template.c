// Templates: letters and {names} of columns. In JSON a name may reach inside: {choices.text[0]}.
#include "runtime/dataset_parts.h"

#include <stdlib.h>
#include <string.h>

static void add_part(data_template *t, const char *start, size_t length, bool field) {
  if (!length) return;
  GROW(t->parts, t->count, t->capacity);
  t->parts[t->count++] = (template_part){start, length, field};
}

bool template_parse(arena *memory, const char *what, const char *source, data_template *t, lmn_error *error) {
  *t = (data_template){.what = what};
  const char *copy = arena_string(memory, source);
  for (const char *at = copy; *at;) {
    size_t letters = strcspn(at, "{}");
    add_part(t, at, letters, false);
    at += letters;
    if (!*at) break;
    if (at[1] == at[0]) { // {{ or }}
      add_part(t, at, 1, false);
      at += 2;
      continue;
    }
    const char *end = at + 1 + strcspn(at + 1, "{}");
    if (*at == '}' || *end != '}' || end == at + 1)
      return fail(error,
                  "%s: \"%.200s\" has a %s at character %lld; a column is {name}, and a brace itself is {{ or }}", what,
                  source, *at == '}' ? "} without {" : "{ that no name and } follow", (long long)(at - copy) + 1);
    add_part(t, at + 1, (size_t)(end - at) - 1, true);
    at = end + 1;
  }
  return true;
}

bool template_column(arena *memory, const char *what, const char *column, data_template *t) {
  *t = (data_template){.what = what};
  add_part(t, arena_string(memory, column), strlen(column), true);
  return t->count > 0;
}

void template_free(data_template *t) { free(t->parts); }

static int64_t find_column(const data_file *f, const template_part *p) {
  for (int64_t i = 0; i < f->column_count; ++i)
    if (strlen(f->columns[i]) == p->length && !memcmp(f->columns[i], p->text, p->length)) return i;
  return -1;
}

static bool no_column(const data_template *t, const template_part *p, const char *path, int64_t line, const text *names,
                      lmn_error *error) {
  return fail(error, "%s:%lld: there is no column \"%.*s\", which %s names; the columns are %.600s", path,
              (long long)line, (int)(p->length < 100 ? p->length : 100), p->text, t->what,
              names->length ? names->data : "none");
}

bool template_check(const data_template *t, const data_file *f, lmn_error *error) {
  for (int i = 0; f->format == DATA_CSV && i < t->count; ++i) {
    if (!t->parts[i].field || find_column(f, &t->parts[i]) >= 0) continue;
    text names = {0};
    for (int64_t k = 0; k < f->column_count; ++k) text_printf(&names, "%s%s", k ? ", " : "", f->columns[k]);
    no_column(t, &t->parts[i], f->path, 1, &names, error);
    text_free(&names);
    return false;
  }
  return true;
}

bool row_read(row_reader *r, const data_file *f, const data_row *row, lmn_error *error) {
  if (f->format == DATA_CSV) {
    size_t at = 0;
    int64_t line = row->line;
    return csv_read(f->data + row->offset, row->length, f->delimiter, &at, &line, &r->record, error);
  }
  json_error_t bad;
  json_decref(r->object);
  r->object = json_loadb(f->data + row->offset, row->length, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &bad);
  if (!r->object)
    return fail(error, "%s:%lld:%d: %s; every line must be one JSON object", f->path, (long long)row->line, bad.column,
                bad.text);
  return json_is_object(r->object) ||
         fail(error, "%s:%lld: the line is not a JSON object", f->path, (long long)row->line);
}

void row_free(row_reader *r) {
  free(r->record.fields);
  json_decref(r->object);
}

// The value that a path like a.b[0] leads to; NULL: there is none.
static json_t *follow(json_t *object, const char *path, size_t length) {
  json_t *value = json_object_getn(object, path, length);
  if (value) return value; // a key with dots in it
  value = object;
  for (size_t at = 0; value && at < length;) {
    if (path[at] == '[') {
      char *end;
      unsigned long index = strtoul(path + at + 1, &end, 10);
      if (end == path + at + 1 || end >= path + length || *end != ']') return NULL;
      value = json_array_get(value, index);
      at = (size_t)(end - path) + 1;
    } else {
      if (path[at] == '.') ++at;
      size_t key = 0;
      while (at + key < length && path[at + key] != '.' && path[at + key] != '[') ++key;
      value = key ? json_object_getn(value, path + at, key) : NULL;
      at += key;
    }
  }
  return value;
}

static bool add_json(const data_template *t, const template_part *p, const row_reader *r, const data_file *f,
                     const data_row *row, text *out, lmn_error *error) {
  json_t *value = follow(r->object, p->text, p->length);
  if (!value) {
    text names = {0};
    const char *key;
    json_t *ignored;
    json_object_foreach(r->object, key, ignored) text_printf(&names, "%s%s", names.length ? ", " : "", key);
    no_column(t, p, f->path, row->line, &names, error);
    text_free(&names);
    return false;
  }
  if (json_is_string(value)) return text_add_bytes(out, json_string_value(value), json_string_length(value)), true;
  if (json_is_integer(value)) return text_printf(out, "%lld", (long long)json_integer_value(value)), true;
  if (json_is_real(value)) return text_printf(out, "%.15g", json_real_value(value)), true;
  if (json_is_boolean(value)) return text_add(out, json_is_true(value) ? "true" : "false"), true;
  return fail(error, "%s:%lld: \"%.*s\" is %s; %s", f->path, (long long)row->line,
              (int)(p->length < 100 ? p->length : 100), p->text,
              json_is_null(value)    ? "null"
              : json_is_array(value) ? "a list"
                                     : "an object",
              json_is_null(value)    ? "give it a value or take the row out"
              : json_is_array(value) ? "name one of its elements with [0], [1], …"
                                     : "name one of its fields behind a dot");
}

bool template_fill(const data_template *t, const row_reader *r, const data_file *f, const data_row *row, text *out,
                   lmn_error *error) {
  for (int i = 0; i < t->count; ++i) {
    const template_part *p = &t->parts[i];
    if (!p->field) text_add_bytes(out, p->text, p->length);
    else if (f->format == DATA_CSV) csv_value(f->data + row->offset, r->record.fields[find_column(f, p)], out);
    else if (!add_json(t, p, r, f, row, out, error)) return false;
  }
  return true;
}
