// Counters of this process and its threads, and how much of a file is in memory.
#pragma once
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdint.h>

// Returns a file descriptor that counts in this thread and those it starts, or -errno.
int llamactl_counter_open(uint32_t type, uint64_t config, bool exclude_kernel);

// Fills the count and the times that the counter was enabled and on the hardware; 0 or -errno.
int llamactl_counter_read(int fd, uint64_t * value, uint64_t * enabled_ns, uint64_t * running_ns);

// Returns the bytes of an open file that are in the page cache, or -errno.
int64_t llamactl_resident_bytes(int fd, uint64_t size);
