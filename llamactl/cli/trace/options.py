"""Options of ``llamactl trace``: what is recorded, which calls, and what is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from typer import Option

from llamactl.render.trace.table_names import table_names

RECORDING, SELECTING, SHOWING = "What to record", "Which calls", "What to show"


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """What is recorded, and how."""

    pid: Annotated[
        int | None,
        Option("-p", "--pid", metavar="PID", help="Attach to a running process.", rich_help_panel=RECORDING),
    ] = None
    children: Annotated[
        bool,
        Option("--children", help="With -p: the descendants that it has, too.", rich_help_panel=RECORDING),
    ] = False
    source: Annotated[
        str | None,
        Option("--from", metavar="FILE", help="Show a capture again.", rich_help_panel=RECORDING),
    ] = None
    output: Annotated[
        str | None,
        Option("-o", "--output", metavar="FILE", help="Keep the capture.", rich_help_panel=RECORDING),
    ] = None
    recorder: Annotated[
        str | None,
        Option(
            "--recorder",
            "--engine",
            metavar="NAME",
            help="ptrace, perf or python.",
            rich_help_panel=RECORDING,
        ),
    ] = None
    duration: Annotated[
        float | None,
        Option("--duration", metavar="S", min=0.0, help="Record so many seconds.", rich_help_panel=RECORDING),
    ] = None
    limit: Annotated[
        str | None,
        Option("--limit", metavar="N|SIZE", help="Stop recording after so many records, or at a size (100M).",
               rich_help_panel=RECORDING),
    ] = None  # fmt: skip
    faults: Annotated[
        bool,
        Option("--faults/--no-faults", help="Page faults, with a recorder that sees them.",
               rich_help_panel=RECORDING),
    ] = True  # fmt: skip
    calls: Annotated[
        bool,
        Option("--calls/--no-calls", help="Calls into llama.cpp and the GIL.",
               rich_help_panel=RECORDING),
    ] = True  # fmt: skip
    breakpoints: Annotated[
        bool,
        Option("--breakpoints", help="Catch calls by breakpoints where uprobes are refused (-p), and in programs that"
               " can't load the agent (static, musl). If llamactl is killed (SIGKILL), the program dies too.",
               rich_help_panel=RECORDING),
    ] = False  # fmt: skip
    watch: Annotated[
        bool | None,
        Option("--watch/--no-watch", help="Find out by hardware watchpoints who reads logits, embeddings and"
               " state. Of a command the first touches are seen anyway, where perf events are allowed.",
               rich_help_panel=RECORDING),
    ] = None  # fmt: skip
    compare_untraced: Annotated[
        bool,
        Option("--compare-untraced", help="Run the command again without tracing and state the ratio.",
               rich_help_panel=RECORDING),
    ] = False  # fmt: skip
    no_argv: Annotated[
        bool,
        Option(
            "--no-argv",
            help="Keep the arguments of all programs out of the capture.",
            rich_help_panel=RECORDING,
        ),
    ] = False


@dataclass(frozen=True, slots=True)
class SelectingOptions:
    """Which calls are recorded and shown, as in strace."""

    expressions: Annotated[
        list[str],
        Option("-e", "--trace", metavar="EXPR", rich_help_panel=SELECTING,
               help="trace=%file,openat,/regex/,!futex. Repeatable. -e all: everything."),
    ] = field(default_factory=list)  # fmt: skip
    paths: Annotated[
        list[str],
        Option("-P", "--path", metavar="PATH", help="Only calls on this path. Repeatable.",
               rich_help_panel=SELECTING),
    ] = field(default_factory=list)  # fmt: skip
    phases: Annotated[
        list[str],
        Option("--phase", metavar="NAME", rich_help_panel=SELECTING,
               help="Only load, tokenize, prefill, decode, sample, free or outside. Repeatable."),
    ] = field(default_factory=list)  # fmt: skip
    threads: Annotated[
        list[str],
        Option("--thread", metavar="ROLE", rich_help_panel=SELECTING,
               help="Only threads of this role, name or number. Repeatable."),
    ] = field(default_factory=list)  # fmt: skip
    errors: Annotated[bool, Option("--errors", help="Only calls that failed.", rich_help_panel=SELECTING)] = (
        False
    )


@dataclass(frozen=True, slots=True)
class ShowingOptions:
    """What is shown, and where."""

    report: Annotated[
        str | None,
        Option("--report", metavar="FILE", help="The report into a file instead of stderr.",
               rich_help_panel=SHOWING),
    ] = None  # fmt: skip
    format: Annotated[
        str | None,
        Option("--format", metavar="NAME", help="table, json, csv or markdown; else by the file's suffix.",
               rich_help_panel=SHOWING),
    ] = None  # fmt: skip
    show: Annotated[
        str,
        Option("--show", metavar="TABLES", rich_help_panel=SHOWING,
               help=f"{', '.join(table_names())} or all; separated by commas."),
    ] = ""  # fmt: skip
    explain: Annotated[
        bool,
        Option("--explain", help="Say what each mechanism is and why it matters.", rich_help_panel=SHOWING),
    ] = False
    log: Annotated[
        bool, Option("--log", help="A line per call, while it is recorded.", rich_help_panel=SHOWING)
    ] = False
    chrome: Annotated[
        str | None,
        Option(
            "--chrome", metavar="FILE", help="For Perfetto and chrome://tracing.", rich_help_panel=SHOWING
        ),
    ] = None
    folded: Annotated[
        str | None,
        Option("--folded", metavar="FILE", help="Folded stacks, for flame graphs.", rich_help_panel=SHOWING),
    ] = None
    jsonl: Annotated[
        str | None,
        Option("--jsonl", metavar="FILE", help="A JSON object per event.", rich_help_panel=SHOWING),
    ] = None
    sqlite: Annotated[
        str | None,
        Option("--sqlite", metavar="FILE", help="A database of events and tables.", rich_help_panel=SHOWING),
    ] = None
    quiet: Annotated[
        bool, Option("-q", "--quiet", help="No report and no progress.", rich_help_panel=SHOWING)
    ] = False
