"""Keeps a file open and mapped, changes to its folder, says "ready", and lives until its stdin ends. argv: file."""

import mmap
import os
import sys

with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
    os.chdir(os.path.dirname(sys.argv[1]))
    print("ready", len(mapped), flush=True)
    sys.stdin.read()
