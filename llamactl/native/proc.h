#pragma once

#include <stddef.h>
#include <stdint.h>

enum { LLAMACTL_MAPPING_COLUMNS = 22 };
enum { LLAMACTL_DESCRIPTOR_COLUMNS = 12 };

size_t llamactl_parse_smaps(const char * data, size_t size, int64_t * columns, size_t capacity);
size_t llamactl_read_descriptors(int links, int infos, const int32_t * numbers, size_t count,
                                 int64_t * columns, char * text, size_t text_size);
