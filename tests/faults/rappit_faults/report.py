"""A run's report, for a person."""

from collections import Counter
from collections.abc import Sequence

from rappit_faults.tally import Tally, percentile

MAX_OFFENCES = 200
PROMISES = ("lost", "doubled", "oversold", "astray", "undrained", "other")


def verdict(tally: Tally) -> str:
    """Return the run in one sentence."""
    kept = "Every promise was kept." if not tally.offences else f"{len(tally.offences)} offences."
    counts = tally.counts
    deaths, outages = sum(tally.deaths.values()), sum(tally.outages.values())
    return (
        f"{kept} {counts['webhooks sent']:,} webhooks sent, {counts['webhooks accepted']:,} accepted; {deaths} deaths, "
        f"{outages} outages; lost {tally.broken('lost')}, doubled {tally.broken('doubled')}, "
        f"oversold {tally.broken('oversold')}, astray {tally.broken('astray')}."
    )


def write_report(rounds: Sequence[Tally], *, replay: str) -> str:
    """Return a run's report as Markdown.

    Args:
        rounds: Each round's tally.
        replay: The command that does the same again.
    """
    whole = Tally(rounds[0].seed)
    for tally in rounds:
        whole.add(tally)
    parts = [
        f"# Faults: seed {whole.seed}, {len(rounds)} rounds",
        verdict(whole),
        f"Again: `{replay}`",
        "## Promises",
        _table(("promise", "offences"), [(promise, str(whole.broken(promise))) for promise in PROMISES]),
        _offences(whole),
        "## What was done",
        _table(("what", "times"), _most(whole.counts)),
        "## What broke",
        _table(("death", "times"), _most(whole.deaths)),
        _table(("outage", "times"), _most(whole.outages)),
        "## How long it took",
        _table(("what", "median", "p99", "longest"), _durations(whole)),
        f"The stock was looked at {whole.moments:,} times while things broke.",
        f"The longest that an outbox row was seen to wait was {whole.max_lag_s:.1f} s.",
        "## The plan",
        "```\n" + "\n".join(whole.plan) + "\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _offences(tally: Tally) -> str:
    lines = [f"- {offence}" for offence in sorted(set(tally.offences))[:MAX_OFFENCES]]
    more = len(set(tally.offences)) - MAX_OFFENCES
    return "\n".join([*lines, f"- and {more} more"] if more > 0 else lines)


def _most(counts: Counter[str]) -> list[tuple[str, str]]:
    return [(name, f"{count:,}") for name, count in sorted(counts.items())]


def _durations(tally: Tally) -> list[tuple[str, ...]]:
    kinds = {
        "webhook's 2xx to its order's first reserved unit": tally.reservation_s,
        "end of an outage or a death to a whole stack": [recovery.seconds for recovery in tally.recoveries],
        "last fault to everything held": tally.drain_s,
    }
    return [
        (name, *(f"{value:.2f} s" for value in (percentile(values, 0.5), percentile(values, 0.99), max(values))))
        for name, values in kinds.items()
        if values
    ]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
