/* See probe_loop.c. */
#ifndef LLAMACTL_PROBE_LOOP_H
#define LLAMACTL_PROBE_LOOP_H

#include <stdint.h>

enum { PROBE_EMULATED, PROBE_MARKED, PROBE_STEPPED };

const void * probe_function(int which);
/* Calls the function so often; returns ns. */
uint64_t probe_loop(int which, uint32_t loops);

#endif
