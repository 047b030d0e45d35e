#include "frontend/diagnostic.h"

#include <ctype.h>
#include <string.h>

#define NEAREST_LENGTH 64

// Optimal string alignment: insertions, deletions, replacements and swaps of neighbours; a change of case costs
// nothing.
static int edit_distance(const char *a, int a_length, const char *b, int b_length) {
  int rows[3][NEAREST_LENGTH + 1];
  for (int j = 0; j <= b_length; ++j) rows[0][j] = j;
  for (int i = 1; i <= a_length; ++i) {
    int *now = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
    now[0] = i;
    for (int j = 1; j <= b_length; ++j) {
      int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
      int best = above[j - 1] + (x != y);
      if (above[j] + 1 < best) best = above[j] + 1;
      if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
      if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) && y == tolower((unsigned char)a[i - 2]) &&
          before[j - 2] + 1 < best)
        best = before[j - 2] + 1;
      now[j] = best;
    }
  }
  return rows[a_length % 3][b_length];
}

void nearest_try(nearest *n, const char *candidate) {
  size_t wanted = strlen(n->wanted), length = strlen(candidate);
  if (wanted > NEAREST_LENGTH || length > NEAREST_LENGTH || wanted == 0 || length == 0) return;
  int distance = edit_distance(n->wanted, (int)wanted, candidate, (int)length);
  int limit = (int)(wanted > length ? wanted : length) / 3;
  if (limit < 1) limit = 1;
  if (distance > limit || distance >= (int)length) return;
  if (n->best && distance >= n->distance) return;
  n->best = candidate;
  n->distance = distance;
}
