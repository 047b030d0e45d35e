// LLVM and MLIR allocate by C++'s new and by malloc, and abort where there is no memory. Both have a handler for that,
// but none in their C APIs: these are the C++ functions under their linkers' names.
#include "ir/ir.h"

typedef void new_handler(void);
typedef void bad_alloc_handler(void *user, const char *reason, bool crash_dump);

// std::set_new_handler
extern new_handler *set_new_handler(new_handler *handler) __asm__("_ZSt15set_new_handlerPFvvE");
// llvm::install_bad_alloc_error_handler
extern void install_bad_alloc_handler(bad_alloc_handler *handler,
                                      void *user) __asm__("_ZN4llvm31install_bad_alloc_error_handlerEPFvPvPKcbES0_");

static void no_memory(void) { memory_exhausted(0); }
static void no_memory_in_llvm(void *user, const char *reason, bool crash_dump) {
  (void)user, (void)reason, (void)crash_dump;
  memory_exhausted(0);
}

void ir_guard_memory(void) {
  set_new_handler(no_memory);
  install_bad_alloc_handler(no_memory_in_llvm, NULL);
}
