"""``-hf`` against a hub on this machine: choice of the file, split models, the cache, and what can go wrong."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support import Run

from llamactl.errors import LlamactlError, UsageError
from llamactl.models.hub import choose_file, hub_model, parse_reference, parts_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "user/several": ["README.md", "m-Q2_K.gguf", "m-Q4_K_M.gguf", "m-Q8_0.gguf", "mmproj-m-Q4_K_M.gguf"],
    "user/split": ["m-Q8_0-00002-of-00002.gguf", "m-Q8_0-00001-of-00002.gguf"],
    "user/nothing": ["README.md"],
}


class Hub(BaseHTTPRequestHandler):
    """Answers what huggingface_hub asks for; each file is GGUF's first bytes and its own name."""

    requests: list[str]

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep the terminal clean."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        """Serve ``/api/models/…`` and ``/REPO/resolve/REVISION/FILE``."""
        self.requests.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0].strip("/")
        if path.startswith("api/models/"):
            self.listing("/".join(path.split("/")[2:4]))
            return
        repository, _, rest = path.partition("/resolve/")
        name = rest.partition("/")[2]
        if name in FILES.get(repository, ()):
            self.file(name)
        else:
            self.refuse(repository)

    def listing(self, repository: str) -> None:
        if repository not in FILES:
            self.refuse(repository)
            return
        if "/tree/" in self.path:
            entries = [{"type": "file", "path": name, "size": 9, "oid": COMMIT} for name in FILES[repository]]
            self.reply(200, json.dumps(entries).encode(), {"Content-Type": "application/json"})
            return
        siblings = [{"rfilename": name} for name in FILES[repository]]
        body = {"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings, "tags": []}
        self.reply(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def file(self, name: str) -> None:
        body = b"GGUF" + name.encode()
        tag = hashlib.sha256(body).hexdigest()
        self.reply(200, body, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})

    def refuse(self, repository: str) -> None:
        code, word = (403, "GatedRepo") if repository == "user/gated" else (404, "RepoNotFound")
        self.reply(code, b"", {"X-Error-Code": word, "X-Error-Message": f"{repository} is {word}"})

    def reply(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """Start the hub; return its address and the list of requests it got."""
    pytest.importorskip("huggingface_hub")
    requests: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneHub", (Hub,), {"requests": requests}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", requests
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def fetch(llamactl: Run, hub: tuple[str, list[str]], tmp_path: Path) -> Any:
    """Return a function that runs ``-hf``; the files are no models, so the run always ends in an error."""

    def run(*arguments: str) -> Any:
        env = {
            "HF_ENDPOINT": hub[0], "HF_HUB_CACHE": str(tmp_path / "hub"), "LLAMA_CACHE": None, "no_proxy": "*",
            "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1",
        }  # fmt: skip
        result = llamactl("run", "-q", "--raw", "-c", "256", "Hi", "-hf", *arguments, env=env)
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        return result

    return run


def cached(tmp_path: Path) -> set[str]:
    """Return the names of the files in the cache."""
    return {path.name for path in (tmp_path / "hub").glob("models--*/snapshots/*/*")}


@pytest.mark.parametrize(
    ("reference", "names"),
    [
        ("user/several", {"m-Q4_K_M.gguf"}),
        ("user/several:q8_0", {"m-Q8_0.gguf"}),
        ("user/several:Q2_K", {"m-Q2_K.gguf"}),
        ("user/split", {"m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf"}),
    ],
)
def test_the_right_files_come(fetch: Any, tmp_path: Path, reference: str, names: set[str]) -> None:
    result = fetch(reference)
    assert result.returncode in {2, 125}
    assert sorted(names)[0] in result.stderr, "the engine was given the (first) file"
    assert cached(tmp_path) == names


def test_offline_takes_what_is_cached_and_asks_nobody(fetch: Any, hub: tuple[str, list[str]]) -> None:
    online = fetch("user/several:Q2_K")
    hub[1].clear()
    offline = fetch("user/several", "--offline")
    assert (offline.returncode, hub[1]) == (online.returncode, [])
    assert "m-Q2_K.gguf" in offline.stderr
    assert fetch("user/several:Q8_0", "--offline").returncode == 2


@pytest.mark.parametrize(
    ("reference", "code", "shown"),
    [
        ("user/several:Q5_K", 2, "no GGUF for -hf 'user/several:Q5_K'"),
        ("user/nothing", 2, "there is: README.md"),
        ("user/missing", 2, "isn't on Hugging Face"),
        ("user/gated", 125, "asks for an agreement"),
        ("just-a-name", 2, "isn't of the form user/repo[:quant]"),
    ],
)
def test_what_cannot_be_had_is_one_line(fetch: Any, reference: str, code: int, shown: str) -> None:
    result = fetch(reference)
    assert result.returncode == code, result.stderr
    assert shown in result.stderr
    assert result.stderr.count("\n") == 1


def test_no_hub_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, since huggingface_hub tries for half a minute before it gives up."""
    hub = pytest.importorskip("huggingface_hub")
    from huggingface_hub.utils import logging as hub_logging

    def refuse(*_: object) -> None:
        raise ConnectionError("[Errno 111] Connection refused\nand more")

    monkeypatch.setattr(hub.HfApi, "list_repo_files", refuse)
    with pytest.raises(LlamactlError, match=r"can't fetch user/several: .* refused") as caught:
        hub_model("user/several")
    assert "network" in caught.value.hint
    assert "\n" not in str(caught.value)
    assert hub_logging.get_verbosity() >= logging.ERROR, "its own warnings stay away from the terminal"


def test_references() -> None:
    assert parse_reference("a/b") == ("a/b", "")
    assert parse_reference("a/b:Q4_0") == ("a/b", "Q4_0")
    for bad in ("a", "a/b/c", "a/b:", "/b", "a/b c", ""):
        with pytest.raises(UsageError):
            parse_reference(bad)


def test_choice_and_parts() -> None:
    assert choose_file(["x-Q8_0.gguf", "x-q4_k_m.gguf"], "") == "x-q4_k_m.gguf"
    assert choose_file(["x-F16.gguf"], "") == "x-F16.gguf"
    assert choose_file(["x-IQ4_XS.gguf", "x-Q4_X.gguf"], "Q4_X") == "x-Q4_X.gguf"
    assert choose_file(["x-00002-of-00002.gguf"], "") is None
    assert choose_file([], "") is None
    parts = [f"m-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    assert parts_of(parts[0], {*parts, "m.gguf", "m-00001-of-00002.gguf", "n-00002-of-00003.gguf"}) == parts
    assert parts_of(parts[0], {parts[0]}) == parts[:1], "a whole model with the name of a part"
    assert parts_of("m.gguf", {"m.gguf"}) == ["m.gguf"]


@pytest.mark.parametrize(
    ("files", "quant", "chosen"),
    [
        (["g-4b-it-Q4_K_M.gguf", "g-4b-it-mmproj-f16.gguf"], "f16", None),
        (["a.mmproj-Q8_0.gguf", "b.Q8_0.gguf"], "Q8_0", "b.Q8_0.gguf"),
        (["model-mmproj-f16.gguf", "model-q6_k.gguf"], "", "model-q6_k.gguf"),
        (["model-imatrix.gguf", "model-q6_k.gguf"], "", "model-q6_k.gguf"),
        (["A-MMPROJ-F16.gguf", "B-Q6_K.gguf"], "", "B-Q6_K.gguf"),
        (["mmproj-pack/m-Q4_K_M.gguf"], "", "mmproj-pack/m-Q4_K_M.gguf"),
        (["m-mtp-Q8_0.gguf", "m-eagle3-Q8_0.gguf", "m-Q8_0.gguf"], "Q8_0", "m-Q8_0.gguf"),
        (["B/m-B-00002-of-00002.gguf", "B/m-B-00001-of-00002.gguf"], "B", "B/m-B-00001-of-00002.gguf"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_never_chosen(files: list[str], quant: str, chosen: str | None) -> None:
    """Wherever the word stands in a file's name, as in llama.cpp's gguf_filename_is_model; folders don't count."""
    assert choose_file(files, quant) == chosen
