#include "runtime/library.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

static bool within(uint64_t offset, uint64_t bytes, size_t length) {
  return offset <= length && bytes <= length - offset;
}

// Whether it is a 64-bit ELF file; its header.
static bool read_header(const char *data, size_t length, Elf64_Ehdr *header) {
  if (length < sizeof *header) return false;
  memcpy(header, data, sizeof *header);
  return !memcmp(header->e_ident, ELFMAG, SELFMAG) && header->e_ident[EI_CLASS] == ELFCLASS64;
}

bool cubin_whole(const char *data, size_t length) {
  Elf64_Ehdr header;
  if (!read_header(data, length, &header) || header.e_machine != EM_CUDA) return false;
  if ((header.e_phnum && header.e_phentsize != sizeof(Elf64_Phdr)) ||
      (header.e_shnum && header.e_shentsize != sizeof(Elf64_Shdr)))
    return false;
  if (!within(header.e_phoff, (uint64_t)header.e_phnum * header.e_phentsize, length) ||
      !within(header.e_shoff, (uint64_t)header.e_shnum * header.e_shentsize, length))
    return false;
  for (int i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section;
    memcpy(&section, data + header.e_shoff + (size_t)i * sizeof section, sizeof section);
    if (section.sh_type != SHT_NOBITS && !within(section.sh_offset, section.sh_size, length)) return false;
  }
  return true;
}

static bool whole(const char *data, size_t length) {
  Elf64_Ehdr header;
  if (!read_header(data, length, &header) || header.e_type != ET_DYN) return false;
  if (header.e_phentsize != sizeof(Elf64_Phdr)) return false;
  if (!within(header.e_phoff, (uint64_t)header.e_phnum * header.e_phentsize, length) ||
      !within(header.e_shoff, (uint64_t)header.e_shnum * header.e_shentsize, length))
    return false;
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    memcpy(&segment, data + header.e_phoff + (size_t)i * sizeof segment, sizeof segment);
    if (segment.p_type == PT_LOAD && !within(segment.p_offset, segment.p_filesz, length)) return false;
  }
  return true;
}

bool library_check(const char *path, lmn_error *error) {
  char *data;
  size_t length;
  if (!file_read(path, (size_t)1 << 31, &data, &length, error)) return false;
  bool ok = whole(data, length);
  free(data);
  return ok || fail(error, "%s: is no whole shared object (%zu bytes); compile the network again", path, length);
}
