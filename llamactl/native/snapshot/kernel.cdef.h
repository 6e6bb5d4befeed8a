// Pages of files and of mappings. The compiler checks every line against kernel.h.

struct llamactl_file_pages {
    int64_t cached;
    int64_t dirty;
    int64_t writeback;
    int64_t evicted;
    int64_t recently_evicted;
};

struct llamactl_range_bytes {
    uint64_t present;
    uint64_t swapped;
    uint64_t file;
    uint64_t huge;
    uint64_t zero;
};

int llamactl_cachestat(int fd, uint64_t offset, uint64_t length, struct llamactl_file_pages * out);
int llamactl_mincore(int fd, uint64_t offset, uint64_t length, struct llamactl_file_pages * out);
int llamactl_pagemap_scan(int fd, uint64_t start, uint64_t end, struct llamactl_range_bytes * out);
int llamactl_pagemap_read(int fd, uint64_t start, uint64_t end, struct llamactl_range_bytes * out);
int64_t llamactl_birth_ns(const char * path);

int llamactl_probe_ptrace(void);
int llamactl_probe_seccomp_trace(void);
int llamactl_probe_perf_cpu(void);
int llamactl_probe_perf_self(void);

// The errno of calls with arguments that no kernel takes. One that has nothing against the call finds
// that out first (EFAULT, ESRCH, EINVAL); a seccomp filter refuses before anybody looks at them.
int llamactl_probe_perf_arguments(void);
int llamactl_probe_ptrace_arguments(void);
int llamactl_probe_bpf_arguments(void);
int llamactl_probe_mount_arguments(void);
