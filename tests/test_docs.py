"""What a page names is there: pages, headings, files, make targets, commands and their options."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from support import REPOSITORY

from llamactl.cli.app import COMMANDS, command

if not (REPOSITORY / "docs").is_dir():
    pytest.skip("the pages aren't in this copy", allow_module_level=True)

PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "llama.cpp/README.md"]
)
EXAMPLES = REPOSITORY / "docs" / "examples"
ROOTS = ("", "llamactl", "docs", "tests", "llamactl/native", "llamactl/trace", "llamactl/cli")
"""Where a path that a page names may begin."""
THEIRS = ("common/", "tools/", "ggml/", "src/", "include/", "vendor/", "/", "~", ".github/", "dist-info")
"""Beginnings of paths that lie in llama.cpp, or on the reader's machine."""
SUFFIXES = "py|pyi|cmake|cpp|c|h|md|toml|json|sh"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(rf"`(?:python )?([\w.-]+(?:/[\w.-]+)+\.(?:{SUFFIXES}))(?![\w])[^`]*`")
SCRIPT = re.compile(r"python (?:-m )?((?:benchmarks|tests|docs)/[\w./-]+\.py)")
MAKE = re.compile(r"(?:^|[`$] ?|&& )make ([a-z][a-z-]*)", re.MULTILINE)
CALL = re.compile(rf"\bllamactl ({'|'.join(COMMANDS)})\b([^\n`|;]*)")
OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]+)")
OTHERS = frozenset("--help --version".split())


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return what a link to a heading may say, as GitHub makes it."""
    heads = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return frozenset(
        re.sub(r"[^\w\- ]", "", head.lower().replace("`", "")).strip().replace(" ", "-") for head in heads
    )


@cache
def options_of(name: str) -> frozenset[str]:
    """Return the long options of a command and of those below it."""
    found = command(name)
    inside = [found, *getattr(found, "commands", {}).values()]
    return OTHERS | {
        option
        for one in inside
        for parameter in one.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def page(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_links_lead_somewhere(page: Path) -> None:
    missing = []
    for target in LINK.findall(text_of(page)):
        path, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            missing.append(target)
    assert missing == []


def test_files_are_there(page: Path) -> None:
    text = text_of(page)
    named = {one for one in PATH.findall(text) if not one.startswith(THEIRS)} | set(SCRIPT.findall(text))
    rooms = (page.parent, *(REPOSITORY / root for root in ROOTS))
    assert [one for one in sorted(named) if not any((room / one).exists() for room in rooms)] == []


def test_make_knows_its_targets(page: Path) -> None:
    targets = set(
        re.findall(r"^([a-z][a-z-]*):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert set(MAKE.findall(text_of(page))) - targets == set()


def test_commands_have_the_options(page: Path) -> None:
    wrong = [
        (name, option)
        for name, words in CALL.findall(text_of(page))
        for option in OPTION.findall(words.partition(" -- ")[0])
        if option not in options_of(name)
    ]
    assert wrong == []


def test_options_by_themselves_are_of_some_command_or_of_the_tool_that_is_named(page: Path) -> None:
    """In a page of a command, a code span that is an option."""
    if page.stem not in COMMANDS:
        return
    text = text_of(page)
    known = frozenset().union(*(options_of(name) for name in COMMANDS))
    scripts = "".join(text_of(REPOSITORY / one) for one in set(SCRIPT.findall(text)))
    spans = set(re.findall(r"`(--[a-z][a-z-]+)[^`]*`", text))
    assert [one for one in sorted(spans - known) if f'"{one}"' not in scripts] == []


def test_makefile_and_pages_name_benchmarks_that_are_there() -> None:
    listed = re.findall(r"for name in ([^;]+);", (REPOSITORY / "Makefile").read_text(encoding="utf-8"))
    names = [name for one in listed for name in one.replace("\\", " ").split()]
    assert names
    assert [name for name in names if not (REPOSITORY / "benchmarks" / f"{name}.py").exists()] == []


def test_programs_that_are_recorded_can_be_had(page: Path) -> None:
    """``python NAME.py`` on a page is an example, or the page says where it lies; ``app.py`` is the reader's own."""
    text = text_of(page)
    named = set(re.findall(r"^(?:\$ llamactl .*|trace: )python (\w+\.py)", text, re.MULTILINE)) - {"app.py"}
    missing = [
        name
        for name in sorted(named)
        if not (EXAMPLES / name).exists()
        and not re.search(rf"`{re.escape(name)}` is \[`tests/programs/", text)
    ]
    assert missing == []


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_what_a_page_shows(example: Path) -> None:
    compile(text_of(example), str(example), "exec")
    shown = "".join(text_of(page) for page in PAGES)
    assert f"```python\n{text_of(example)}```" in shown


def test_one_recording_has_the_same_figures_on_every_page() -> None:
    """The heads and rows of a program that several pages show, and the line of the first run."""
    found: dict[str, set[str]] = {}
    for page in PAGES:
        text = text_of(page)
        for program, figures in re.findall(r"^trace: (python \w+\.py.*)\n  (.*)$", text, re.MULTILINE):
            found.setdefault(program, set()).add(figures)
        for block in re.findall(r"```(?:console|text)\n(.*?)```", text, re.DOTALL):
            if block.startswith("$ llamactl run --seed 7"):
                found.setdefault("run", set()).add(block.rstrip("\n").rpartition("\n")[2])
            crossings = re.search(r"\n *(819 crossings.*?)in\n? *Python\n", block, re.DOTALL)
            if crossings:
                found.setdefault("complete.py", set()).add(re.sub(r"\s+", " ", crossings[1]))
    assert len(found) >= 4
    assert {name: values for name, values in found.items() if len(values) > 1} == {}
