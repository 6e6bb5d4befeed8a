"""This machine: CPUs, memory, what the kernel allows, the container, Python and its bindings."""
