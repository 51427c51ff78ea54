"""``make faults``: rounds of a seed, a report, and a status that is not zero when a promise was broken."""

import argparse
import asyncio
import random
import shlex
import sys
import time
from pathlib import Path

from rappit_devstack import state

from rappit_faults import self_test
from rappit_faults.plan import LONG, SHORT
from rappit_faults.report import verdict, write_report
from rappit_faults.round import Round
from rappit_faults.stack import Playground
from rappit_faults.tally import Tally

SIZES = {"short": SHORT, "long": LONG}


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


async def _play(folder: Path, arguments: argparse.Namespace) -> list[Tally]:
    playground = Playground(folder, say=_say)
    rounds: list[Tally] = []
    ends_at_s = time.monotonic() + 60 * arguments.minutes if arguments.minutes else None
    try:
        await playground.open()
        if arguments.self_test:
            await self_test.see_every_bug(playground, say=_say)
        while len(rounds) < arguments.rounds or (ends_at_s is not None and time.monotonic() < ends_at_s):
            seed = arguments.seed + len(rounds)
            tally = await Round(playground, seed, SIZES[arguments.size], say=_say).play()
            rounds.append(tally)
            _say(f"seed {seed}: {verdict(tally)}")
            (folder / "report.md").write_text(write_report(rounds, replay=_replay(arguments)))
            for offence in tally.offences[:20]:
                _say(f"  {offence}")
            if tally.offences and not arguments.go_on:
                break
    finally:
        await playground.close()
    return rounds


def _replay(arguments: argparse.Namespace) -> str:
    words = [f"SEED={arguments.seed}", f"ROUNDS={arguments.rounds}"]
    words += [f"MINUTES={arguments.minutes:g}"] if arguments.minutes else []
    return "make faults " + " ".join(map(shlex.quote, words))


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="of the first round; by chance when not given")
    parser.add_argument("--rounds", type=int, default=1, help="at least so many, each with the next seed")
    parser.add_argument("--minutes", type=float, default=0, help="begin rounds for at least so long")
    parser.add_argument("--size", choices=SIZES, default="long")
    parser.add_argument("--go-on", action="store_true", help="play on after a round that broke a promise")
    parser.add_argument("--no-self-test", dest="self_test", action="store_false", help="do not show the bugs first")
    arguments = parser.parse_args()
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(1_000_000)
    folder = state.home() / "faults" / str(arguments.seed)
    with state.locked(state.home() / "faults" / ".lock", wait_s=0, reason="another `make faults` is running"):
        rounds = asyncio.run(_play(folder, arguments))
    offences = sum(len(tally.offences) for tally in rounds)
    print(f"The report is {folder / 'report.md'}.")
    sys.exit(1 if offences else 0)


if __name__ == "__main__":
    main()
