"""The Markdown page of a check on a real GPU."""

from __future__ import annotations

from typing import Any


def write_page(document: dict[str, Any]) -> str:
    """Return the page."""
    facts, comparisons = document["facts"], document["comparisons"]
    held = sum(one["holds"] for one in comparisons)
    lines = [
        f"{facts.get('machine', {}).get('nvidia-smi', 'unknown GPU')}, Linux {facts.get('machine', {}).get('kernel')};"
        f" {held} of {len(comparisons)} comparisons hold, in {document['seconds']:.0f} s.",
        "",
        "| what | llamactl | the other | who | |",
        "| --- | ---: | ---: | --- | --- |",
    ]
    lines += [
        f"| {one['what']} | {_figure(one['ours'])} | {_figure(one['theirs'])} | {one['source']} |"
        f" {one['why'] if one['holds'] else 'DIFFERS'} |"
        for one in comparisons
    ]
    for name in ("python", "run"):
        row = (facts.get(name) or {}).get("row")
        if row:
            lines += ["", f"The GPU's row, {name} ({row['verdict']}):", "", "```text", *row["text"], "```"]
    if "cost" in facts:
        middle = {how: sorted(times)[len(times) // 2] for how, times in facts["cost"].items() if times}
        lines += ["", "llama-cpp-python, load and 256 tokens, medians of 3: " + _times(middle)]
    lines += ["", *(f"- failed: {text}" for text in document["failures"])]
    return "\n".join(lines).rstrip() + "\n"


def _times(middle: dict[str, float]) -> str:
    return ", ".join(f"{how} {seconds:.2f} s" for how, seconds in middle.items()) + "."


def _figure(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
