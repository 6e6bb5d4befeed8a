"""The recorders of system calls: each starts or attaches to a program and hands out records in arrays."""
