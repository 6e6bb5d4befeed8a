"""Which package index is asked, as pip and uv are set up: variables and configuration files."""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_INDEX = "https://pypi.org/simple"
SECTIONS = ("global", "download")


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """Where packages come from.

    Attributes:
        indexes: Addresses of simple indexes, the first first.
        folders: Local directories with wheels.
        certificates: A file with the certificates to trust; None for the system's.
        trusted: Hosts whose certificate isn't checked. What they send is, by its hash.
        proxy: Through which proxy; None for what the environment says.
        timeout_s: How long to wait for an answer.
    """

    indexes: tuple[str, ...]
    folders: tuple[Path, ...] = ()
    certificates: str | None = None
    trusted: frozenset[str] = frozenset()
    proxy: str | None = None
    timeout_s: float = 15.0


def index_settings(environment: Mapping[str, str] = os.environ, prefix: str = sys.prefix) -> IndexSettings:
    """Return what variables say, else the files: pip's of the user and the machine, then uv's variables.

    Of pip: ``index-url``, ``extra-index-url``, ``no-index``, ``find-links``, ``cert``, ``trusted-host``,
    ``proxy``, ``timeout`` (pip's documentation, "Configuration"). Of uv: ``UV_DEFAULT_INDEX``,
    ``UV_INDEX_URL``, ``UV_INDEX``, ``UV_EXTRA_INDEX_URL``, ``UV_FIND_LINKS``, ``UV_HTTP_TIMEOUT``.
    """
    told = {**_from_files(environment, prefix), **_from_variables(environment)}
    first = environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL")
    more = [*environment.get("UV_INDEX", "").split(), *environment.get("UV_EXTRA_INDEX_URL", "").split()]
    indexes = [*(_address(one) for one in more), _address(told.get("index-url") or first or DEFAULT_INDEX)]
    indexes += told.get("extra-index-url", "").split()
    links = [
        *told.get("find-links", "").split(),
        *environment.get("UV_FIND_LINKS", "").replace(",", " ").split(),
    ]
    offline = told.get("no-index", "").lower() in {"1", "true", "yes", "on"}
    return IndexSettings(
        indexes=() if offline else tuple(dict.fromkeys(indexes)),
        folders=tuple(
            Path(one.removeprefix("file://")).expanduser()
            for one in links
            if "://" not in one or one.startswith("file://")
        ),
        certificates=told.get("cert")
        or environment.get("SSL_CERT_FILE")
        or environment.get("REQUESTS_CA_BUNDLE"),
        trusted=frozenset(one.partition(":")[0] for one in told.get("trusted-host", "").split()),
        proxy=told.get("proxy") or None,
        timeout_s=_seconds(
            told.get("timeout") or told.get("default-timeout") or environment.get("UV_HTTP_TIMEOUT")
        ),
    )


def _address(text: str) -> str:
    """Return the address of an index; uv lets it have a name in front."""
    name, equals, address = text.partition("=")
    return address if equals and "://" in address and "://" not in name else text


def _seconds(text: str | None) -> float:
    try:
        return min(max(float(text or 15), 1.0), 600.0)
    except ValueError:
        return 15.0


def _from_variables(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name[4:].lower().replace("_", "-"): value
        for name, value in environment.items()
        if name.startswith("PIP_")
    }


def _from_files(environment: Mapping[str, str], prefix: str) -> dict[str, str]:
    told: dict[str, str] = {}
    for path in _files(environment, prefix):
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, configparser.Error):
            continue
        for section in SECTIONS:
            if parser.has_section(section):
                told.update(parser.items(section))
    return told


def _files(environment: Mapping[str, str], prefix: str) -> Iterator[Path]:
    """Yield pip's files, the strongest last; ``PIP_CONFIG_FILE`` as /dev/null switches all others off."""
    named = environment.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return
    home = Path(environment.get("HOME") or "~").expanduser()
    for folder in environment.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":"):
        yield Path(folder, "pip", "pip.conf")
    yield Path("/etc/pip.conf")
    yield home / ".pip" / "pip.conf"
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config", "pip", "pip.conf")
    yield Path(prefix, "pip.conf")
    if named:
        yield Path(named)
