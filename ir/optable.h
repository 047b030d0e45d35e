// ops.def, parsed once: what the builder, the getters, the verifier and the IRDL text are all made from.
#ifndef LMN_OPTABLE_H
#define LMN_OPTABLE_H

#include "ir/ir.h"

enum { SEGMENTS_MAX = 8, ATTRIBUTES_MAX = 16 };
typedef enum { ARITY_ONE, ARITY_OPTIONAL, ARITY_ANY } arity;
typedef enum {
  ATTRIBUTE_INT,
  ATTRIBUTE_REAL,
  ATTRIBUTE_TEXT,
  ATTRIBUTE_SYMBOL,
  ATTRIBUTE_INTS,
  ATTRIBUTE_TEXTS,
  ATTRIBUTE_SYMBOLS
} attribute_type;

typedef struct op_values { // the operands or the results
  int count, variable;     // variable: how many are not ARITY_ONE; from two on the op carries a segment sizes attribute
  char names[SEGMENTS_MAX][24];
  arity arities[SEGMENTS_MAX];
} op_values;

typedef struct op_row {
  const char *name; // "nn.linear"
  op_values operands, results;
  struct op_attribute {
    char name[24];
    attribute_type type;
    bool optional;
  } attributes[ATTRIBUTES_MAX];
  int attribute_count, flags;
} op_row;

const op_row *op_table(void);  // OP_COUNT rows
void op_table_irdl(text *out); // the three dialects as IRDL text

#endif
