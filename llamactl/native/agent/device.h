// How the agent records calls by which a program works with a device: CUDA, HIP and Vulkan.
#ifndef LLAMACTL_AGENT_DEVICE_H
#define LLAMACTL_AGENT_DEVICE_H

#include "agent/agent.h"

enum { DEVICE_KEEPS = 6 };
enum device_source {
    LEFT_OUT,
    ARGUMENT, // the n-th, counted from 0; structures of two words count twice
    ARGUMENT_32,
    BEHIND, // eight bytes of the structure that the argument points to
    BEHIND_32,
    WRITTEN, // eight bytes that the function wrote where the argument points to
    REGIONS, // the sizes of VkBufferCopy structures together; the argument before counts them
};
struct device_keep {
    const char * label; // "name:type"
    uint8_t source;
    uint8_t argument;
    uint8_t offset;
};
struct device_row {
    const char * name; // without the family's prefix
    uint8_t families;
    const char * role;
    char returns;
    struct device_keep keeps[DEVICE_KEEPS];
};

// --- device_table.c
hidden const struct device_row * device_row(const char * name);

#endif
