// UTF-8, and the alphabet by which byte-level tokenizers write bytes as characters.
#include "runtime/tokenizer_text.h"

#include <utf8proc.h>

int utf8_character(const char *bytes, size_t length) {
  const unsigned char *p = (const unsigned char *)bytes;
  if (p[0] < 0x80) return 1;
  int size = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
  if (!size) return -1;
  // The second byte's range is narrower after some first bytes: no overlong forms, no surrogates, nothing above
  // U+10FFFF.
  unsigned low = p[0] == 0xe0   ? 0xa0
                 : p[0] == 0xf0 ? 0x90
                                : 0x80,
           high = p[0] == 0xed   ? 0x9f
                  : p[0] == 0xf4 ? 0x8f
                                 : 0xbf;
  for (int i = 1; i < size; ++i) {
    if ((size_t)i >= length) return 0;
    if (p[i] < low || p[i] > high) return -i;
    low = 0x80, high = 0xbf;
  }
  return size;
}

bool utf8_valid(const char *bytes, size_t length, size_t *bad) {
  for (size_t i = 0; i < length;) {
    int size = utf8_character(bytes + i, length - i);
    if (size <= 0) {
      if (bad) *bad = i;
      return false;
    }
    i += (size_t)size;
  }
  return true;
}

int utf8_write(uint32_t codepoint, char *bytes) {
  if (codepoint < 0x80) return bytes[0] = (char)codepoint, 1;
  int size = codepoint < 0x800 ? 2 : codepoint < 0x10000 ? 3 : 4;
  for (int i = size - 1; i > 0; --i, codepoint >>= 6) bytes[i] = (char)(0x80 | (codepoint & 0x3f));
  bytes[0] = (char)((0xf00 >> size) | codepoint);
  return size;
}

uint32_t utf8_decode(const char *bytes, int *length) {
  const unsigned char *p = (const unsigned char *)bytes;
  if (p[0] < 0x80) return *length = 1, p[0];
  *length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
  uint32_t codepoint = p[0] & (0xffu >> (*length + 1));
  for (int i = 1; i < *length; ++i) codepoint = codepoint << 6 | (p[i] & 0x3f);
  return codepoint;
}

bool unicode_space(uint32_t c) {
  return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
         c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool unicode_word(uint32_t codepoint) {
  switch (utf8proc_category((utf8proc_int32_t)codepoint)) {
  case UTF8PROC_CATEGORY_LU:
  case UTF8PROC_CATEGORY_LL:
  case UTF8PROC_CATEGORY_LT:
  case UTF8PROC_CATEGORY_LM:
  case UTF8PROC_CATEGORY_LO:
  case UTF8PROC_CATEGORY_MN:
  case UTF8PROC_CATEGORY_MC:
  case UTF8PROC_CATEGORY_ME:
  case UTF8PROC_CATEGORY_ND:
  case UTF8PROC_CATEGORY_NL:
  case UTF8PROC_CATEGORY_PC: return true;
  default: // the joiners, and letters in circles and squares
    return codepoint == 0x200c || codepoint == 0x200d || (codepoint >= 0x24b6 && codepoint <= 0x24e9) ||
           (codepoint >= 0x1f130 && codepoint <= 0x1f189);
  }
}

// The printable bytes of Latin-1 stand for themselves; the 68 others are U+0100 … U+0143 in their order.
static bool stands_for_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

static int codepoint_of_byte(int byte) {
  if (stands_for_itself(byte)) return byte;
  int before = 0; // how many of the others come first
  for (int i = 0; i < byte; ++i) before += !stands_for_itself(i);
  return 0x100 + before;
}

static char alphabet[256][3];
static int16_t alphabet_back[0x144];

__attribute__((constructor)) static void fill_alphabet(void) {
  for (int i = 0; i < 0x144; ++i) alphabet_back[i] = -1;
  for (int byte = 0; byte < 256; ++byte) {
    int codepoint = codepoint_of_byte(byte);
    utf8_write((uint32_t)codepoint, alphabet[byte]);
    alphabet_back[codepoint] = (int16_t)byte;
  }
}

const char *byte_level_character(unsigned char byte) { return alphabet[byte]; }

int byte_level_byte(const char *character) {
  int length;
  uint32_t codepoint = utf8_decode(character, &length);
  return codepoint < 0x144 ? alphabet_back[codepoint] : -1;
}

void byte_level_map(const char *bytes, size_t length, text *out) {
  for (size_t i = 0; i < length; ++i) {
    const char *character = alphabet[(unsigned char)bytes[i]];
    text_add_bytes(out, character, character[1] ? 2 : 1);
  }
}
