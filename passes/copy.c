#include "passes/copy.h"

MlirValue copy_of(builder *b, MlirValue v, MlirType type) {
  op_spec s = op_begin(b, KERNEL_COPY);
  int64_t zero = 0, elements = value_elements(v), columns = value_columns(v);
  op_segment(&s, &v, 1);
  op_result(&s, type);
  op_int(&s, "n0", 1);
  op_int(&s, "n1", elements / columns);
  op_int(&s, "columns", columns);
  op_int(&s, "from", 0);
  op_int(&s, "from0", 0);
  op_int(&s, "from1", columns);
  op_ints(&s, "to", &zero, 1);
  op_int(&s, "to0", 0);
  op_int(&s, "to1", columns);
  op_int(&s, "zero", 0);
  return op_end_value(&s);
}
