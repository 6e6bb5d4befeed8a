"""What is kept of how a program ended: its status, and what the kernel killed for memory meanwhile."""

from __future__ import annotations

from typing import Any

from llamactl.trace.record.ending.exit_status import ExitStatus
from llamactl.trace.record.ending.oom_kills import OomKills


class EndingFacts:
    """Looks at a program from early on, to know more when it has ended.

    Args:
        pid: The program.
    """

    def __init__(self, pid: int) -> None:
        self._exit = ExitStatus(pid)
        self._kills = OomKills(pid)

    def facts(self, wait_status: int | None) -> dict[str, Any]:
        """Return the facts for the capture, and look no more.

        Args:
            wait_status: The program's, where its engine knows it.
        """
        status = self._exit.status() if wait_status is None else wait_status
        self._exit.close()
        return {"wait_status": status, "oom_kills": self._kills.since()}
