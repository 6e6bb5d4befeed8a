"""What can go wrong, as one line for a person and one exit status for a script."""

import errno

EXIT_OK = 0
EXIT_USAGE = 2
EXIT_CHECK_FAILED = 3
EXIT_EXPECTATION = 4
EXIT_TIMEOUT = 124
EXIT_FAILED = 125
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
EXIT_INTERRUPTED = 130
EXIT_OUTPUT_CLOSED = 141

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Nothing more fits: the disk is full, or somebody's share of it (quotactl(2))."""


class LlamactlError(Exception):
    """A failure that a person can act on.

    Args:
        message: What happened, with the value it happened to; no full stop at the end.
        hint: What to do about it, as a sentence; empty when there is nothing to advise.
    """

    exit_code = EXIT_FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class UsageError(LlamactlError):
    """The command line, or a file it names, can't be used."""

    exit_code = EXIT_USAGE


class ExpectationError(LlamactlError):
    """What is in force isn't what ``--expect`` asked for."""

    exit_code = EXIT_EXPECTATION
