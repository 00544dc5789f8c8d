// How often a thread has asked the C library for memory.

#ifndef ALLOCATION_COUNTER_H
#define ALLOCATION_COUNTER_H

// Calls of malloc, calloc, realloc and their aligned kin on this thread so far; -1 where they cannot be counted, as under a
// sanitizer, which has an allocator of its own.
long allocation_count(void);

#endif
