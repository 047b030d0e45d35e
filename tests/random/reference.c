#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct rows { // [count, size]
  double *data;
  int64_t count, size;
} rows;

// Where a chain or a layer takes its parameters from, and what its attention sees.
typedef struct scope {
  reference *r;
  char name[512]; // prefix of its parameters' names
  int64_t segments;
} scope;

static rows rows_new(reference *r, int64_t count, int64_t size) {
  return (rows){ARENA_ARRAY(r->arena, double, count *size), count, size};
}

static const double *parameter_named(reference *r, const char *name) {
  int at = parameter_find(r->list, name);
  if (at >= 0) return r->parameters[at];
  fprintf(stderr, "the network has no parameter %s\n", name);
  exit(2);
}

static const double *owned(const scope *s, const char *name) {
  return parameter_named(s->r, arena_printf(s->r->arena, "%s%s", s->name, name));
}

static scope inside(const scope *s, const char *part) {
  scope result = *s;
  snprintf(result.name, sizeof result.name, "%s%s", s->name, part);
  return result;
}

// ---- modules -------------------------------------------------------------------------------------

// weight [out, in], or [in, out] where input_major.
static rows linear(reference *r, rows x, const double *weight, const double *bias, int64_t out, bool input_major) {
  rows y = rows_new(r, x.count, out);
  for (int64_t i = 0; i < x.count; ++i)
    for (int64_t o = 0; o < out; ++o) {
      double sum = bias ? bias[o] : 0;
      for (int64_t k = 0; k < x.size; ++k)
        sum += x.data[i * x.size + k] * weight[input_major ? k * out + o : o * x.size + k];
      y.data[i * out + o] = sum;
    }
  return y;
}

static rows norm(reference *r, rows x, norm_kind kind, double eps, const double *weight, const double *bias) {
  rows y = rows_new(r, x.count, x.size);
  for (int64_t i = 0; i < x.count; ++i) {
    const double *row = x.data + i * x.size;
    double mean = 0, square = 0;
    for (int64_t k = 0; k < x.size && kind == NORM_LAYER; ++k) mean += row[k] / (double)x.size;
    for (int64_t k = 0; k < x.size; ++k) square += (row[k] - mean) * (row[k] - mean) / (double)x.size;
    for (int64_t k = 0; k < x.size; ++k)
      y.data[i * x.size + k] = (row[k] - mean) / sqrt(square + eps) * weight[k] + (bias ? bias[k] : 0);
  }
  return y;
}

static double activate(double x, activation_kind kind) {
  switch (kind) {
  case ACTIVATION_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  case ACTIVATION_GELU_ERF: return 0.5 * x * (1 + erf(x / sqrt(2)));
  case ACTIVATION_SILU: return x / (1 + exp(-x));
  case ACTIVATION_RELU: return x > 0 ? x : 0;
  }
  return x;
}

static void note_kink(reference *r, rows x) {
  double largest = 0, least = INFINITY;
  for (int64_t i = 0; i < x.count * x.size; ++i) {
    largest = fmax(largest, fabs(x.data[i]));
    least = fmin(least, fabs(x.data[i]));
  }
  if (largest > 0) r->kink = fmin(r->kink, least / largest);
}

static rows activation(reference *r, rows x, activation_kind kind) {
  rows y = rows_new(r, x.count, x.size);
  if (kind == ACTIVATION_RELU) note_kink(r, x);
  for (int64_t i = 0; i < x.count * x.size; ++i) y.data[i] = activate(x.data[i], kind);
  return y;
}

static rows added(reference *r, rows a, rows b) {
  rows y = rows_new(r, a.count, a.size);
  for (int64_t i = 0; i < a.count * a.size; ++i) y.data[i] = a.data[i] + b.data[i];
  return y;
}

// ---- attention -----------------------------------------------------------------------------------

// The angle of a pair of dimensions at a position; tables are float32 in transformers, and so here.
static double angle(const rope *r, int64_t pair, int64_t size, int64_t position) {
  float frequency = 1 / powf((float)r->theta, (float)(2 * pair) / (float)size);
  if (r->kind == ROPE_LINEAR) frequency /= (float)r->factor;
  if (r->kind == ROPE_LLAMA3) {
    double wave = 2 * M_PI / frequency, length = (double)r->original_length;
    double smooth = (length / wave - r->low_frequency_factor) / (r->high_frequency_factor - r->low_frequency_factor);
    if (wave > length / r->low_frequency_factor) frequency = (float)(frequency / r->factor);
    else if (wave >= length / r->high_frequency_factor)
      frequency = (float)((1 - smooth) * frequency / r->factor + smooth * frequency);
  }
  return (float)position * frequency;
}

static void turn(double *x, const rope *r, int64_t size, int64_t position) {
  for (int64_t i = 0; i < size / 2; ++i) {
    double a = angle(r, i, size, position), low = x[i], high = x[i + size / 2];
    x[i] = low * cos(a) - high * sin(a);
    x[i + size / 2] = high * cos(a) + low * sin(a);
  }
}

typedef struct heads {
  int64_t query, key_value, size;
  const rope *rope; // NULL: none
} heads;

// One query's head over the keys that it sees: its own position and earlier ones, of its own and earlier segments, not
// before its sequence's start.
static void attend(const scope *s, rows qkv, heads h, int64_t segment, int64_t row, int64_t at, int64_t head,
                   double *out) {
  reference *r = s->r;
  int64_t length = r->graph->prefix + r->length, first = r->starts ? r->starts[row * length + at] : 0;
  int64_t own = head / (h.query / h.key_value), count = 0;
  const double *query = qkv.data + ((segment * r->batch + row) * length + at) * qkv.size + head * h.size;
  double *scores = memory_alloc((size_t)((segment + 1) * length) * sizeof *scores), largest = -INFINITY, total = 0;
  for (int pass = 0; pass < 2; ++pass) {
    count = 0;
    for (int64_t other = 0; other <= segment; ++other)
      for (int64_t t = first; t <= at; ++t, ++count) {
        const double *cell = qkv.data + ((other * r->batch + row) * length + t) * qkv.size;
        const double *key = cell + (h.query + own) * h.size, *value = cell + (h.query + h.key_value + own) * h.size;
        if (pass) {
          for (int64_t k = 0; k < h.size; ++k) out[k] += scores[count] / total * value[k];
          continue;
        }
        scores[count] = 0;
        for (int64_t k = 0; k < h.size; ++k) scores[count] += query[k] * key[k] / sqrt((double)h.size);
        largest = fmax(largest, scores[count]);
      }
    for (int64_t i = 0; !pass && i < count; ++i) total += scores[i] = exp(scores[i] - largest);
  }
  free(scores);
}

// qkv: in each row the query heads, then the key heads, then the value heads; its rows segment by segment.
static rows attention(const scope *s, rows qkv, heads h) {
  reference *r = s->r;
  int64_t length = r->graph->prefix + r->length;
  rows y = rows_new(r, qkv.count, h.query * h.size);
  for (int64_t i = 0; h.rope && i < qkv.count; ++i)
    for (int64_t k = 0; k < h.query + h.key_value; ++k)
      turn(qkv.data + i * qkv.size + k * h.size, h.rope, h.size, i % length);
  for (int64_t i = 0; i < qkv.count; ++i)
    for (int64_t head = 0; head < h.query; ++head)
      attend(s, qkv, h, i / (r->batch * length), i / length % r->batch, i % length, head,
             y.data + i * y.size + head * h.size);
  return y;
}

static rows beside(reference *r, const rows *parts, int count) {
  int64_t size = 0, at = 0;
  for (int i = 0; i < count; ++i) size += parts[i].size;
  rows y = rows_new(r, parts[0].count, size);
  for (int i = 0; i < count; at += parts[i++].size)
    for (int64_t k = 0; k < y.count; ++k)
      memcpy(y.data + k * size + at, parts[i].data + k * parts[i].size, (size_t)parts[i].size * sizeof(double));
  return y;
}

// ---- layers --------------------------------------------------------------------------------------

static rows of_model(const scope *s, rows x, const model *d, tensor_role weight, tensor_role bias) {
  model_tensor t = model_tensor_of(d, weight);
  return linear(s->r, x, owned(s, t.name), model_has(d, bias) ? owned(s, model_tensor_of(d, bias).name) : NULL,
                d->input_major ? t.shape[1] : t.shape[0], d->input_major);
}

static rows norm_of_model(const scope *s, rows x, const model *d, tensor_role weight, tensor_role bias) {
  return norm(s->r, x, d->norm, d->norm_eps, owned(s, model_tensor_of(d, weight).name),
              model_has(d, bias) ? owned(s, model_tensor_of(d, bias).name) : NULL);
}

static rows decoder_layer(const scope *s, rows x, const model *d) {
  reference *r = s->r;
  rows y = norm_of_model(s, x, d, TENSOR_NORM1, TENSOR_NORM1_BIAS), qkv;
  if (d->fused_qkv) {
    qkv = of_model(s, y, d, TENSOR_QKV, TENSOR_QKV_BIAS);
  } else {
    const rows parts[] = {of_model(s, y, d, TENSOR_QUERY, TENSOR_QUERY_BIAS),
                          of_model(s, y, d, TENSOR_KEY, TENSOR_KEY_BIAS),
                          of_model(s, y, d, TENSOR_VALUE, TENSOR_VALUE_BIAS)};
    qkv = beside(r, parts, 3);
  }
  y = attention(s, qkv, (heads){d->heads, d->key_value_heads, d->head_size, d->rope.kind ? &d->rope : NULL});
  x = added(r, x, of_model(s, y, d, TENSOR_ATTENTION_OUT, TENSOR_ATTENTION_OUT_BIAS));
  y = norm_of_model(s, x, d, TENSOR_NORM2, TENSOR_NORM2_BIAS);
  rows up = of_model(s, y, d, TENSOR_UP, TENSOR_UP_BIAS);
  if (d->gated) {
    rows gate = activation(r, of_model(s, y, d, TENSOR_GATE, TENSOR_GATE_BIAS), d->activation);
    for (int64_t i = 0; i < up.count * up.size; ++i) up.data[i] *= gate.data[i];
  } else {
    up = activation(r, up, d->activation);
  }
  return added(r, x, of_model(s, up, d, TENSOR_DOWN, TENSOR_DOWN_BIAS));
}

static rows run_chain(const scope *s, rows x, const chain *c);

static rows run_module(const scope *s, rows x, const module *m) {
  reference *r = s->r;
  rows y;
  switch (m->kind) {
  case MODULE_LINEAR: return linear(r, x, owned(s, "weight"), m->bias ? owned(s, "bias") : NULL, m->out, false);
  case MODULE_DECODER_LAYER: return decoder_layer(s, x, &r->graph->models[m->model].description);
  case MODULE_ATTENTION:
    y = linear(r, x, owned(s, "qkv.weight"), m->bias ? owned(s, "qkv.bias") : NULL, 3 * m->in, false);
    y = attention(s, y, (heads){m->heads, m->heads, m->in / m->heads, NULL});
    return linear(r, y, owned(s, "out.weight"), m->bias ? owned(s, "out.bias") : NULL, m->in, false);
  case MODULE_LAYER_NORM: return norm(r, x, NORM_LAYER, m->eps, owned(s, "weight"), owned(s, "bias"));
  case MODULE_RMS_NORM: return norm(r, x, NORM_RMS, m->eps, owned(s, "weight"), NULL);
  case MODULE_ACTIVATION: return activation(r, x, m->activation);
  case MODULE_MLP:
    y = linear(r, x, owned(s, "up.weight"), m->bias ? owned(s, "up.bias") : NULL, m->hidden, false);
    y = activation(r, y, m->activation);
    return linear(r, y, owned(s, "down.weight"), m->bias ? owned(s, "down.bias") : NULL, m->out, false);
  case MODULE_RESIDUAL: return added(r, x, run_chain(s, x, &m->inner));
  }
  return x;
}

static rows run_chain(const scope *s, rows x, const chain *c) {
  for (int i = 0; i < c->count; ++i) {
    scope module = inside(s, arena_printf(s->r->arena, "%d.", i));
    x = run_module(&module, x, &c->modules[i]);
  }
  return x;
}

// ---- nodes ---------------------------------------------------------------------------------------

static const double *of_model_named(reference *r, int model, tensor_role role) {
  const graph_model *m = &r->graph->models[model];
  return parameter_named(r, arena_printf(r->arena, "%s.%s", m->name, model_tensor_of(&m->description, role).name));
}

static rows embed(reference *r, const graph_node *node) {
  const model *d = &r->graph->models[node->model].description;
  const double *table = of_model_named(r, node->model, TENSOR_EMBEDDING);
  const double *places = d->learned_positions ? of_model_named(r, node->model, TENSOR_POSITION) : NULL;
  int64_t prefix = r->graph->prefix, length = prefix + r->length;
  rows y = rows_new(r, r->batch * length, d->hidden);
  for (int64_t i = 0; i < y.count; ++i) {
    int64_t at = i % length - prefix, token = i / length * r->length + at;
    int64_t place = at < 0 ? 0 : r->positions ? r->positions[token] : at;
    for (int64_t k = 0; k < y.size; ++k)
      y.data[i * y.size + k] = at < 0 ? parameter_named(r, "input.prefix")[(at + prefix) * y.size + k]
                                      : table[r->ids[token] * y.size + k] + (places ? places[place * y.size + k] : 0);
  }
  return y;
}

static rows message(reference *r, int index, const rows *values) {
  const graph_arrow *a = &r->graph->arrows[index];
  scope s = {.r = r, .segments = 1};
  snprintf(s.name, sizeof s.name, "%s->%s.", r->graph->nodes[a->from].name, r->graph->nodes[a->to].name);
  return run_chain(&s, values[a->from], &a->chain);
}

static rows aggregate(reference *r, const graph_node *node, const rows *values) {
  int count = node->incoming_count;
  rows *messages = ARENA_ARRAY(r->arena, rows, count), y;
  for (int i = 0; i < count; ++i) messages[i] = message(r, node->incoming[i], values);
  if (node->aggregate == AGGREGATE_PROJECT)
    return linear(r, beside(r, messages, count),
                  parameter_named(r, arena_printf(r->arena, "%s.project.weight", node->name)), NULL, messages[0].size,
                  false);
  if (node->aggregate == AGGREGATE_CONCAT) {
    y = rows_new(r, messages[0].count * count, messages[0].size);
    int64_t each = messages[0].count * messages[0].size;
    for (int i = 0; i < count; ++i) memcpy(y.data + i * each, messages[i].data, (size_t)each * sizeof(double));
    return y;
  }
  y = rows_new(r, messages[0].count, messages[0].size);
  double part = node->aggregate == AGGREGATE_MEAN ? 1.0 / count : 1;
  for (int i = 0; i < count; ++i)
    for (int64_t k = 0; k < y.count * y.size; ++k) y.data[k] += messages[i].data[k] * part;
  return y;
}

static rows vertex(reference *r, const graph_node *node, rows x) {
  const graph_model *m = &r->graph->models[node->model];
  const model *d = &m->description;
  scope s = {.r = r, .segments = node->aggregate == AGGREGATE_CONCAT ? node->incoming_count : 1};
  snprintf(s.name, sizeof s.name, "%s.", node->shared ? m->name : node->name);
  for (int64_t layer = 0; layer < d->layers; ++layer) {
    scope of_layer = inside(&s, arena_printf(r->arena, "%s%lld.", model_layer_prefix(d), (long long)layer));
    x = decoder_layer(&of_layer, x, d);
  }
  rows y = norm_of_model(&s, x, d, TENSOR_FINAL_NORM, TENSOR_FINAL_NORM_BIAS);
  int64_t last = y.count / s.segments;
  return (rows){y.data + (s.segments - 1) * last * y.size, last, y.size};
}

// ---- the loss ------------------------------------------------------------------------------------

static void lose(reference *r, const double *logits, int64_t columns, int32_t label) {
  double largest = -INFINITY, total = 0, mean = 0;
  int64_t best = 0;
  for (int64_t k = 0; k < columns; ++k) {
    if (logits[k] > logits[best]) best = k;
    largest = fmax(largest, logits[k]);
    mean += logits[k] / (double)columns;
  }
  for (int64_t k = 0; k < columns; ++k) total += exp(logits[k] - largest);
  double all = largest + log(total);
  r->plain += all - logits[label];
  r->loss += (1 - r->smoothing) * (all - logits[label]) + r->smoothing * (all - mean);
  r->right += best == label;
  r->counted++;
}

static rows head(reference *r, rows hidden) {
  const graph *g = r->graph;
  int model = g->nodes[g->node_count - 1].model;
  const struct model *d = &g->models[model].description;
  const double *weight = g->classes ? parameter_named(r, "output.head.weight")
                                    : of_model_named(r, model, d->tied ? TENSOR_EMBEDDING : TENSOR_HEAD);
  int64_t length = g->prefix + r->length;
  rows tokens = rows_new(r, r->batch * r->length, hidden.size);
  for (int64_t i = 0; i < tokens.count; ++i)
    memcpy(tokens.data + i * hidden.size,
           hidden.data + (i / r->length * length + g->prefix + i % r->length) * hidden.size,
           (size_t)hidden.size * sizeof(double));
  return linear(r, tokens, weight, NULL, g->classes ? g->classes : d->vocabulary, false);
}

void reference_free(reference *r) {
  if (r->arena) arena_destroy(r->arena);
  r->arena = NULL;
}

void reference_run(reference *r) {
  const graph *g = r->graph;
  reference_free(r);
  r->arena = arena_create();
  r->kink = INFINITY;
  rows *values = ARENA_ARRAY(r->arena, rows, g->node_count);
  r->nodes = ARENA_ARRAY(r->arena, double *, g->node_count);
  for (int i = 0; i < g->node_count; ++i) {
    const graph_node *node = &g->nodes[i];
    values[i] = node->kind == NODE_INPUT ? embed(r, node) : aggregate(r, node, values);
    if (node->kind == NODE_VERTEX) values[i] = vertex(r, node, values[i]);
    r->nodes[i] = values[i].data;
  }
  rows logits = head(r, values[g->node_count - 1]);
  r->logits = logits.data;
  r->loss = r->plain = 0;
  r->counted = r->right = 0;
  if (!r->labels) return;
  for (int64_t i = 0; i < (g->classes ? r->batch : logits.count); ++i) {
    int64_t row = g->classes ? i * r->length + r->last[i] : i;
    if (r->labels[i] >= 0) lose(r, logits.data + row * logits.size, logits.size, r->labels[i]);
  }
  if (r->counted) r->loss /= (double)r->counted;
}
