// freeze: decides which parameters this entry makes gradients for; differentiate reads it and makes no product, keeps
// no value and leaves no gradient for the others, and the optimizer has no state for them. The lmn ops stay as they
// are.
//
// Not an optimisation that could be turned off: a frozen parameter would be trained, which is another answer.
#include "passes/passes.h"

bool pass_freeze(ir *m, lmn_error *error) {
  if (!m->parameters) return fail(error, "the entry has no list of parameters");
  m->trained = ARENA_ARRAY(m->arena, bool, m->parameters->count + 1);
  bool gradients = m->shape.kind == ENTRY_TRAIN || m->shape.kind == ENTRY_UPDATE ||
                   (m->shape.kind == ENTRY_TRACE && m->shape.gradients);
  if (gradients) graph_trained(m->graph, m->parameters, m->shape.phase, m->trained);
  return true;
}
