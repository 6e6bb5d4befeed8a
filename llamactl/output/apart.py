"""No output is the file that something is read from, and no two outputs are one file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from llamactl.errors import UsageError
from llamactl.output.place import find_place, identity_of

Named = Iterable[tuple[str, str | None]]
"""What a person calls each file (``--jsonl``) and its name; None where the option isn't given."""


def check_apart(outputs: Named, inputs: Named) -> None:
    """Compare files by device and inode, before anything is opened: names, links and hard links alike.

    Raises:
        UsageError: An output is an input, or is named twice, or can't be written.
    """
    read = _identities(inputs)
    written: dict[tuple[object, ...], str] = {}
    for option, name in outputs:
        if name is None:
            continue
        try:
            place = find_place(name)
            identity = place.identity
        except OSError as error:
            raise UsageError(f"can't write {option} {name}: {error.strerror}", "Give another file.") from None
        if identity is None:
            continue
        if identity in read:
            raise UsageError(
                f"{option} {name} is the file that {read[identity]} reads",
                "Give another file for the output.",
            )
        if place.descriptor is None:
            if identity in written:
                raise UsageError(
                    f"{written[identity]} and {option} would write the same file {name}", "Give another file."
                )
            written[identity] = option


def _identities(inputs: Named) -> Mapping[tuple[object, ...], str]:
    found = {}
    for label, name in inputs:
        if name is None:
            continue
        try:
            identity = identity_of(os.stat(name))  # noqa: PTH116 - a name may hold bytes that no Path takes
        except (OSError, ValueError):
            continue
        if identity is not None:
            found[identity] = label
    return found
