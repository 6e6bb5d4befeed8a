"""A process with 10,000 mappings and 5,000 descriptors: say so, and wait until stdin closes."""

from __future__ import annotations

import mmap
import os
import resource
import sys
import tempfile

N_MAPPINGS, N_FILES = 10_000, 5_000

hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
# Neighbours with other permissions don't merge to one mapping.
kinds = (mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE)
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
mappings = [mmap.mmap(-1, 8192, flags=flags, prot=kinds[at % 2]) for at in range(N_MAPPINGS)]
for mapping in mappings[1::2]:
    mapping[0] = 1
with tempfile.TemporaryDirectory() as place:
    files = [os.open(f"{place}/{at}", os.O_RDWR | os.O_CREAT) for at in range(N_FILES)]
    print(f"{len(mappings)} mappings, {len(files)} files", flush=True)
    sys.stdin.read()
