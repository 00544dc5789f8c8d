// libFuzzer's interface for a program with its own main; it comes with the compiler and has no header.
#include <stddef.h>
#include <stdint.h>

/// Runs the fuzzer with the program's arguments; `test` gets one input after the other and returns 0.
extern int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*test)(const uint8_t *data, size_t size));
