#pragma once

#include <stddef.h>
#include <stdint.h>

enum { LLAMACTL_MAPPING_COLUMNS = 22 };
enum { LLAMACTL_DESCRIPTOR_COLUMNS = 13 };

size_t llamactl_parse_smaps(const char * data, size_t size, int64_t * columns, size_t capacity);
size_t llamactl_read_descriptors(int links, int infos, const int32_t * numbers, size_t count,
                                 const int32_t * answering, size_t answering_count,
                                 int64_t * columns, char * text, size_t text_size);

struct llamactl_answer {
    int32_t error;
    uint32_t mode;
    int64_t size, blocks, device, inode, links, special_device;
};

int llamactl_asker_start(int32_t * pid);
int llamactl_ask(int socket, const char * request, size_t length, int limit_ms,
                 struct llamactl_answer * answer);
int llamactl_asker_end(int socket, int32_t pid);
int llamactl_stays(const char * place, const char * rest);
