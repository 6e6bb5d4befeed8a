"""Map a file as llama.cpp does, touch all of it, and wait."""

import mmap
import sys
from pathlib import Path

with Path(sys.argv[1]).open("rb") as file:
    mapping = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
checksum = sum(mapping[at] for at in range(0, len(mapping), mmap.PAGESIZE))
print("ready", flush=True)
sys.stdin.read()
