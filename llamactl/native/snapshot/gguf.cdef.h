// Walking the strings of a GGUF header. The compiler checks every line against gguf.h.

struct llamactl_gguf_walk {
    uint64_t offset;
    uint64_t done;
    uint64_t budget;
    int error;
    ...;
};

#define LLAMACTL_GGUF_OK ...
#define LLAMACTL_GGUF_ENDS ...
#define LLAMACTL_GGUF_BUDGET ...
#define LLAMACTL_GGUF_READ ...

int llamactl_gguf_skip_strings(int fd, uint64_t end, uint64_t count, struct llamactl_gguf_walk * walk);
