"""How the house is built, read from its sources: who opens what of /proc, and that no module needs itself."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "llamactl"

OUTSIDE_OF_PROCESS = {
    # Below process: a file without a name gets one by its link in /proc/self/fd (open(2)).
    "llamactl/output/file.py",
    "llamactl/output/place.py",
}
KNOWN_CIRCLES = {  # Types alone, or on the first use.
    frozenset(f"llamactl.trace.record.syscalls.{name}" for name in ("base", "native", "ptrace")),
    frozenset({"llamactl.trace.mechanisms.gpu.awaited", "llamactl.trace.mechanisms.interface.exchange"}),
}


@cache
def sources() -> dict[str, ast.Module]:
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def texts(tree: ast.Module) -> Iterator[str]:
    """Yield the texts of a module; what an f-string puts in is ``{}``, documentation is left out."""
    spoken = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "{}"
                for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in spoken:
            yield node.value


def of_a_process(text: str) -> bool:
    return text == "/proc" or text.startswith(("/proc/{}", "/proc/self", "/proc/thread-self"))


def test_only_process_opens_the_files_of_a_process() -> None:
    found = {name for name, tree in sources().items() if any(map(of_a_process, texts(tree)))}
    assert {name for name in found if not name.startswith("llamactl/process/")} == OUTSIDE_OF_PROCESS


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(tree: ast.Module, known: set[str]) -> set[str]:
    """Return the modules of ours that a module imports, wherever in it; for types alone, too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            parts = {f"{node.module}.{name.name}" for name in node.names} & known
            found |= parts or {node.module}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return found & known


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Return the groups of modules in which each needs each other (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: set[frozenset[str]] = set()

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for other in graph[module]:
            if other not in order:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], order[other])
        if low[module] == order[module]:
            at = stack.index(module)
            if len(stack) - at > 1:
                found.add(frozenset(stack[at:]))
            del stack[at:]

    for module in graph:
        if module not in order:
            visit(module)
    return found


def test_no_module_needs_itself() -> None:
    compiled = {module_of(str(path.relative_to(ROOT).with_suffix(".py"))) for path in PACKAGE.rglob("*.pyi")}
    known = {module_of(path) for path in sources()}
    graph: dict[str, set[str]] = {module: set() for module in compiled}
    for path, tree in sources().items():
        graph[module_of(path)] = imports(tree, known | compiled) - {module_of(path)}
    # The report is made of the registered mechanisms, which find their facts in the report.
    found = {one for one in circles(graph) if "llamactl.trace.mechanisms.registry" not in one}
    assert found <= KNOWN_CIRCLES
