// What the kernel knows about pages: of a file in the page cache, of a mapping of a process.
// Constants and layouts are the kernel's (include/uapi/linux/fs.h, mman.h) and written out here,
// because the headers of the build machine may be older than the kernel that runs the result.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// Pages of a file; those that only cachestat(2) tells are -1 from mincore(2).
struct llamactl_file_pages {
    int64_t cached;
    int64_t dirty;
    int64_t writeback;
    int64_t evicted;
    int64_t recently_evicted;
};

// Bytes of an address range.
struct llamactl_range_bytes {
    uint64_t present; // in memory and in the page table
    uint64_t swapped;
    uint64_t file; // present, and of a file or shared memory
    uint64_t huge; // present, through a huge page-table entry
    uint64_t zero; // only read so far: the shared page of zeros, which costs no memory
};

// All return 0 or an errno.

// cachestat(2), Linux 6.5. `length` 0 means up to the end of the file.
int llamactl_cachestat(int fd, uint64_t offset, uint64_t length, struct llamactl_file_pages * out);
// mincore(2) over a mapping made for it. Where the caller neither owns the file nor may write to
// it, the kernel calls every page resident (since 5.2), so that is EPERM here.
int llamactl_mincore(int fd, uint64_t offset, uint64_t length, struct llamactl_file_pages * out);
// ioctl PAGEMAP_SCAN, Linux 6.7, on an open /proc/PID/pagemap.
int llamactl_pagemap_scan(int fd, uint64_t start, uint64_t end, struct llamactl_range_bytes * out);
// The same from the entries of the file, on any Linux; `huge` and `zero` stay 0, and pages of zeros
// count as present, because the entries don't show them.
int llamactl_pagemap_read(int fd, uint64_t start, uint64_t end, struct llamactl_range_bytes * out);

// When a file was made, ns since 1970 (statx(2), STATX_BTIME); a symbolic link isn't followed. 0
// where its file system doesn't keep it, or an errno below 0.
int64_t llamactl_birth_ns(const char * path);

// What the kernel allows this process, found out by doing it. 0 or the errno it was refused with.

// PTRACE_SEIZE of a child made for it.
int llamactl_probe_ptrace(void);
// A seccomp filter may be installed, and may hand system calls to a tracer.
int llamactl_probe_seccomp_trace(void);
// perf_event_open(2) on all processes of one CPU, as recording system calls needs it.
int llamactl_probe_perf_cpu(void);
// The same on this process alone, user space only.
int llamactl_probe_perf_self(void);

// The errno of calls with arguments that no kernel takes. One that has nothing against the call
// finds that out first (EFAULT, ESRCH, EINVAL); a seccomp filter refuses before anybody looks at
// them.
int llamactl_probe_perf_arguments(void);
int llamactl_probe_ptrace_arguments(void);
int llamactl_probe_bpf_arguments(void);
int llamactl_probe_mount_arguments(void);
