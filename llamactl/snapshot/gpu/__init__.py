"""GPUs as the driver and the kernel show them: devices, memory, whose it is, and why there is none."""
