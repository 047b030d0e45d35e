// plan.json: written, read and written again it is the same; what a damaged one is refused with; that reading a large
// one is fast.
#include "runtime/plan.h"
#include "tests/unit/temporary.h"

#include <setjmp.h>
#include <cmocka.h> // after base.h: it has a macro fail

// A plan with every field in use.
static plan *example(arena *a) {
  plan *p = ARENA_NEW(a, plan);
  *p = (plan){.network = "net \"quoted\" \\ \n ü",
              .target = "cpu",
              .cpu = "x86-64-v3",
              .cpu_features = "+avx2",
              .tokenizer = "models/qwen",
              .vocabulary = 131,
              .classes = 4,
              .prefix = 5,
              .positions = 64,
              .bos = -1,
              .pad = 0,
              .eos = {3, 4},
              .eos_count = 2,
              .learned_positions = true,
              .parameter_bytes = 4096,
              .constant_bytes = 1024,
              .parameter_count = 4,
              .rotary_count = 1,
              .phase_count = 2,
              .entry_count = 2};
  p->parameters = ARENA_ARRAY(a, plan_parameter, 4);
  p->parameters[0] =
      (plan_parameter){"qwen.model.norm.weight", 1, {16, 1}, 0,       16,    SOURCE_TENSOR, "models/qwen",
                       "model.norm.weight",      0, 0,       "model", false, true};
  p->parameters[1] = (plan_parameter){
      "v[0]->v[1].0.weight", 2, {16, 32}, 64, 512, SOURCE_NORMAL, NULL, NULL, 0.1, 1.0 / 3, "edge", true, false};
  p->parameters[2] =
      (plan_parameter){"v[0]->v[1].0.bias", 1, {16, 1}, 2112, 16, SOURCE_ZEROS, NULL, NULL, 0, 0, "edge", false, false};
  p->parameters[3] = (plan_parameter){
      "v[0]->v[1].1.weight", 1, {16, 1}, 2176, 16, SOURCE_ONES, NULL, NULL, 0, 0, "edge", false, false};
  p->rotary = ARENA_NEW(a, plan_rotary);
  p->rotary[0] = (plan_rotary){0, 16, 8, 3, 500000, 32, 1, 4, 8192};
  p->phases = ARENA_ARRAY(a, plan_phase, 2);
  p->phases[0] = (plan_phase){.name = "edges",
                              .trained = ARENA_ARRAY(a, plan_trained, 2),
                              .trained_count = 2,
                              .gradient_bytes = 2112,
                              .lr = 1e-4,
                              .beta1 = 0.9,
                              .beta2 = 0.95,
                              .eps = 1e-8,
                              .weight_decay = 0.01,
                              .clip = 1,
                              .label_smoothing = 0.1,
                              .decay_all = true,
                              .schedule = 2,
                              .warmup = 100,
                              .steps = 2000,
                              .epochs = 3,
                              .batch = 8,
                              .length = 128,
                              .accumulate = 2,
                              .evaluate_every = 50,
                              .save_every = 60,
                              .schedule_final = 0.1,
                              .seed = UINT64_MAX,
                              .data = "a.csv",
                              .validation = "b.csv",
                              .prompt = "{x}",
                              .completion = "{y}"};
  p->phases[0].trained[0] = (plan_trained){1, 0};
  p->phases[0].trained[1] = (plan_trained){2, 2048};
  p->phases[1] = (plan_phase){.name = "all", .lr = 5e-324, .beta1 = 1.7976931348623157e308, .beta2 = 0.1 + 0.2};
  static const char *groups[] = {"v[0], \"v[1]\"", "input"};
  p->groups = groups, p->group_count = 2;
  p->entries = ARENA_ARRAY(a, plan_entry, 2);
  plan_entry *e = &p->entries[0];
  *e = (plan_entry){.name = "train:edges:4x8",
                    .kind = ENTRY_TRAIN,
                    .phase = 0,
                    .batch = 4,
                    .length = 8,
                    .packed = true,
                    .recompute = "layers",
                    .arena_bytes = 65536,
                    .input_bytes = 512,
                    .output_bytes = 64,
                    .cache_bytes = 128,
                    .inputs = ARENA_ARRAY(a, plan_value, 2),
                    .input_count = 2,
                    .outputs = ARENA_NEW(a, plan_value),
                    .output_count = 1,
                    .launches = ARENA_ARRAY(a, plan_launch, 4),
                    .launch_count = 4,
                    .vertex_runs = 5,
                    .vertices = 14,
                    .masks = 1,
                    .mask_uses = 55,
                    .flops = 123456789012345};
  e->inputs[0] = (plan_value){"input_ids", TYPE_I32, 2, {4, 8}, {SPACE_INPUT, 0}};
  e->inputs[1] = (plan_value){"scale", TYPE_F32, 1, {1}, {SPACE_INPUT, 128}};
  e->outputs[0] = (plan_value){"loss", TYPE_F32, 1, {1}, {SPACE_OUTPUT, 0}};
  static plan_ref row[] = {
      {SPACE_INPUT, 0}, {SPACE_PARAMETER, 64}, {SPACE_ARENA, 65532}, {SPACE_CONSTANT, 0}, {SPACE_CACHE, 128}};
  static plan_ref product[] = {{SPACE_ARENA, 0},    {SPACE_ARENA, 4096}, {SPACE_PARAMETER, 64}, {SPACE_PARAMETER, 64},
                               {SPACE_ARENA, 8192}, {SPACE_GRADIENT, 0}, {SPACE_OUTPUT, 0}};
  static int64_t dims[] = {4, -8, INT64_MIN, INT64_MAX};
  e->launches[0] = (plan_launch){.kernel = "embed_0",
                                 .what = "embed \"input\"",
                                 .shape = "4x8",
                                 .group = 2,
                                 .flops = 5,
                                 .bytes = INT64_MAX,
                                 .args = row,
                                 .arg_count = 5,
                                 .dims = dims,
                                 .dim_count = 4,
                                 .tasks = 32,
                                 .grain = 4,
                                 .scratch = 256};
  e->launches[1] = (plan_launch){.kind = LAUNCH_GEMM,
                                 .kernel = "bias_1",
                                 .what = "linear",
                                 .args = product,
                                 .arg_count = 7,
                                 .gemm = {16, 16, 32, 32, 32, 16, 2, false, true, true}};
  e->launches[2] = (plan_launch){
      .kind = LAUNCH_GEMM, .args = product, .arg_count = 7, .gemm = {32, 16, 16, 32, 16, 16, 2, true, false, false}};
  e->launches[3] =
      (plan_launch){.kernel = "glu_2", .args = product, .arg_count = 2, .tasks = 64, .grain = 1, .rides = true};
  p->entries[1] = (plan_entry){.name = "extend:1x0:16", .kind = ENTRY_EXTEND, .phase = -1, .batch = 1, .capacity = 16};
  return p;
}

// The same for a GPU: a launch whose parameters are passed by value and one with them in a table.
static plan *cuda_example(arena *a) {
  plan *p = example(a);
  p->target = "sm_90a";
  p->precision = "bf16";
  p->cpu = p->cpu_features = NULL;
  plan_entry *e = &p->entries[0];
  e->launch_count = 2;
  static plan_ref many[501];
  static int64_t after[] = {0};
  static plan_map maps[] = {{{SPACE_ARENA, 4096}, 2, 80, 16, 3, 160, 2560, 64, 16, 128, 0, 0},
                            {{SPACE_GRADIENT, 64}, 4, 8, 2, 1, 32, 32, 8, 2, 0, 0, 0},
                            {{SPACE_ARENA, 8192}, 2, 16, 9, 3, 160, 2560, 16, 4, 32, 5, 2}};
  e->launches[0] = (plan_launch){.kind = LAUNCH_CUDA,
                                 .kernel = "embed_0",
                                 .args = e->launches[0].args,
                                 .arg_count = 5,
                                 .dims = e->launches[0].dims,
                                 .dim_count = 4,
                                 .grid = {4096, 2, 1},
                                 .block = 256,
                                 .shared = 49152,
                                 .processors = true,
                                 .maps = maps,
                                 .map_count = 3,
                                 .room = {4, 8, 16}};
  e->launches[1] = (plan_launch){.kind = LAUNCH_CUDA,
                                 .kernel = "sum",
                                 .args = many,
                                 .arg_count = 501,
                                 .grid = {1, 1, 1},
                                 .block = 1,
                                 .table = true,
                                 .ordered = true,
                                 .after = after,
                                 .after_count = 1};
  return p;
}

static bool read_text(arena *a, const char *json, size_t length, plan **p, lmn_error *error) {
  *error = (lmn_error){0};
  return plan_read(a, temporary_file("plan.json", json, length), p, error);
}

static void same_again(void **state) {
  (void)state;
  arena *a = arena_create();
  text first = {0}, second = {0};
  plan_write(example(a), &first);
  plan *p;
  lmn_error error;
  if (!read_text(a, first.data, first.length, &p, &error)) fail_msg("%s\n%s", error.text, first.data);
  plan_write(p, &second);
  assert_string_equal(first.data, second.data);
  assert_string_equal(p->network, "net \"quoted\" \\ \n ü");
  assert_int_equal(p->parameters[1].elements, 512);
  assert_true(p->parameters[1].std == 1.0 / 3 && p->phases[1].lr == 5e-324 && p->phases[1].beta2 == 0.1 + 0.2);
  assert_true(p->phases[0].seed == UINT64_MAX && p->phases[1].data == NULL && p->phases[0].decay_all);
  assert_int_equal(p->entries[0].flops, 123456789012345);
  assert_int_equal(p->entries[1].phase, -1);
  const plan_launch *l = p->entries[0].launches;
  assert_true(l[0].kind == LAUNCH_KERNEL && l[1].kind == LAUNCH_GEMM && l[2].kernel == NULL && l[2].what == NULL);
  assert_true(l[0].group == 2 && l[0].flops == 5 && l[0].bytes == INT64_MAX && !l[1].group && !l[1].shape);
  assert_string_equal(l[0].shape, "4x8");
  assert_string_equal(p->groups[0], "v[0], \"v[1]\"");
  assert_true(l[0].dims[2] == INT64_MIN && l[0].dims[3] == INT64_MAX && l[0].scratch == 256);
  assert_true(l[1].gemm.trans_b && !l[1].gemm.trans_a && l[1].gemm.accumulate && l[1].gemm.groups == 2 &&
              l[2].gemm.trans_a);
  assert_true(l[1].args[5].space == SPACE_GRADIENT && l[0].args[2].offset == 65532);
  assert_non_null(strstr(first.data, "\"lr\":0.0001,")); // short, not 0.00010000000000000000479
  assert_ptr_equal(plan_find(p, ENTRY_TRAIN, 0, 4, 8), &p->entries[0]);
  assert_ptr_equal(plan_find(p, ENTRY_EXTEND, -1, 1, 0), &p->entries[1]);
  assert_null(plan_find(p, ENTRY_TRAIN, 0, 4, 9));
  assert_null(plan_find(p, ENTRY_TRAIN, 1, 4, 8));
  text_free(&first);
  text_free(&second);
  arena_destroy(a);
}

static void launches_of_a_gpu(void **state) {
  (void)state;
  arena *a = arena_create();
  text first = {0}, second = {0};
  plan_write(cuda_example(a), &first);
  plan *p;
  lmn_error error;
  if (!read_text(a, first.data, first.length, &p, &error)) fail_msg("%s\n%s", error.text, first.data);
  plan_write(p, &second);
  assert_string_equal(first.data, second.data);
  assert_string_equal(p->target, "sm_90a");
  assert_string_equal(p->precision, "bf16");
  const plan_launch *l = p->entries[0].launches;
  assert_true(l[0].kind == LAUNCH_CUDA && l[0].grid[0] == 4096 && l[0].grid[1] == 2 && l[0].grid[2] == 1);
  assert_true(!l[0].ordered && l[1].ordered && l[1].after_count == 1 && l[1].after[0] == 0);
  assert_true(l[0].block == 256 && l[0].shared == 49152 && !l[0].table && l[1].table && l[1].arg_count == 501);
  assert_true(l[0].processors && !l[1].processors);
  assert_true(l[0].room.maps == 4 && l[0].room.args == 8 && l[0].room.dims == 16 && !l[1].room.args);
  assert_true(plan_parameter_bytes(&l[0]) == 704 && plan_parameter_bytes(&l[1]) == 8 * 501);
  plan_write(example(a), &second);
  if (!read_text(a, second.data + first.length, second.length - first.length, &p, &error)) fail_msg("%s", error.text);
  assert_string_equal(p->precision, "f32");
  text_free(&first);
  text_free(&second);
  arena_destroy(a);
}

static void bytes_that_are_no_text(void **state) {
  (void)state;
  arena *a = arena_create();
  text out = {0};
  plan *p = example(a);
  p->tokenizer = "caf\xe9/\xed\xa0\x80/\xc0\xaf/\xf0\x9f\x99\x82/\xe2\x82";
  plan_write(p, &out);
  lmn_error error;
  if (!read_text(a, out.data, out.length, &p, &error)) fail_msg("%s", error.text);
  assert_non_null(strstr(p->tokenizer, "\xf0\x9f\x99\x82"));
  text_free(&out);
  arena_destroy(a);
}

// `from`, which is in the text once or more, replaced by `to` where it is first.
static void replaced(const text *whole, const char *from, const char *to, text *result) {
  const char *at = strstr(whole->data, from);
  if (!at) fail_msg("the plan has no %s:\n%s", from, whole->data);
  result->length = 0;
  text_add_bytes(result, whole->data, (size_t)(at - whole->data));
  text_add(result, to);
  text_add(result, at + strlen(from));
}

typedef struct refusal {
  const char *from, *to, *expected;
} refusal;

static void check_refused(plan *make(arena *), const refusal *cases, size_t count) {
  arena *a = arena_create();
  text whole = {0}, changed = {0};
  plan_write(make(a), &whole);
  for (size_t i = 0; i < count; ++i) {
    plan *p;
    lmn_error error;
    replaced(&whole, cases[i].from, cases[i].to, &changed);
    if (read_text(a, changed.data, changed.length, &p, &error))
      fail_msg("taken: %s instead of %s", cases[i].to, cases[i].from);
    if (!strstr(error.text, cases[i].expected)) fail_msg("%s\nhas no: %s", error.text, cases[i].expected);
    if (!strstr(error.text, "/plan.json:") || !strstr(error.text, "; compile the network again"))
      fail_msg("%s", error.text);
  }
  text_free(&whole);
  text_free(&changed);
  arena_destroy(a);
}

static void refused(void **state) {
  (void)state;
  static const refusal cases[] = {
      {"\"format\":3", "\"format\":1", "format: is 1; this program reads 3"},
      {"\"vocabulary\":131", "\"vocabulary\":0", "vocabulary: must be an integer of at least 1"},
      {"\"vocabulary\":131,", "", "vocabulary: is missing"},
      {"\"classes\"", "\"klasses\"", "has a field \"klasses\", which is not known"},
      {"\"eos\":[3,4]", "\"eos\":[1,2,3,4,5,6,7,8,9]", "eos: must have at most 8 numbers"},
      {"\"eos\":[3,4]", "\"eos\":[3,-4]", "eos[1]: must be an integer of at least 0"},
      {"\"shape\":[16,32]", "\"shape\":[16,64]",
       "parameters[1].offset: is 64: the parameter does not lie in the 4096 bytes"},
      {"\"shape\":[16,32]", "\"shape\":[4611686018427387904,4]", "parameters[1].offset"},
      {"\"shape\":[16,32]", "\"shape\":[16,16,2]", "parameters[1].shape: must have at most 2 numbers"},
      {"\"offset\":64", "\"offset\":66", "parameters[1].offset: is 66"},
      {"\"source\":\"ones\"", "\"source\":\"twos\"", "parameters[3].source: is \"twos\", which is not known"},
      {"\"dim\":8", "\"dim\":17", "rotary[0].offset"},
      {"\"kind\":3", "\"kind\":4", "rotary[0].kind"},
      {"\"trained\":[[1,0]", "\"trained\":[[4,0]", "phases[0].trained[0]: must be a parameter's number, below 4"},
      {"[2,2048]", "[2,2052]", "phases[0].trained[1]: offset 2052: the gradient does not lie in the 2112 bytes"},
      {"\"seed\":\"1", "\"seed\":\"x", "phases[0].seed: must be a number"},
      {"\"schedule\":2", "\"schedule\":3", "phases[0].schedule"},
      {"\"lr\":0.0001", "\"lr\":null", "phases[0].lr: must be a number"},
      {"\"kind\":\"train\"", "\"kind\":\"tran\"", "entries[0].kind: is \"tran\""},
      {"\"phase\":0", "\"phase\":2", "entries[0].phase: is 2; there are 2"},
      {"\"at\":\"i128\"", "\"at\":\"i512\"", "entries[0].inputs[1].at: the value does not lie in the 512 bytes"},
      {"\"at\":\"i128\"", "\"at\":\"a128\"", "entries[0].inputs[1].at: must be in input"},
      {"\"type\":\"i32\"", "\"type\":\"i33\"", "entries[0].inputs[0].type"},
      {"\"at\":\"o0\"", "\"at\":\"a0\"", "entries[0].outputs[0].at: must be in output"},
      {"\"shape\":[4,8]", "\"shape\":[4,7]", "entries[0]: input_ids must be 32 elements of i32 in input"},
      {"\"shape\":[4,8]", "\"shape\":[]", "entries[0]: input_ids must be 32 elements"},
      {"\"batch\":4,\"length\":8,\"packed\"", "\"batch\":4,\"length\":4611686018427387904,\"packed\"",
       "entries[0]: input_ids must be -1 elements"},
      {"\"name\":\"scale\",\"type\":\"f32\",\"shape\":[1]", "\"name\":\"scale\",\"type\":\"f32\",\"shape\":[0]",
       "entries[0]: scale must be 1 elements of f32"},
      {"a65532 ", "a65540 ",
       "entries[0].launches[0].args[2]: a65540 must be a multiple of 4 within the 65536 bytes of space arena"},
      {"a65532 ", "a65531 ", "entries[0].launches[0].args[2]"},
      {"\"group\":2", "\"group\":3", "entries[0].launches[0].group: is 3; there are 2"},
      {"\"input\"]", "7]", "groups[1]: must be text"},
      {"a65532 ", "a-4 ", "entries[0].launches[0].args[2]: a-4 must be a multiple of 4 within"},
      {"a65532 ", "a99999999999999999999 ", "entries[0].launches[0].args[2]: must be a space's letter and an offset"},
      {"a65532 ", "a ", "entries[0].launches[0].args[2]: must be a space's letter and an offset"},
      {"a65532 ", "x4 ", "entries[0].launches[0].args[2]: must be a space's letter and an offset"},
      {"a65532 ", "a4, ", "entries[0].launches[0].args[2]: must be a space's letter and an offset"},
      {"a65532 ", "a65532  ", "entries[0].launches[0].args: must be places with one space"},
      {"\"kernel\":\"embed_0\"", "\"kernel\":\"embed 0\"",
       "entries[0].launches[0].kernel: \"embed 0\" is no kernel's name"},
      {"\"kernel\":\"embed_0\",", "", "entries[0].launches[0].kernel: is missing"},
      {"nt+ 16 16 32 32 32 16 2\"", "nt+ 16 16 32 32 32 16 3\"",
       "entries[0].launches[1].args: are 7, too few for 3 groups"},
      {"nt+ 16 16 32 32 32 16 2\"", "nt+ 16 16 32 32 32 16 9223372036854775807\"", "too few for"},
      {"nt+ 16 16 32 32 32 16 2\"", "nt+ 16 16 32 32 32\"", "entries[0].launches[1].gemm: must be as \"nt m n k"},
      {"nt+ 16 16 32 32 32 16 2\"", "nt+ 16 16 32 31 32 16 2\"",
       "entries[0].launches[1].args[0]: matrix A does not lie"},
      {"nt+ 16 16 32 32 32 16 2\"", "nt+ 16 40 32 32 32 40 2\"",
       "entries[0].launches[1].args[2]: matrix B does not lie in the 4096 bytes"},
      {"nt+ 16 16 32 32 32 16 2\"", "nt+ 4000 16 32 32 32 16 2\"", "matrix A does not lie in the 65536 bytes"},
      {"\"tasks\":32", "\"tasks\":-1", "entries[0].launches[0].tasks"},
      {"\"tasks\":64", "\"tasks\":63", "entries[0].launches[3]: rides on no product of as many rows"},
      {"\"tasks\":32", "\"rides\":true,\"tasks\":32", "entries[0].launches[0]: rides on no product"},
      {"\"recompute\":\"layers\"", "\"recompute\":1", "entries[0].recompute"},
      {"\"dims\":\"4 -8", "\"dims\":\"4 0.5", "entries[0].launches[0].dims: must be numbers"},
      {"\"gemm\":\"nt+ ", "\"gemm\":\"nx+ ", "entries[0].launches[1].gemm: must be as \"nt m n k lda"},
      {"\"gemm\":\"nt+ 16", "\"gemm\":\"nt+ -16", "entries[0].launches[1].gemm: must be as \"nt m n k lda"},
      {"\"spaces\":\"p parameter", "\"spaces\":\"q parameter", "spaces: must be"},
      {"\"parameter_bytes\":4096", "\"parameter_bytes\":4096,\"parked_bytes\":4", "parked_bytes: is 4, of 4096 bytes"},
      {"\"arena_bytes\":65536", "\"arena_bytes\":99999999999999999999", "plan.json:"},
  };
  check_refused(example, cases, LENGTH(cases));
}

static void refused_of_a_gpu(void **state) {
  (void)state;
  static const refusal cases[] = {
      {"\"precision\":\"bf16\"", "\"precision\":\"f16\"", "precision: is \"f16\", which is not known"},
      {"\"parameter_bytes\":4096", "\"parameter_bytes\":4096,\"parked_bytes\":4000",
       "phases[0].trained[0]: v[0]->v[1].0.weight is trained, and lies among the 4000 parked bytes"},
      {"\"parameter_bytes\":4096", "\"parameter_bytes\":4096,\"parked_bytes\":4100", "parked_bytes: is 4100"},
      {"\"target\":\"sm_90a\"", "\"target\":\"gpu\"", "target: is \"gpu\", which is not known"},
      {"\"target\":\"sm_90a\"", "\"target\":\"cpu\"", "entries[0].launches[0]: is no launch for the target cpu"},
      {"\"cuda\":\"4096 2 1 256 49152\",", "", "entries[0].launches[0]: is no launch for the target sm_90a"},
      {"4096 2 1 256 49152", "0 2 1 256 49152", "entries[0].launches[0].cuda: must be three sizes"},
      {"4096 2 1 256 49152", "2147483648 2 1 256 49152", "entries[0].launches[0].cuda: must be three sizes"},
      {"4096 2 1 256 49152", "4096 65536 1 256 49152", "entries[0].launches[0].cuda: must be three sizes"},
      {"4096 2 1 256 49152", "4096 2 1 1025 49152", "entries[0].launches[0].cuda: must be three sizes"},
      {"4096 2 1 256 49152", "4096 2 1 256 232449", "entries[0].launches[0].cuda: must be three sizes"},
      {"4096 2 1 256 49152", "4096 2 1 256", "entries[0].launches[0].cuda: must be three sizes"},
      {"4096 2 1 256 49152", "4096, 2 1 256 49152", "entries[0].launches[0].cuda: must be numbers"},
      {"\"after\":\"0\"", "\"after\":\"1\"", "entries[0].launches[1].after: must be launches before this one"},
      {"\"after\":\"0\"", "\"after\":\"0 0\"", "entries[0].launches[1].after: must be launches before this one"},
      {"\"after\":\"0\"", "\"after\":\"-1\"", "entries[0].launches[1].after: must be launches before this one"},
      {"\"after\":\"0\"", "\"after\":\"0 x\"", "entries[0].launches[1].after: must be numbers"},
      {"\"table\":true,", "", "entries[0].launches[1].table: must be true: 501 args and 0 dims"},
      {"\"maps\":[\"a4096 2", "\"maps\":[\"a4096 3", "entries[0].launches[0].maps[0]: is no tensor map"},
      {"\"maps\":[\"a4096 2", "\"maps\":[\"a4104 2", "entries[0].launches[0].maps[0]: is no tensor map"},
      {"\"maps\":[\"a4096 2", "\"maps\":[\"a64000 2",
       "entries[0].launches[0].maps[0]: does not lie in the 65536 bytes"},
      {"a4096 2 80 16 3 160 2560", "a4096 2 80 16 9 160 1099511627760", "maps[0]: does not lie in the 65536 bytes"},
      {"a4096 2 80 16 3 160 2560", "a4096 2 80 16 3 168 2560", "entries[0].launches[0].maps[0]: is no tensor map"},
      {"a4096 2 80 16 3 160 2560", "a4096 2 4294967296 16 3 160 2560", "launches[0].maps[0]: is no tensor map"},
      {"64 16 128\"", "64 257 128\"", "entries[0].launches[0].maps[0]: is no tensor map"},
      {"64 16 128\"", "64 16 64\"", "entries[0].launches[0].maps[0]: is no tensor map"},
      {"64 16 128\"", "64 16 96\"", "entries[0].launches[0].maps[0]: is no tensor map"},
      {"64 16 128\"", "64 16\"", "entries[0].launches[0].maps[0]: must be a place and 9 numbers"},
      {"\"g64 4 8 2 1 32 32 8 2 0\"", "7", "entries[0].launches[0].maps[1]: must be a place and 9 numbers"},
      {"\"g64 4 8 2 1 32 32 8 2 0\"", "\"x64 4 8 2 1 32 32 8 2 0\"", "launches[0].maps[1]: must be a space's letter"},
      {"16 4 32 5 2\"", "16 4 32 5\"", "entries[0].launches[0].maps[2]: must be a place and 9 numbers, or 11"},
      {"16 4 32 5 2\"", "16 4 32 5 257\"", "entries[0].launches[0].maps[2]: is no tensor map"},
      {"16 4 32 5 2\"", "16 4 32 -1 2\"", "entries[0].launches[0].maps[2]: is no tensor map"},
      {"16 4 32 5 2\"", "16 4 32 4000 2\"", "entries[0].launches[0].maps[2]: does not lie in the 65536 bytes"},
      {"\"kernel\":\"embed_0\"", "\"table\":true,\"kernel\":\"embed_0\"",
       "entries[0].launches[0].maps: cannot be passed by value"},
      {"\"room\":\"4 8 16\"", "\"room\":\"4 8\"", "entries[0].launches[0].room: must be as many maps, args and dims"},
      {"\"room\":\"4 8 16\"", "\"room\":\"2 8 16\"", "entries[0].launches[0].room: must be as many maps"},
      {"\"room\":\"4 8 16\"", "\"room\":\"4 4 16\"", "entries[0].launches[0].room: must be as many maps"},
      {"\"room\":\"4 8 16\"", "\"room\":\"4 8 3\"", "entries[0].launches[0].room: must be as many maps"},
      {"\"room\":\"4 8 16\"", "\"room\":\"300 8 16\"", "entries[0].launches[0].maps: cannot be passed by value"},
      {"\"room\":\"4 8 16\"", "\"room\":\"4 8 99999999999\"", "entries[0].launches[0].room: must be as many maps"},
      {"\"table\":true,", "\"table\":true,\"room\":\"0 600 0\",",
       "entries[0].launches[1].room: does not go with table"},
      {"\"kernel\":\"embed_0\"", "\"rides\":true,\"kernel\":\"embed_0\"",
       "entries[0].launches[0].cuda: does not go with rides"},
      {"\"kernel\":\"embed_0\",", "", "entries[0].launches[0].kernel: is missing"},
      {"\"kernel\":\"embed_0\"", "\"kernel\":\"../embed_0\"", "\"../embed_0\" is no kernel's name"},
  };
  check_refused(cuda_example, cases, LENGTH(cases));
}

// A launch may name all parameters but the parked ones, of which the first begins where the space ends.
static void parked_are_of_no_launch(void **state) {
  (void)state;
  enum { HERE = 2176 };
  arena *a = arena_create();
  lmn_error error;
  for (int64_t offset = HERE - 4; offset <= HERE; offset += 4) {
    plan_ref args[] = {{SPACE_PARAMETER, offset}, {SPACE_WEIGHT, HERE / 2}};
    plan *p = cuda_example(a), *read;
    p->parked_bytes = p->parameter_bytes - HERE;
    p->entries[0].launches[0].args = args, p->entries[0].launches[0].arg_count = LENGTH(args);
    text out = {0};
    plan_write(p, &out);
    assert_int_equal(read_text(a, out.data, out.length, &read, &error), offset < HERE);
    text_free(&out);
  }
  assert_non_null(strstr(error.text, "launches[0].args[0]: p2176 must be a multiple of 2 within the 2176 bytes"));
  arena_destroy(a);
}

// Whatever is read lies in its spaces.
static void check_sane(const plan *p) {
  for (int i = 0; i < p->parameter_count; ++i) {
    const plan_parameter *q = &p->parameters[i];
    assert_true(q->offset >= 0 && q->elements >= 0 && q->offset + q->elements * 4 <= p->parameter_bytes);
  }
  for (int i = 0; i < p->entry_count; ++i) {
    const plan_entry *e = &p->entries[i];
    assert_true(e->phase >= -1 && e->phase < p->phase_count);
    for (int j = 0; j < e->launch_count; ++j) {
      const plan_launch *l = &e->launches[j];
      assert_true(l->kind == LAUNCH_GEMM ? l->gemm.groups * 3 <= l->arg_count : l->kernel != NULL);
      assert_true((l->kind == LAUNCH_CUDA) == (strcmp(p->target, "cpu") != 0));
      if (l->kind == LAUNCH_CUDA)
        assert_true(l->grid[0] > 0 && l->grid[1] > 0 && l->grid[2] > 0 && l->block > 0 && l->block <= 1024);
      for (int k = 0; k < l->arg_count; ++k) {
        assert_true(l->args[k].space < SPACE_COUNT && l->args[k].offset % (plan_is_bf16(p) ? 2 : 4) == 0 &&
                    l->args[k].offset >= 0);
        if (l->args[k].space == SPACE_ARENA) assert_true(l->args[k].offset <= e->arena_bytes);
        if (l->args[k].space == SPACE_PARAMETER) assert_true(l->args[k].offset <= p->parameter_bytes);
      }
    }
  }
}

static void check_any(const char *json, size_t length) {
  arena *a = arena_create();
  plan *p;
  lmn_error error;
  if (read_text(a, json, length, &p, &error)) check_sane(p);
  else assert_non_null(strstr(error.text, "plan.json:"));
  arena_destroy(a);
}

static void mutate(plan *make(arena *), const char *seed) {
  static const char alphabet[] = "0123456789999-.eE\"\\{}[],:nulltrue \x01\xff";
  arena *a = arena_create();
  text whole = {0};
  plan_write(make(a), &whole);
  char *copy = memory_alloc(whole.length);
  random_stream r = random_named(1, seed);
  for (int i = 0; i < 4000; ++i) {
    memcpy(copy, whole.data, whole.length);
    size_t length = whole.length;
    for (uint64_t edits = random_next(&r) % 3 + 1; edits > 0; --edits) {
      size_t at = random_next(&r) % length;
      // Often a digit for a digit: what remains JSON and must be found by meaning.
      copy[at] = copy[at] >= '0' && copy[at] <= '9' && random_next(&r) % 4
                     ? (char)('0' + random_next(&r) % 10)
                     : alphabet[random_next(&r) % (sizeof alphabet - 1)];
    }
    if (random_next(&r) % 8 == 0) length = random_next(&r) % length;
    check_any(copy, length);
  }
  free(copy);
  text_free(&whole);
  arena_destroy(a);
}

static void mutated(void **state) {
  (void)state;
  mutate(example, "plans");
  mutate(cuda_example, "plans of a gpu");
}

// 5,000 launches of a wide network and 1,000 parameters.
static void large(void **state) {
  (void)state;
  arena *a = arena_create();
  plan *p = example(a);
  p->parameter_count = 1000;
  plan_parameter *parameters = ARENA_ARRAY(a, plan_parameter, 1000);
  for (int i = 0; i < 1000; ++i) parameters[i] = p->parameters[i % 4];
  p->parameters = parameters;
  plan_entry *e = &p->entries[0];
  plan_launch *launches = ARENA_ARRAY(a, plan_launch, 5000);
  for (int i = 0; i < 5000; ++i) launches[i] = e->launches[i % 3];
  e->launches = launches;
  e->launch_count = 5000;
  text out = {0};
  plan_write(p, &out);
  lmn_error error;
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    double start = clock_seconds();
    if (!read_text(a, out.data, out.length, &p, &error)) fail_msg("%s", error.text);
    double seconds = clock_seconds() - start;
    if (seconds < best) best = seconds;
  }
  assert_int_equal(p->entries[0].launch_count, 5000);
  print_message("%zu bytes read in %.1f ms\n", out.length, best * 1e3);
#ifndef __SANITIZE_ADDRESS__
  assert_true(best < 0.5); // about 20 ms; a machine may be busy
#endif
  text_free(&out);
  arena_destroy(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(same_again), cmocka_unit_test(launches_of_a_gpu),       cmocka_unit_test(bytes_that_are_no_text),
      cmocka_unit_test(refused),    cmocka_unit_test(refused_of_a_gpu),        cmocka_unit_test(mutated),
      cmocka_unit_test(large),      cmocka_unit_test(parked_are_of_no_launch),
  };
  return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
