"""``llamactl worker``: compute for others over the network, with llama.cpp's own RPC."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

EXAMPLES = """Compute layers of somebody else's model: llama.cpp's own RPC server.

It isn't secure: whoever reaches the port can use this machine's memory and may crash the worker. Never open it
to a network that you don't trust. It serves one client at a time, until Ctrl-C.

\b
Examples:
  llamactl worker 127.0.0.1:50052
  llamactl run --rpc 127.0.0.1:50052,127.0.0.1:50053 "Hello"
"""


def worker(
    endpoint: Annotated[str, Argument(metavar="[HOST:PORT]", help="Where to listen.")] = "127.0.0.1:50052",
    threads: Annotated[
        int | None, Option("-t", "--threads", metavar="N", help="Threads. Default: as llamactl run.")
    ] = None,
    cache: Annotated[
        str | None, Option("-c", "--cache", metavar="DIR", help="Keep weights here for the next time.")
    ] = None,
) -> int:
    """Compute for others over the network."""
    from pathlib import Path

    from llamactl.cli.boundary import say, warn
    from llamactl.engine import guard, rpc
    from llamactl.errors import EXIT_FAILED, UsageError
    from llamactl.process.cpu_budget import cpu_budget

    host, _ = rpc.parse_endpoint(endpoint)
    if threads is not None and not 1 <= threads <= 4096:
        raise UsageError(f"-t {threads} is out of range", "Use 1 or more.")
    if cache is not None and not Path(cache).is_dir():
        raise UsageError(f"--cache {cache!r} is no directory", "Make it first.")
    if not is_loopback(host):
        warn(
            f"{host} isn't the loopback: whoever reaches the port can use this machine. Never on an open network."
        )
    rpc.check_free(endpoint)
    guard.install("llamactl", EXIT_FAILED)
    version = ".".join(str(number) for number in rpc.protocol())
    say(f"worker at {endpoint}, protocol {version}, not secure, one client at a time; Ctrl-C ends it")
    rpc.serve(endpoint, threads or cpu_budget().threads, cache)
    return EXIT_FAILED


worker.__doc__ = EXAMPLES


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine only."""
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
