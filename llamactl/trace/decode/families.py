"""The families of system calls, as in ``strace -e trace=%family``."""

from __future__ import annotations

from enum import IntFlag


class Family(IntFlag):
    """What a call is about; a call may belong to several families."""

    NONE = 0
    FILE = 1
    """Names a file."""
    DESC = 2
    """Uses or makes a file descriptor."""
    MEMORY = 4
    """Changes or asks about the address space."""
    NETWORK = 8
    PROCESS = 16
    """Makes, replaces, ends or waits for a process."""
    THREAD = 32
    """Makes or sets up a thread, or places it on CPUs."""
    SIGNAL = 64
    IPC = 128
    CLOCK = 256
    CREDS = 512
    """Users, groups, capabilities."""


FAMILIES = {family.name.lower(): family for family in Family if family.name and family}
"""By the name that a filter uses after ``%``."""
