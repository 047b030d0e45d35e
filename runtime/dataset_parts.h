// Inside of the data set: files, rows, templates. Nobody else includes this.
#ifndef LMN_DATASET_PARTS_H
#define LMN_DATASET_PARTS_H

#include "runtime/dataset.h"

#include <jansson.h>

typedef enum { DATA_TEXT, DATA_CSV, DATA_JSONL } data_format;

typedef struct data_file {
  const char *path;
  data_format format;
  char delimiter; // of DATA_CSV
  char *data;     // malloc'ed
  size_t length;
  char **columns; // of DATA_CSV: the header row
  int64_t column_count;
} data_file;

typedef struct data_row { // where it is; of a text file, a piece of the stream
  int32_t file;
  bool first; // a text file's first piece
  int64_t line;
  size_t offset, length;
} data_row;

typedef struct data_list {
  arena *memory;
  data_file *files;
  int64_t file_count, file_capacity;
  data_row *rows;
  int64_t row_count, row_capacity;
} data_list;

// dataset_files.c: finds and reads the files, and where their rows are.
bool data_read(data_list *list, const char *data, lmn_error *error);
void data_free(data_list *list);

// dataset_csv.c: RFC 4180. One record from data[*at] on; *line counts line ends.
typedef struct csv_field {
  size_t start, length;
  bool escaped; // has "" inside, to be read as "
} csv_field;
typedef struct csv_record {
  csv_field *fields;
  int64_t count, capacity;
  bool blank; // an empty line
} csv_record;
bool csv_read(const char *data, size_t length, char delimiter, size_t *at, int64_t *line, csv_record *record,
              lmn_error *error);
void csv_value(const char *data, csv_field field, text *out); // appends it, unescaped

// dataset_template.c: "…{name}…" over the columns of a row.
typedef struct template_part {
  const char *text; // the letters, or the field's name
  size_t length;
  bool field;
} template_part;
typedef struct data_template {
  const char *what; // "prompt", for messages
  template_part *parts;
  int count, capacity;
} data_template;
bool template_parse(arena *memory, const char *what, const char *source, data_template *result, lmn_error *error);
bool template_column(arena *memory, const char *what, const char *column, data_template *result); // just that column
// Fails for a CSV file that has not all of the template's columns.
bool template_check(const data_template *t, const data_file *file, lmn_error *error);
void template_free(data_template *t);

typedef struct row_reader { // one thread's
  csv_record record;
  json_t *object;
} row_reader;
// The values of a row; then templates can be filled in until the next row.
bool row_read(row_reader *r, const data_file *file, const data_row *row, lmn_error *error);
bool template_fill(const data_template *t, const row_reader *r, const data_file *file, const data_row *row, text *out,
                   lmn_error *error);
void row_free(row_reader *r);

// dataset_rows.c: rows as tokens. A stretch of ids; those from `labelled` on are what the model is to say.
typedef struct token_row {
  int64_t offset, count, labelled;
  int32_t label; // a classifier's
  bool document; // begins anew: what is before it in the ids is another text
} token_row;
typedef struct tokenized {
  int32_t *ids;
  int64_t id_count;
  token_row *rows;
  int64_t row_count;
} tokenized;
bool data_tokenize(const data_list *list, const dataset_options *options, const tokenizer *t, int32_t eos,
                   tokenized *result, lmn_error *error);

// dataset_pack.c: rows as examples that fit in T, and sequences of examples.
typedef struct example { // count - 1 inputs, then one more id that is only a label; a classifier's: count inputs
  int64_t offset;
  int32_t count, labelled, label;
  int32_t head; // ids of the tokenizer's prefix that come before `offset`, from a row cut at its start
} example;
typedef struct packing {
  example *examples;
  int64_t example_count, example_capacity;
  int64_t *order; // examples, sequence by sequence
  int64_t *begin; // sequence s: order[begin[s]] … order[begin[s + 1] - 1]
  int64_t sequences;
} packing;
void pack_rows(packing *p, const tokenized *rows, const dataset_options *options, int64_t prefix,
               dataset_counts *counts);
void pack_free(packing *p);
// Fills order with a permutation of 0 … count - 1.
void shuffle(int64_t *order, int64_t count, random_stream stream);

#endif
