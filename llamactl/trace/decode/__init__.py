"""System calls: their numbers, families, arguments and results, for x86-64 and aarch64."""
