// UTF-8, and the alphabet of byte-level tokenizers.
#ifndef LMN_TOKENIZER_TEXT_H
#define LMN_TOKENIZER_TEXT_H

#include "runtime/base.h"

// Looks at the character at bytes[0]: > 0: it is valid and has that many bytes; 0: it is cut off by the end but may
// still become valid; < 0: it is invalid, and that many bytes become one U+FFFD (the "maximal subpart" rule of the
// Unicode standard).
int utf8_character(const char *bytes, size_t length);
bool utf8_valid(const char *bytes, size_t length, size_t *bad); // *bad: the first byte that is wrong
int utf8_write(uint32_t codepoint, char *bytes);                // number of bytes, 1 … 4
uint32_t utf8_decode(const char *bytes, int *length);           // of a valid character

bool unicode_space(uint32_t codepoint); // White_Space
bool unicode_word(uint32_t codepoint);  // \w: letters, marks, numbers, connectors

// GPT-2's alphabet: every byte as a printable character.
const char *byte_level_character(unsigned char byte); // 0-terminated, 1 or 2 bytes
int byte_level_byte(const char *character);           // back; -1: not of the alphabet
void byte_level_map(const char *bytes, size_t length, text *out);

#endif
