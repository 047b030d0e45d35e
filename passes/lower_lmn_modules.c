// lower-lmn's layers and modules: what vertices and edges are made of.
#include "passes/lower_lmn.h"

#include <math.h>

static int64_t row_length(const ir *m) { // rows of one sequence in this entry
  if (m->shape.kind != ENTRY_EXTEND) return m->graph->prefix + m->shape.length;
  return m->shape.length ? m->shape.length : m->graph->prefix;
}

static MlirValue lengths_input(lowering *l) { return nn_input(l, "lengths", ir_indices(l->m, l->m->shape.batch, 0)); }

static MlirValue rope_of(lowering *l, MlirValue qkv, const model *d, MlirValue table) {
  bool cached = l->m->shape.kind == ENTRY_EXTEND;
  op_spec s = op_begin(&l->b, NN_ROPE);
  op_operand(&s, qkv);
  op_operand(&s, table);
  op_optional(&s, cached ? lengths_input(l) : no_value);
  op_int(&s, "heads", d->heads + d->key_value_heads);
  op_int(&s, "head_size", d->head_size);
  op_int(&s, "length", row_length(l->m));
  op_int(&s, "inverse", 0);
  op_result(&s, mlirValueGetType(qkv));
  return op_end_value(&s);
}

static MlirValue attention(lowering *l, MlirValue qkv, int64_t heads, int64_t key_value_heads, int64_t head_size,
                           context c) {
  ir *m = l->m;
  bool cached = m->shape.kind == ENTRY_EXTEND;
  MlirValue lengths = cached ? lengths_input(l) : no_value;
  op_spec s = op_begin(&l->b, cached ? NN_ATTENTION_CACHED : NN_ATTENTION);
  op_operand(&s, qkv);
  if (cached) op_operand(&s, lengths);
  else op_optional(&s, c.starts);
  op_int(&s, "heads", heads);
  op_int(&s, "key_value_heads", key_value_heads);
  op_int(&s, "head_size", head_size);
  op_int(&s, "length", row_length(m));
  op_int(&s, "batch", m->shape.batch);
  op_int(&s, "segments", c.segments);
  op_real(&s, "scale", 1 / sqrt((double)head_size));
  op_result(&s, ir_matrix(m, value_rows(qkv), heads * head_size));
  if (cached) {
    op_int(&s, "capacity", m->shape.capacity);
    op_int(&s, "cache", m->cache_bytes);
    int64_t sequences = value_rows(qkv) / row_length(m);
    m->cache_bytes += sequences * m->shape.capacity * key_value_heads * head_size * 2 * (int64_t)sizeof(float);
  } else {
    op_result(&s, ir_matrix(m, value_rows(qkv), heads));
  }
  return op_end_value(&s);
}

static const char *tensor_name(const model *d, tensor_role role) {
  return model_has(d, role) ? model_tensor_of(d, role).name : NULL;
}

// One layer of a model's kind; o: the layer's owners ("qwen.model.layers.3.").
static MlirValue decoder_layer(lowering *l, MlirValue x, const model *d, owners o, context c) {
  const char *name[TENSOR_ROLES];
  for (int r = 0; r < TENSOR_ROLES; ++r) name[r] = tensor_name(d, (tensor_role)r);
  MlirValue y = nn_norm(l, x, o, d->norm, d->norm_eps, name[TENSOR_NORM1], name[TENSOR_NORM1_BIAS]);
  if (d->fused_qkv)
    y = nn_linear_of(l, y, o, &name[TENSOR_QKV], name[TENSOR_QKV_BIAS] ? &name[TENSOR_QKV_BIAS] : NULL, 1,
                     d->input_major);
  else y = nn_linear_of(l, y, o, &name[TENSOR_QUERY], d->qkv_bias ? &name[TENSOR_QUERY_BIAS] : NULL, 3, d->input_major);
  if (d->rope.kind != ROPE_NONE) y = rope_of(l, y, d, c.table);
  y = attention(l, y, d->heads, d->key_value_heads, d->head_size, c);
  y = nn_linear_of(l, y, o, &name[TENSOR_ATTENTION_OUT], d->output_bias ? &name[TENSOR_ATTENTION_OUT_BIAS] : NULL, 1,
                   d->input_major);
  x = nn_add_residual(l, x, y, o.count);
  y = nn_norm(l, x, o, d->norm, d->norm_eps, name[TENSOR_NORM2], name[TENSOR_NORM2_BIAS]);
  tensor_role up = d->gated ? TENSOR_GATE : TENSOR_UP, up_bias = d->gated ? TENSOR_GATE_BIAS : TENSOR_UP_BIAS;
  y = nn_linear_of(l, y, o, &name[up], d->feed_forward_bias ? &name[up_bias] : NULL, d->gated ? 2 : 1, d->input_major);
  y = nn_activation(l, y, d->activation, d->gated);
  y = nn_linear_of(l, y, o, &name[TENSOR_DOWN], d->feed_forward_bias ? &name[TENSOR_DOWN_BIAS] : NULL, 1,
                   d->input_major);
  return nn_add_residual(l, x, y, o.count);
}

MlirValue lower_layers(lowering *l, MlirValue x, const model *d, owners o, context c) {
  for (int64_t layer = 0; layer < d->layers; ++layer) {
    const char *part = arena_printf(l->m->arena, "%s%lld.", model_layer_prefix(d), (long long)layer);
    x = decoder_layer(l, x, d, owners_inside(l, o, part), c);
  }
  return nn_norm(l, x, o, d->norm, d->norm_eps, tensor_name(d, TENSOR_FINAL_NORM),
                 tensor_name(d, TENSOR_FINAL_NORM_BIAS));
}

static MlirValue rotary_table(lowering *l, int model_index) {
  const model *d = &l->m->graph->models[model_index].description;
  if (d->rope.kind == ROPE_NONE) return no_value;
  int64_t length = l->m->shape.kind == ENTRY_EXTEND ? l->m->shape.capacity : row_length(l->m);
  op_spec s = op_begin(&l->b, NN_ROTARY);
  op_int(&s, "model", model_index);
  op_int(&s, "length", length);
  op_int(&s, "dim", d->head_size);
  op_result(&s, ir_matrix(l->m, length, d->head_size));
  return op_end_value(&s);
}

static MlirValue lower_module(lowering *l, MlirValue x, const module *mod, owners o, context c);

MlirValue lower_chain(lowering *l, MlirValue x, const chain *chain, owners o, context c) {
  for (int i = 0; i < chain->count; ++i)
    x = lower_module(l, x, &chain->modules[i], owners_inside(l, o, arena_printf(l->m->arena, "%d.", i)), c);
  return x;
}

static MlirValue lower_module(lowering *l, MlirValue x, const module *mod, owners o, context c) {
  switch (mod->kind) {
  case MODULE_LINEAR:
    return nn_linear_of(l, x, o, (const char *[]){"weight"}, mod->bias ? (const char *[]){"bias"} : NULL, 1, false);
  case MODULE_DECODER_LAYER:
    c.table = rotary_table(l, mod->model);
    return decoder_layer(l, x, &l->m->graph->models[mod->model].description, o, c);
  case MODULE_ATTENTION:
    x = nn_linear_of(l, x, o, (const char *[]){"qkv.weight"}, mod->bias ? (const char *[]){"qkv.bias"} : NULL, 1,
                     false);
    x = attention(l, x, mod->heads, mod->heads, mod->in / mod->heads, c);
    return nn_linear_of(l, x, o, (const char *[]){"out.weight"}, mod->bias ? (const char *[]){"out.bias"} : NULL, 1,
                        false);
  case MODULE_LAYER_NORM: return nn_norm(l, x, o, NORM_LAYER, mod->eps, "weight", "bias");
  case MODULE_RMS_NORM: return nn_norm(l, x, o, NORM_RMS, mod->eps, "weight", NULL);
  case MODULE_ACTIVATION: return nn_activation(l, x, mod->activation, false);
  case MODULE_MLP:
    x = nn_linear_of(l, x, o, (const char *[]){"up.weight"}, mod->bias ? (const char *[]){"up.bias"} : NULL, 1, false);
    x = nn_activation(l, x, mod->activation, false);
    return nn_linear_of(l, x, o, (const char *[]){"down.weight"}, mod->bias ? (const char *[]){"down.bias"} : NULL, 1,
                        false);
  case MODULE_RESIDUAL: return nn_add_residual(l, x, lower_chain(l, x, &mod->inner, o, c), o.count);
  }
  return x;
}
