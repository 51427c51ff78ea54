"""Measure ourselves against limits in the same run: ``make bench``, ``make bench-quick``.

Needs real servers, named in the environment; `rappit-devstack run -- python benchmarks/run.py` starts private ones.
"""

import argparse
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace

import uvloop
from measuring import FULL, QUICK, Effort, Outcome, compare, compare_times, skipped
from rich.console import Console
from rich.table import Table
from rows.bare_reservations import find_pgbench
from rows.consume import MessagesConsumed, TracingSampled
from rows.imports import MEMORY_GOAL_BYTES, Imports, find_psql
from rows.relay import STEADY_RATE, OutboxRelayed
from rows.reservations import HotReservations, ManySkus, Reservations
from rows.webhooks import WebhooksAccepted, WebhooksSpooled, tail_of
from stand import Stand, open_stand

LOAD_PART = 0.7
HELD_P50_MS = 50.0
AT_ONCE = (1, 4, 16, 64)

console = Console(width=140)


def say(line: str) -> None:
    console.print(line, highlight=False)


async def accepted(stand: Stand, effort: Effort) -> list[Outcome]:
    say(f"[bold]{WebhooksAccepted.title}")
    async with WebhooksAccepted(stand) as row:
        outcome, rate = await compare(row, effort, say)
        tails = [tail_of(await row.latencies_s(LOAD_PART * rate, effort.seconds)) for _ in range(effort.rounds)]
    p50_ms, p99_ms = sorted(tails, key=lambda tail: tail[1] / tail[0])[len(tails) // 2]
    # Requests that queue for long are all alike: a small ratio then says only that the load was not held.
    held = p50_ms <= HELD_P50_MS
    tail = Outcome(
        f"its p99 / p50 at {LOAD_PART:.0%} load",
        f"<= {row.tail_goal:g}",
        f"{p99_ms / p50_ms:.2f}" if held else "not held",
        held and p99_ms <= row.tail_goal * p50_ms,
        [f"p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms at {LOAD_PART * rate:,.0f}/s"],
    )
    return [outcome, tail]


async def spooled(stand: Stand, effort: Effort) -> list[Outcome]:
    say(f"[bold]{WebhooksSpooled.title}")
    async with WebhooksSpooled(stand) as row:
        outcome, _ = await compare(row, effort, say)
    return [outcome]


async def reserved(stand: Stand, effort: Effort, at_once: tuple[int | None, ...] = (None,)) -> list[Outcome]:
    outcomes: list[Outcome] = []
    pgbench = find_pgbench()
    for held in at_once:
        for make in (Reservations, HotReservations):
            if pgbench is None:
                reason = "no pgbench found: install postgresql-contrib"
                outcomes.append(skipped(make.title, make.goal or 0, reason))
                continue
            async with make(stand, pgbench, held) as row:
                say(f"[bold]{row.title}")
                outcome, _ = await compare(row, effort, say)
                outcomes.append(outcome)
    return outcomes


async def reserved_at_once(stand: Stand, effort: Effort) -> list[Outcome]:
    return await reserved(stand, effort, AT_ONCE)


async def many_skus(stand: Stand, effort: Effort) -> list[Outcome]:
    say(f"[bold]{ManySkus.title}")
    async with ManySkus(stand) as row:
        outcome, _ = await compare(row, effort, say)
    return [outcome]


async def relayed(stand: Stand, effort: Effort) -> list[Outcome]:
    say(f"[bold]{OutboxRelayed.title}")
    async with OutboxRelayed(stand) as row:
        outcome, _ = await compare(row, effort, say)
        p50_ms, p99_ms = tail_of(await row.latencies_s(effort.seconds * effort.rounds))
    latency = Outcome(
        f"commit to consumer at {STEADY_RATE:.0f}/s",
        f"p50 <= {row.latency_goal_ms:g} ms",
        f"{p50_ms:.1f} ms",
        p50_ms <= row.latency_goal_ms,
        [f"p99 {p99_ms:.1f} ms"],
    )
    return [outcome, latency]


async def consumed(stand: Stand, effort: Effort) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for make in (MessagesConsumed, TracingSampled):
        say(f"[bold]{make.title}")
        async with make(stand) as row:
            outcome, _ = await compare(row, effort, say)
            outcomes.append(outcome)
    return outcomes


async def imported(stand: Stand, effort: Effort) -> list[Outcome]:
    psql = find_psql()
    if psql is None:
        return [skipped("bulk import", Imports.goal, "no psql found: install postgresql-client", sign="<=")]
    row = Imports(stand, psql, effort.file_rows)
    say(f"[bold]{row.title}")
    async with row:
        outcome = await compare_times(row, effort, say)
    megabytes = row.grown_bytes / 1024 / 1024
    memory = Outcome(
        "its growth of the process's memory",
        f"<= {MEMORY_GOAL_BYTES // 1024 // 1024} MB",
        f"{megabytes:.0f} MB",
        row.grown_bytes <= MEMORY_GOAL_BYTES,
    )
    return [outcome, memory]


ROWS: dict[str, Callable[[Stand, Effort], Awaitable[list[Outcome]]]] = {
    "accept": accepted,
    "spool": spooled,
    "reserve": reserved,
    "relay": relayed,
    "consume": consumed,
    "import": imported,
}
# How a row changes as something grows: minutes, and left out of the quick run unless they are named.
GROWTH: dict[str, Callable[[Stand, Effort], Awaitable[list[Outcome]]]] = {
    "reserve-at-once": reserved_at_once,
    "many-skus": many_skus,
}


def show(outcomes: list[Outcome]) -> None:
    table = Table(title="Measured against limits of the same run", title_justify="left")
    for column in ("what", "goal", "figure", "", "how"):
        table.add_column(column, overflow="fold")
    for outcome in outcomes:
        verdict = {True: "[green]met", False: "[red]missed", None: "[yellow]no verdict"}[outcome.is_met]
        table.add_row(outcome.title, outcome.goal, outcome.figure, verdict, "\n".join(outcome.details))
    console.print(table)


async def measure(rows: list[str], effort: Effort) -> list[Outcome]:
    outcomes: list[Outcome] = []
    async with open_stand() as stand:
        for name in rows:
            outcomes += await {**ROWS, **GROWTH}[name](stand, effort)
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute or two, for the direction only")
    parser.add_argument("--check", action="store_true", help="end with 1 when a goal is missed")
    parser.add_argument("--file-rows", type=int, help="rows of an imported file")
    parser.add_argument("rows", nargs="*", help=f"which of: {', '.join((*ROWS, *GROWTH))}; all when none is named")
    given = parser.parse_args()
    unknown = set(given.rows) - {*ROWS, *GROWTH}
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    effort = QUICK if given.quick else FULL
    if given.file_rows:
        effort = replace(effort, file_rows=given.file_rows)
    rows = given.rows or (list(ROWS) if given.quick else [*ROWS, *GROWTH])
    outcomes = uvloop.run(measure(rows, effort))
    show(outcomes)
    if given.check and any(outcome.is_met is False for outcome in outcomes):
        sys.exit(1)


if __name__ == "__main__":
    main()
