"""An output takes its name whole, and never another file's place, rights or content."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from llamactl.errors import UsageError
from llamactl.output import file as output_file
from llamactl.output.apart import check_apart
from llamactl.output.file import OutputFile, OutputText, append_text, check_writable, replace_text
from llamactl.output.place import find_place

NOBODY = 65534


@pytest.fixture(params=["nameless", "named"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """File systems that know O_TMPFILE, and those that don't."""
    if request.param == "named":
        monkeypatch.setattr("os.O_TMPFILE", os.O_DIRECTORY)


def write(name: Path, text: str = "new") -> None:
    with OutputText(str(name)) as output:
        output.stream.write(text)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_a_new_file_is_its_owners_alone_under_any_umask(tmp_path: Path, either_way: None, mask: int) -> None:
    before = os.umask(mask)
    try:
        write(tmp_path / "a")
        replace_text(tmp_path / "b", "new")
        append_text(tmp_path / "c", "new")
    finally:
        os.umask(before)
    assert [(path.read_text(), mode(path)) for path in sorted(tmp_path.iterdir())] == [("new", 0o600)] * 3


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path, either_way: None) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with OutputText(str(path)) as output:
        output.stream.write("new")
        output.stream.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert listing(tmp_path) == ["a"]


def test_an_error_leaves_what_was_there(tmp_path: Path, either_way: None) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), OutputText(str(path)) as output:
        output.stream.write("new" * 100_000)
        _ = 1 / 0
    assert path.read_text() == "old"
    assert listing(tmp_path) == ["a"]


def test_a_look_whether_it_can_be_written_changes_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "a")
    assert listing(tmp_path) == []
    with pytest.raises(OSError, match="No such file"):
        check_writable(tmp_path / "no" / "a")


def test_a_stored_result_keeps_the_mode_it_had(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o644)
    replace_text(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o644)


def test_the_owners_own_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user's files: root")
@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_another_user_planted_is_refused(tmp_path: Path, kind: str) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "anybody"
    victim.write_text("precious")
    folder.mkdir()
    folder.chmod(0o1777)
    planted = folder / "out"
    if kind == "link":
        planted.symlink_to(victim)
    else:
        planted.write_text("theirs")
    os.chown(planted, NOBODY, NOBODY, follow_symlinks=False)
    for act in (write, lambda path: replace_text(path, "x"), lambda path: append_text(path, "x")):
        with pytest.raises((OSError, UsageError), match="anybody may make files"):
            act(planted)
    assert victim.read_text() == "precious"
    assert planted.read_text() == ("precious" if kind == "link" else "theirs")


@pytest.mark.skipif(os.geteuid() != 0, reason="makes device nodes: root")
@pytest.mark.parametrize(
    "act", [write, lambda path: replace_text(path, "x"), lambda path: append_text(path, "x")]
)
def test_a_device_is_written_to_and_stays_what_it_is(tmp_path: Path, act: object) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        device.chmod(0o666)
        device.open("wb").close()
    except OSError as error:
        pytest.skip(f"no device nodes here: {error}")
    before = device.stat()
    act(device)  # type: ignore[operator]
    after = device.stat()
    assert (after.st_mode, after.st_ino, after.st_rdev) == (before.st_mode, before.st_ino, before.st_rdev)


def test_a_pipe_gets_the_bytes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o640)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    write(pipe)
    reader.join(30)
    assert got == ["new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert mode(pipe) == 0o640


def test_a_descriptor_of_ours_is_written_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "redirected"
    with path.open("w") as file:
        file.write("program's own, ")
        file.flush()
        write(Path(f"/dev/fd/{file.fileno()}"))
        file.seek(0, os.SEEK_END)
        file.write(", more")
    assert path.read_text() == "program's own, new, more"


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to(path)])
def test_what_no_output_can_be_is_refused_by_name(tmp_path: Path, make: object) -> None:
    path = tmp_path / "a"
    make(path)  # type: ignore[operator]
    with pytest.raises(UsageError, match=r"can't write .*a: (Is a directory|Too many levels)"):
        OutputText(str(path))
    with pytest.raises(UsageError, match="the name is empty"):
        OutputText("")


@pytest.mark.parametrize("other", ["same", "hard", "soft", "dots"])
def test_an_output_that_is_an_input_is_refused_by_device_and_inode(tmp_path: Path, other: str) -> None:
    source = tmp_path / "source"
    source.write_text("precious")
    names = {
        "same": source,
        "hard": tmp_path / "hard",
        "soft": tmp_path / "soft",
        "dots": tmp_path / "." / "source",
    }
    os.link(source, names["hard"])
    names["soft"].symlink_to(source)
    with pytest.raises(UsageError, match=r"--jsonl .* is the file that --from reads"):
        check_apart([("--jsonl", str(names[other]))], [("--from", str(source))])


def test_two_outputs_of_one_file_are_refused_even_before_it_is_there(tmp_path: Path) -> None:
    name = str(tmp_path / "a")
    with pytest.raises(UsageError, match="--chrome and --jsonl would write the same file"):
        check_apart([("--chrome", name), ("--jsonl", f"{tmp_path}/./a")], [])
    check_apart([("--chrome", "/dev/stderr"), ("--jsonl", "/dev/stderr"), ("--sqlite", None)], [])


def test_a_file_in_a_folder_that_takes_no_new_ones_is_written_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_text("old and longer")
    inode = path.stat().st_ino

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(output_file, "_new", refused)
    write(path)
    assert (path.read_text(), path.stat().st_ino) == ("new", inode)
    with pytest.raises(UsageError, match="Permission denied"):
        write(tmp_path / "b")


def test_closing_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    write(tmp_path / "a")
    OutputFile(tmp_path / "b").discard()
    append_text(tmp_path / "c", "x")
    assert len(os.listdir("/proc/self/fd")) == before
    assert find_place(tmp_path / "a").identity is not None
