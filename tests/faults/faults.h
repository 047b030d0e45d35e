// Faults put in at one moment, for tests that go through all moments: the n-th allocation fails, the n-th operation on
// files fails as on a full disk, or the process is killed there. The linker sends our own code's calls here
// (--wrap, see tests/CMakeLists.txt); libraries outside are left alone.
#ifndef LMN_FAULTS_H
#define LMN_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
  FAULT_NONE,
  FAULT_MEMORY,       // the n-th allocation alone
  FAULT_NO_MEMORY,    // … and all after it
  FAULT_DISK,         // the n-th file operation alone
  FAULT_FULL_DISK,    // … and all after it that need room
  FAULT_SHORT_WRITES, // every write writes half; nothing fails
  FAULT_KILL,         // the process ends before the n-th file operation
  FAULT_KILL_HALF,    // … or in the middle of it, where it is a write
} fault_kind;
extern const char *const fault_names[];

void fault_signals(void);                                     // in a child: a crash is a crash, not for cmocka to catch
void fault_set(fault_kind kind, int64_t n);                   // counts from here
bool fault_reached(void);                                     // whether the n-th was reached
int64_t fault_allocations(void), fault_file_operations(void); // since fault_set

#endif
