// Training and validation data: text, CSV and JSON Lines files, tokenized once, as batches that are the same for the
// same (epoch, index) in every run, so that a training resumes in the middle of an epoch bit for bit.
#ifndef LMN_DATASET_H
#define LMN_DATASET_H

#include "runtime/lmn.h"
#include "runtime/tokenizer.h"

// What is not set here is asked of the tokenizer (bos, eos, pad of -1).
//
// Rows. With `completion` (and `prompt`): templates over named columns, "{mr} =>" and " {ref}"; {{ and }} are braces,
// {choices.text[0]} reaches into JSON; the loss is on the completion and the end-of-text token behind it. Without: the
// column `text` of .csv and .jsonl rows, each a document ended by the end-of-text token; a .txt file is one stream, cut
// where a sequence is full. For a classifier (classes > 0) `completion` is the label: a class's index from 0, or its
// letter from A. The tokenizer's own prefix (a Llama's BOS) begins every row and every .txt file.
typedef struct dataset_options {
  const char *data;                // a file, a folder, a glob, or several with commas between: .txt .csv .tsv .jsonl
  const char *text;                // column; NULL: "text"
  const char *prompt, *completion; // NULL: none
  int64_t batch, length;           // B and T
  int64_t vocabulary;              // of the network; every id must be below
  int64_t classes;                 // 0: a language model
  int64_t eos, pad;                // -1: the tokenizer's
  bool packed;                     // several rows in one sequence, which do not see each other
  bool shuffle;                    // anew in every epoch, from the seed; else in the order of the files
  uint64_t seed;
  int threads; // to tokenize; 0: every core
} dataset_options;

typedef struct dataset_counts {
  int64_t rows, sequences, tokens, labels; // tokens: that a network reads in an epoch; labels: those that count
  int64_t cut_completions, cut_prompts;    // rows too long for T: completions cut at their end, prompts at their start
} dataset_counts;

typedef struct dataset dataset;

// Reads and tokenizes everything. The first row that is wrong is an error that names file, line and remedy.
dataset *dataset_open(const dataset_options *options, const tokenizer *t, lmn_error *error);
// A number for what all the files of `data` hold, whatever is read of it.
bool dataset_hash(const char *data, uint64_t *hash, lmn_error *error);
void dataset_close(dataset *d);
dataset_counts dataset_count(const dataset *d);
const char *
dataset_warning(const dataset *d); // what the user should know (rows cut, no end-of-text token); NULL: nothing

int64_t dataset_sequences(const dataset *d);
int64_t dataset_batches(const dataset *d); // in an epoch, the last one filled up with rows without labels
// Batch `index` of `epoch`; the arrays are the data set's, valid until its next call. positions and starts are NULL
// unless packed. The signature is that of train.h's batch_source.
bool dataset_batch(void *dataset, int64_t epoch, int64_t index, lmn_batch *batch, lmn_error *error);

#endif
