// links: frontend
// lmnc fmt: the layout, and that nothing but blanks changes: the same tokens and comments, the same graph, and the same
// text when formatted again. LMN_MUTATIONS sets how many networks are made, LMN_MUTATION_SEED where they start.
#include "lmn_text.h"
#include "frontend/format.h"
#include "frontend/parser.h"

#include <glob.h>

// The formatted text; false where it does not parse.
static bool formatted(arena *a, const char *data, size_t length, text *out) {
  diagnostics d = {.arena = a};
  d.source = source_create(a, "net.lmn", data, length, 0);
  bool ok = format_source(&d, out);
  assert_true(ok == (d.count == 0));
  return ok;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\f'; }

// Tokens and comments one a line, comments without the blanks that formatting may change.
static void print_lexemes(arena *a, const char *data, size_t length, text *out) {
  diagnostics d = {.arena = a};
  lexeme_list list = {0};
  d.source = source_create(a, "net.lmn", data, length, 0);
  ast_network *network = parse_lexemes(&d, &list);
  assert_non_null(network);
  for (int i = 0; i < list.count; ++i) {
    const char *at = data + list.items[i].offset, *end = at + list.items[i].length;
    bool comment = list.items[i].kind == LEXEME_COMMENT;
    for (; at < end; ++at)
      if (!comment || !is_blank(*at)) text_add_bytes(out, at, 1);
    text_add(out, "\n");
  }
  ast_print(network, out);
  free(list.items);
}

// cmocka's own message has 1024 bytes at most.
static void differ(const char *what, const char *first, size_t length, const text *second) {
  fprintf(stderr, "%s:\n%.*s\n----\n%s\n", what, (int)length, first, second->data);
  fail();
}

// Formats the text and checks all that must stay. False where it does not parse.
static bool check_formatting(const char *data, size_t length) {
  arena *a = arena_create();
  text once = {0}, twice = {0}, before = {0}, after = {0};
  bool right = formatted(a, data, length, &once);
  if (right) {
    assert_true(formatted(a, once.data, once.length, &twice));
    if (once.length != twice.length || memcmp(once.data, twice.data, once.length))
      differ("formatted again it changes", once.data, once.length, &twice);
    print_lexemes(a, data, length, &before);
    print_lexemes(a, once.data, once.length, &after);
    if (before.length != after.length || memcmp(before.data, after.data, before.length))
      differ("formatting changes more than blanks", data, length, &once);
  }
  text_free(&once);
  text_free(&twice);
  text_free(&before);
  text_free(&after);
  arena_destroy(a);
  return right;
}

static const struct {
  const char *before, *after;
} layouts[] = {
    {"network n{input->v;v->output;}", "network n { input -> v; v -> output; }\n"},
    {"network n {\n\n\ninput->v ;\n\n\n\nv->output;\n\n}\n\n\n", "network n {\n  input -> v;\n\n  v -> output;\n}\n"},
    {"network n {\n}", "network n {}\n"},
    {"network n {\nmodel m=\"x\";\nvertex v [1,4] :m[share=false];\nedge e=linear ( out=2 ) then gelu;\n\nedge f = "
     "gelu;}",
     "network n {\n  model  m = \"x\";\n  vertex v[1, 4] : m [share = false];\n  edge   e = linear(out = 2) then "
     "gelu;\n\n"
     "  edge f = gelu;\n}\n"},
    {"network n {\n{a[1] b [ -1 ],c[0 .. n]}[edge=e]->output;}",
     "network n {\n  {a[1] b[-1], c[0..n]} [edge = e] -> output;\n}\n"},
    {"network n {\nparam x=-(1- -2)*3;param y=not true and-1<2;param z=[[1],[ ]][-1];}",
     "network n {\n  param x = -(1 - -2) * 3;\n  param y = not true and -1 < 2;\n  param z = [[1], []][-1];\n}\n"},
    {"network n {\ntrain{\nsteps=1;\nbatch=2;\nlr_x=3;\nphase a{steps=1;}\nphase longer{steps=1;}\n\nphase "
     "b{\nsteps=1;\nclip=2.0;}}}",
     "network n {\n  train {\n    steps = 1;\n    batch = 2;\n    lr_x  = 3;\n    phase a      { steps = 1; }\n"
     "    phase longer { steps = 1; }\n\n    phase b {\n      steps = 1;\n      clip  = 2.0;\n    }\n  }\n}\n"},
    {"network n {\nif a{b->c;}else if d {e->f;} else{\ng->h;}\nfor i in 0 .. len(v)-1{a[i]->b;c->d;}}",
     "network n {\n  if a {\n    b -> c;\n  } else if d {\n    e -> f;\n  } else {\n    g -> h;\n  }\n"
     "  for i in 0..len(v) - 1 { a[i] -> b; c -> d; }\n}\n"},
    // comments
    {"// first  \n\n\n/* second */ network n { // opens\n// own\n\n a->b;// behind\n /* before */ c->d; /* last */\n "
     "/* in */ }// end\n//EOF",
     "// first\n\n/* second */ network n {                     // opens\n  // own\n\n"
     "  a -> b;                                    // behind\n"
     "  /* before */ c -> d;                       /* last */\n  /* in */\n}                                           "
     " // end\n//EOF\n"},
    {"network n {\nparam x=[1,// one\n2, /* two */ 3\n// last\n];\nv [ // options\nedge=e ]->w;\nif a {\n} // "
     "why\nelse {b->c;\n}}",
     "network n {\n  param x = [1,                              // one\n             2, /* two */ 3\n             // "
     "last\n"
     "            ];\n  v [                                        // options\n     edge = e] -> w;\n"
     "  if a {}                                    // why\n  else {\n    b -> c;\n  }\n}\n"},
    {"network n {\n      /* a\n         b\n    c */\n  a->b;\n}", "network n {\n  /* a\n     b\nc */\n  a -> b;\n}\n"},
    // trailing comments move with their neighbours
    {"network n {\n  a -> b; // x\n  a_rather_long_name -> another_rather_long_name; // y\n\n  a -> c; // z\n}",
     "network n {\n  a -> b;                                         // x\n"
     "  a_rather_long_name -> another_rather_long_name; // y\n\n  a -> c;                                    // "
     "z\n}\n"},
};

static void layout(void **state) {
  (void)state;
  for (size_t i = 0; i < LENGTH(layouts); ++i) {
    arena *a = arena_create();
    text out = {0};
    const char *before = layouts[i].before;
    assert_true(formatted(a, before, strlen(before), &out));
    if (strcmp(out.data, layouts[i].after))
      fail_msg("%s\n---- expected:\n%s---- formatted:\n%s", before, layouts[i].after, out.data);
    check_formatting(before, strlen(before));
    text_free(&out);
    arena_destroy(a);
  }
}

// Adds `count` texts with `between` them.
static void add_many(text *t, int count, const char *item, const char *between) {
  for (int i = 0; i < count; ++i) text_printf(t, "%s%s", i ? between : "", item);
}

static void long_lines(void **state) {
  (void)state;
  text t = {0}, out = {0};
  text_add(&t, "network n { param x = [");
  add_many(&t, 300, "1000", ",");
  text_add(&t, "]; edge e = ");
  add_many(&t, 20, "residual(linear(out = 1, bias = false))", " then ");
  text_add(&t, "; edge f = residual(");
  add_many(&t, 20, "attention(heads = 4)", " then ");
  text_add(&t, "); {");
  add_many(&t, 50, "vertex_name[3]", " ");
  text_add(&t, "} -> b [edge = ");
  add_many(&t, 9, "linear", " then ");
  text_add(&t, "]; a [edge = ");
  add_many(&t, 150, "f(", "");
  add_many(&t, 150, ")", "");
  text_add(&t, "]; }");
  arena *a = arena_create();
  assert_true(formatted(a, t.data, t.length, &out));
  size_t width = 0;
  for (const char *at = out.data; (at = strchr(at, '\n')); ++at) {
    const char *start = at;
    while (start > out.data && start[-1] != '\n') --start;
    if ((size_t)(at - start) > width) width = (size_t)(at - start);
  }
  if (width > FORMAT_WIDTH * 4) fail_msg("a line has %zu columns", width); // the brackets that have nothing to break at
  if (!strstr(out.data, "  param x = [1000, ") || !strstr(out.data, ",\n             1000, "))
    fail_msg("elements are not aligned:\n%s", out.data);
  if (!strstr(out.data, "\n      then residual(linear(out = 1, bias = false))"))
    fail_msg("a chain is not broken before `then`:\n%s", out.data);
  check_formatting(t.data, t.length);
  text_free(&t);
  text_free(&out);
  arena_destroy(a);
}

// ---- networks that are there, and networks made of them ----

typedef struct sample {
  char *data;
  size_t length;
} sample;

static sample samples[256];
static int sample_count;

static void print_graph(const char *path, text *out) {
  arena *a = arena_create();
  text messages = {0};
  const graph *g = graph_read(a, path, NULL, 0, NULL, 0, &messages);
  if (g) graph_print(g, out);
  text_free(&messages);
  arena_destroy(a);
}

static void check_graph(const char *path, const char *folder) {
  arena *a = arena_create();
  text before = {0}, after = {0}, out = {0};
  char *data;
  size_t length;
  assert_true(file_read(path, 1 << 20, &data, &length, NULL));
  if (formatted(a, data, length, &out)) {
    text beside = {0}; // the models' paths start there
    text_printf(&beside, "%s/formatted-%d.lmn", folder, (int)getpid());
    FILE *file = fopen(beside.data, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(out.data, 1, out.length, file), out.length);
    fclose(file);
    print_graph(path, &before);
    print_graph(beside.data, &after);
    unlink(beside.data);
    if (before.length != after.length || (before.length && strcmp(before.data, after.data)))
      fail_msg("%s: the formatted graph is another one", path);
    text_free(&beside);
  }
  text_free(&before);
  text_free(&after);
  text_free(&out);
  free(data);
  arena_destroy(a);
}

static int check_files(const char *pattern) {
  glob_t found;
  int right = 0;
  if (glob(pattern, 0, NULL, &found)) return 0;
  for (size_t i = 0; i < found.gl_pathc; ++i) {
    sample s;
    if (!file_read(found.gl_pathv[i], 1 << 16, &s.data, &s.length, NULL)) continue;
    bool ok = check_formatting(s.data, s.length);
    right += ok;
    if (ok && sample_count < (int)LENGTH(samples)) samples[sample_count++] = s;
    else free(s.data);
  }
  globfree(&found);
  return right;
}

static void files(void **state) {
  (void)state;
  assert_true(check_files(LMN_TESTS "/golden/*/net.lmn") >= 8);
  assert_true(check_files(LMN_TESTS "/../examples/*.lmn") >= 10);
  assert_true(check_files(LMN_TESTS "/../examples/demo/*.lmn") >= 2);
  assert_true(check_files(LMN_TESTS "/errors/*.lmn") >= 50);
}

static size_t below(random_stream *r, size_t limit) { return (size_t)(random_next(r) % limit); }

// A value in a number's place, of operators, calls and lists in each other.
static void make_value(random_stream *r, int depth, text *out) {
  static const char *const operators[] = {" then ", " or ", " and ", "==", "<=", "+", " - ", "-", "*", "/ ", "%"};
  int count = 1 + (int)below(r, depth > 2 ? 40 : 3);
  switch (depth ? below(r, 6) : 0) {
  case 0: text_add(out, below(r, 2) ? "17" : "a_name"); break;
  case 1:
    text_add(out, below(r, 2) ? "-" : "not ");
    make_value(r, depth - 1, out);
    break;
  case 2:
    text_add(out, "(");
    make_value(r, depth - 1, out);
    text_add(out, operators[below(r, LENGTH(operators))]);
    make_value(r, depth - 1, out);
    text_add(out, ")");
    break;
  case 3:
    make_value(r, 0, out);
    text_add(out, " [");
    make_value(r, depth - 1, out);
    text_add(out, "]");
    break;
  default:
    text_add(out, below(r, 2) ? "[" : "call(name = ");
    bool list = out->data[out->length - 1] == '[';
    for (int i = 0; i < count; ++i) {
      if (i) text_add(out, ",");
      make_value(r, depth - 1, out);
    }
    text_add(out, list ? "]" : ")");
  }
}

// A network with other blanks, line breaks and comments between its lexemes, and other values for its numbers.
static void rewrite(const sample *s, random_stream *r, text *out) {
  static const char *const blanks[] = {" ",
                                       "\n",
                                       "\n\n\n",
                                       "\t",
                                       "\r\n",
                                       " // c  \r\n",
                                       "/* in */",
                                       "\n/* x\n   y */",
                                       "/*z*//*z*/",
                                       "\n// own\n",
                                       "/* a */ // b\n",
                                       " /* \xc3\xa4\xff\n\t*/ ",
                                       "          ",
                                       "\n  /* before */ "};
  arena *a = arena_create();
  diagnostics d = {.arena = a};
  lexeme_list list = {0};
  d.source = source_create(a, "net.lmn", s->data, s->length, 0);
  assert_non_null(parse_lexemes(&d, &list));
  size_t wildness = 1 + below(r, 20);
  for (int i = 0; i < list.count; ++i) {
    const lexeme *l = &list.items[i];
    bool comment = l->kind == LEXEME_COMMENT;
    if (l->kind == INT && below(r, 4) == 0) make_value(r, 1 + (int)below(r, 4), out);
    else text_add_bytes(out, s->data + l->offset, l->length);
    text_add(out, comment ? "\n" : below(r, 2) ? " " : "\n");
    for (size_t k = below(r, 20) < wildness ? below(r, 3) : 0; k > 0; --k)
      text_add(out, blanks[below(r, LENGTH(blanks))]);
  }
  free(list.items);
  arena_destroy(a);
}

static int64_t number_from(const char *variable, int64_t standard) {
  const char *value = getenv(variable);
  return value ? strtoll(value, NULL, 10) : standard;
}

static void rewritten(void **state) {
  (void)state;
  int64_t count = number_from("LMN_MUTATIONS", 3000), seed = number_from("LMN_MUTATION_SEED", 1);
  for (int64_t i = 0; i < count; ++i) {
    char name[32];
    snprintf(name, sizeof name, "rewriting %lld", (long long)(seed + i));
    random_stream r = random_named(0, name);
    text t = {0};
    rewrite(&samples[below(&r, (size_t)sample_count)], &r, &t);
    if (!check_formatting(t.data, t.length)) fail_msg("%s does not parse:\n%s", name, t.data);
    text_free(&t);
  }
}

static void graphs(void **state) {
  (void)state;
  glob_t found;
  assert_int_equal(glob(LMN_TESTS "/golden/*/net.lmn", 0, NULL, &found), 0);
  for (size_t i = 0; i < found.gl_pathc; ++i) {
    char folder[512];
    snprintf(folder, sizeof folder, "%s", found.gl_pathv[i]);
    *strrchr(folder, '/') = 0;
    check_graph(found.gl_pathv[i], folder);
  }
  globfree(&found);
}

static int free_samples(void **state) {
  (void)state;
  for (int i = 0; i < sample_count; ++i) free(samples[i].data);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(layout),    cmocka_unit_test(long_lines), cmocka_unit_test(files),
      cmocka_unit_test(rewritten), cmocka_unit_test(graphs),
  };
  return cmocka_run_group_tests(tests, NULL, free_samples);
}
