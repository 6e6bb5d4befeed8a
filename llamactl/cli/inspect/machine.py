"""This machine and its engine as something to inspect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from llamactl.cli.inspect.subjects import Subject, check_sections

if TYPE_CHECKING:
    from llamactl.snapshot.host.machine import Machine


@dataclass(frozen=True, slots=True)
class MachineOptions:
    """What concerns this machine only."""

    rpc: Annotated[
        str | None,
        Option("--rpc", metavar="HOST:PORT,…", envvar="LLAMA_ARG_RPC",
               help="Ask these RPC servers for their devices. Unencrypted: only in a network you trust."),
    ] = None  # fmt: skip

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers, one by one.

        Raises:
            UsageError: One isn't an address.
        """
        from llamactl.errors import UsageError
        from llamactl.snapshot.rpc import address

        servers = tuple(filter(None, (each.strip() for each in (self.rpc or "").split(","))))
        for each in servers:
            if address(each) is None:
                raise UsageError(f"{each!r} isn't an address", "Write HOST:PORT, such as 127.0.0.1:50052.")
        return servers


@dataclass(frozen=True, slots=True)
class MachineSubject(Subject):
    """This machine. An engine that can't be loaded is said, and the rest is shown."""

    only: tuple[str, ...] = ()
    rpc: tuple[str, ...] = ()

    def text(self) -> str:
        """Look, and return the machine as text."""
        from llamactl.render.inspect.machine import SECTIONS, machine_text

        check_sections(self.only, SECTIONS, "a machine")
        return machine_text(self._look(), self.only)

    def document(self) -> dict[str, Any]:
        """Look, and return the machine as a document."""
        from llamactl.render.inspect.machine import SECTIONS, machine_document

        check_sections(self.only, SECTIONS, "a machine")
        return machine_document(self._look(), self.only)

    def _look(self) -> Machine:
        from llamactl.errors import LlamactlError
        from llamactl.snapshot.host.machine import machine

        try:
            from llamactl.run.engine_facts import engine_facts

            return machine(engine_facts(), rpc=self.rpc)
        except (ImportError, LlamactlError) as error:
            return machine(engine_problem=f"the engine can't be loaded: {error}", rpc=self.rpc)
