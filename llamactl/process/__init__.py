"""A process as the kernel tells of it: the only reader of /proc/PID, of control groups and of ELF files."""
