"""What is known of a program only at its end: what was under way, its status, limits, files left, as a source."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from llamactl.trace.capture.reader import Capture
from llamactl.trace.record.ending.ending_facts import EndingFacts
from llamactl.trace.record.ending.files_left import files_left
from llamactl.trace.record.ending.refused import RefusedLimits
from llamactl.trace.record.ending.under_way import UnderWay
from llamactl.trace.record.source import Recording, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llamactl.trace.record.session_kept import Kept


class CallsUnderWay(Source):
    """Calls under way at the beginning and at the end, which no recorder sees whole."""

    missing = "Calls that were under way at the beginning and at the end"

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._under_way = UnderWay(platform.machine())

    def prepare(self, kept: Kept) -> None:  # noqa: ARG002
        """See :meth:`Source.prepare`."""
        for process in self._recording.attached():
            self._under_way.begin(process)

    def begun(self, kept: Kept, begin_ns: int) -> None:  # noqa: ARG002
        """See :meth:`Source.begun`."""
        self._under_way.begun(begin_ns)

    def saw(self, records: NDArray[np.void]) -> None:
        """See :meth:`Source.saw`."""
        self._under_way.saw(records)

    def stop(self, kept: Kept) -> None:
        """See :meth:`Source.stop`."""
        recording = self._recording
        kept.write(self._under_way.end(recording.family.alive(), recording.options, recording.engine))

    def let_go(self) -> None:
        """See :meth:`Source.let_go`."""
        self._under_way.look()

    def facts(self) -> dict[str, Any]:
        """See :meth:`Source.facts`."""
        found = self._under_way
        return {
            "unanswered_requests": found.unanswered,
            "standing": found.standing,
            "thread_roles": found.roles,
        }


class Limits(Source):
    """The limits of processes that were refused something."""

    missing = "Limits of what was refused"

    def __init__(self, recording: Recording) -> None:  # noqa: ARG002
        self._refused = RefusedLimits()

    def saw(self, records: NDArray[np.void]) -> None:
        """See :meth:`Source.saw`."""
        self._refused.saw(records)

    def facts(self) -> dict[str, Any]:
        """See :meth:`Source.facts`."""
        return {"limits": self._refused.finish()}


class Status(Source):
    """How the program ended, and what the kernel killed for memory meanwhile."""

    missing = "The end"

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._ending: EndingFacts | None = None

    def begun(self, kept: Kept, begin_ns: int) -> None:  # noqa: ARG002
        """See :meth:`Source.begun`."""
        self._ending = EndingFacts(self._recording.pid)

    def facts(self) -> dict[str, Any]:
        """See :meth:`Source.facts`."""
        return {} if self._ending is None else self._ending.facts(self._recording.engine.state().wait_status)


class FilesLeft(Source):
    """Files that the program wrote and that are still there, found in what was recorded."""

    missing = "Files that are left"

    def __init__(self, recording: Recording) -> None:  # noqa: ARG002
        self._kept: Kept | None = None

    def prepare(self, kept: Kept) -> None:
        """See :meth:`Source.prepare`."""
        self._kept = kept

    def facts(self) -> dict[str, Any]:
        """See :meth:`Source.facts`."""
        return {} if self._kept is None else {"files_left": files_left(Capture.open(self._kept.writer.path))}
