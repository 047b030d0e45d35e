#include "ir/optable.h"

#include <string.h>

static const struct {
  const char *name, *operands, *results, *attributes;
  int flags;
} rows[OP_COUNT] = {
#define OP(code, name, operands, results, attributes, flags) {name, operands, results, attributes, flags},
#include "ir/ops.def"
#undef OP
};

static op_row table[OP_COUNT];

// The next blank-separated word of *from; 0 at the end.
static size_t next_word(const char **from, const char **word) {
  *from += strspn(*from, " ");
  *word = *from;
  size_t length = strcspn(*from, " ");
  *from += length;
  return length;
}

static void parse_values(op_values *values, const char *from) {
  const char *word;
  for (size_t length; (length = next_word(&from, &word));) {
    arity how = word[length - 1] == '?' ? ARITY_OPTIONAL : word[length - 1] == '*' ? ARITY_ANY : ARITY_ONE;
    values->arities[values->count] = how;
    values->variable += how != ARITY_ONE;
    memcpy(values->names[values->count++], word, length - (how != ARITY_ONE));
  }
}

static attribute_type parse_type(const char *name, size_t length) {
  static const char *const names[] = {"int", "real", "text", "symbol", "ints", "texts", "symbols"};
  for (size_t i = 0; i < LENGTH(names); ++i)
    if (strlen(names[i]) == length && !memcmp(names[i], name, length)) return (attribute_type)i;
  return ATTRIBUTE_INT;
}

static void parse_attributes(op_row *row, const char *from) {
  const char *word;
  for (size_t length; (length = next_word(&from, &word));) {
    struct op_attribute *attribute = &row->attributes[row->attribute_count++];
    size_t name = (size_t)((const char *)memchr(word, ':', length) - word);
    memcpy(attribute->name, word, name);
    attribute->optional = word[length - 1] == '?';
    attribute->type = parse_type(word + name + 1, length - name - 1 - attribute->optional);
  }
}

const op_row *op_table(void) {
  if (table[0].name) return table;
  for (int i = OP_COUNT - 1; i >= 0; --i) { // the first row last: its name says that all are there
    parse_values(&table[i].operands, rows[i].operands);
    parse_values(&table[i].results, rows[i].results);
    parse_attributes(&table[i], rows[i].attributes);
    table[i].flags = rows[i].flags;
    table[i].name = rows[i].name;
  }
  return table;
}

const char *op_name(op_code code) { return code < OP_COUNT ? op_table()[code].name : "?"; }
int op_flags(op_code code) { return code < OP_COUNT ? op_table()[code].flags : 0; }

static void irdl_values(text *out, const op_values *values, const char *what, char prefix) {
  if (!values->count) return;
  for (int i = 0; i < values->count; ++i) text_printf(out, "    %%%c%d = irdl.any\n", prefix, i);
  text_printf(out, "    irdl.%s(", what);
  // A name may stand for an operand and a result ("hidden" to "hidden"): IRDL wants them apart.
  static const char *const how[] = {"", "optional ", "variadic "};
  for (int i = 0; i < values->count; ++i)
    text_printf(out, "%s%s%s: %s%%%c%d", i ? ", " : "", prefix == 'r' ? "to_" : "", values->names[i],
                how[values->arities[i]], prefix, i);
  text_add(out, ")\n");
}

static void irdl_attributes(text *out, const op_row *row) {
  static const char *const bases[] = {"integer", "float", "string", "symbol_ref", "dense_array", "array", "array"};
  int required = 0;
  for (int i = 0; i < row->attribute_count; ++i) {
    if (row->attributes[i].optional) continue;
    text_printf(out, "    %%a%d = irdl.base \"#builtin.%s\"\n", i, bases[row->attributes[i].type]);
    ++required;
  }
  if (!required) return;
  text_add(out, "    irdl.attributes {");
  for (int i = 0, written = 0; i < row->attribute_count; ++i)
    if (!row->attributes[i].optional)
      text_printf(out, "%s\"%s\" = %%a%d", written++ ? ", " : "", row->attributes[i].name, i);
  text_add(out, "}\n");
}

void op_table_irdl(text *out) {
  static const char *const dialects[] = {"lmn", "nn", "kernel"};
  const op_row *all = op_table();
  for (size_t d = 0; d < LENGTH(dialects); ++d) {
    size_t length = strlen(dialects[d]);
    text_printf(out, "irdl.dialect @%s {\n", dialects[d]);
    for (int i = 0; i < OP_COUNT; ++i) {
      if (strncmp(all[i].name, dialects[d], length) || all[i].name[length] != '.') continue;
      text_printf(out, "  irdl.operation @%s {\n", all[i].name + length + 1);
      irdl_attributes(out, &all[i]);
      irdl_values(out, &all[i].operands, "operands", 'o');
      irdl_values(out, &all[i].results, "results", 'r');
      text_add(out, "  }\n");
    }
    text_add(out, "}\n");
  }
}
