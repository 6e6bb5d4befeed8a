"""The recorders: each starts or attaches to a program and hands out records in arrays."""
