"""``llamactl --version``: of the tool and of everything it stands on."""

from __future__ import annotations


def version_text() -> str:
    """Return one line per part."""
    from llamactl.run.facts import versions

    found = versions()
    return "\n".join(
        [
            f"llamactl {found.llamactl}",
            f"llama.cpp {found.llama} ({found.engine_commit})",
            f"ggml {found.ggml}",
            f"CFFI {found.cffi}",
            f"Python {found.python}",
            f"Linux {found.kernel}",
        ]
    )
