"""One round: two merchants are told the same, one under faults and one in peace; then all is checked."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
from rappit_demo import merchant as onboarding
from rappit_demo.client import ApiError
from rappit_demo.merchant import WAREHOUSES, Merchant

from rappit_faults.chaos import break_things
from rappit_faults.checks.delivery_log import check_delivery_log
from rappit_faults.checks.labels import check_labels
from rappit_faults.checks.offence import Offence, Snapshot
from rappit_faults.checks.orders import Told, api_channel_id, check_orders, check_tenants
from rappit_faults.checks.placed import check_placed
from rappit_faults.checks.quiet import check_outboxes, check_queues, outbox_lag_s
from rappit_faults.checks.runs import check_runs
from rappit_faults.checks.stock import check_stock
from rappit_faults.checks.terminal import check_raw, check_requeued, check_unexpected_letters, check_webhooks
from rappit_faults.checks.twins import check_twins
from rappit_faults.load import Load
from rappit_faults.plan import AMPLE, AMPLE_UNITS, API, SCARCE, SCARCE_UNITS, Delivery, Plan, Size, make_plan
from rappit_faults.stack import Playground, Say
from rappit_faults.tally import Tally

DRAIN_WITHIN_S = 60.0
LOOK_EVERY_S = 0.5
REQUEUED_A_STEP = 3
CANARY_SHARE = 0.5
ACCEPTED = 202
SHELL_PATIENCE_S = (0.01, 0.03, 30.0)
"""How long an operator's shell lives after it has asked for a run: some die while they are answered."""
LETTER_SERVICES = ("orders", "inventory", "shipping")
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.InterfaceError,
)

_RESERVED = """
    SELECT o.channel_id::text, o.external_order_id, min(g.at) AS at
    FROM inventory.stock_ledger g JOIN orders.orders o ON o.id = g.source_id
    WHERE g.kind = 'reserve' AND g.organization_id::text = $1 GROUP BY 1, 2
"""


async def onboard(playground: Playground, name: str, *, selling: bool = True) -> Merchant:
    """Make a merchant with stock, channels and carriers, who sells; or one who does nothing at all."""
    made = await onboarding.create_merchant(playground.operator, playground.stack.ingress_url, name)
    await onboarding.create_warehouses(made)
    if selling:
        await onboarding.create_catalogue(made, [*AMPLE, *SCARCE])
        rows = [f"{sku},{AMPLE_UNITS},{WAREHOUSES[0][0]}" for sku in AMPLE]
        rows += [f"{sku},{SCARCE_UNITS},{WAREHOUSES[0][0]}" for sku in SCARCE]
        summary = await onboarding.import_stock(made, "\n".join(["sku,quantity,warehouse_code", *rows, ""]))
        assert summary["failed"] == 0, summary
    await onboarding.connect_channels(made)
    made.channels[API] = {"id": api_channel_id(made.organization_id)}
    await onboarding.connect_carriers(made)
    return made


@dataclass(slots=True)
class Cast:
    """Who takes part in a round."""

    shuffled: Load
    ordered: Load
    bystander: Merchant

    @property
    def loads(self) -> tuple[Load, Load]:
        """Those who sell."""
        return self.shuffled, self.ordered


class Round:
    """One seed's round on a playground that may have seen others.

    Args:
        playground: Where.
        seed: Decides everything that chance decides.
        size: How much is done.
        say: Told about progress.
    """

    def __init__(self, playground: Playground, seed: int, size: Size, say: Say = lambda _line: None) -> None:
        self._playground = playground
        self._say = say
        self._rng = random.Random(seed)
        self.plan: Plan = make_plan(seed, size)
        self.tally = Tally(seed, plan=self.plan.lines())
        self._began = datetime.now(UTC)

    async def play(self) -> Tally:
        """Play the round to its end and check it."""
        for line in self.tally.plan:
            self._say(line)
        playground = self._playground
        fired_before = len(playground.fired())
        merchants = [
            await onboard(playground, name, selling=selling)
            for name, selling in (("Shuffled", True), ("Ordered", True), ("Bystander", False))
        ]
        shuffled, ordered = (Load(playground, merchant, self._rng) for merchant in merchants[:2])
        cast = Cast(shuffled, ordered, merchants[2])
        try:
            await self._tell_in_order(ordered)
            await self._tell_under_faults(shuffled)
            await self._settle(cast)
        finally:
            for point in playground.fired()[fired_before:]:
                service, _, name = point.partition(".")
                self.tally.deaths[f"{service}: {name.replace('_', ' ')}"] += 1
            for load in cast.loads:
                self.tally.counts += load.journal.counts
                await load.close()
        return self.tally

    async def _tell_in_order(self, load: Load) -> None:
        """Tell the twin everything once: the next of an order's deliveries when the ones before are settled."""
        by_order: dict[Any, list[Delivery]] = {}
        for delivery in self.plan.ordered:
            by_order.setdefault((delivery.provider, delivery.external_order_id or delivery.number), []).append(delivery)
        for wave in itertools.zip_longest(*by_order.values()):
            told = [delivery for delivery in wave if delivery is not None]
            await asyncio.gather(*(load.send_once(delivery) for delivery in told))
            await self._until_held(lambda: self._webhooks(load), "the twin's deliveries to be settled")

    async def _webhooks(self, load: Load) -> list[Offence]:
        async with self._playground.snapshot() as snapshot:
            return [
                *await check_webhooks(snapshot, load.journal, load.merchant.organization_id),
                *await check_outboxes(snapshot),
            ]

    async def _tell_under_faults(self, load: Load) -> None:
        organization_ids = [load.merchant.organization_id]
        looking = asyncio.create_task(self._look_on(organization_ids))
        buying = [asyncio.create_task(load.buy(wish)) for wish in self.plan.labels]
        try:
            for number, step in enumerate(self.plan.steps, start=1):
                self._say(f"  step {number}/{len(self.plan.steps)}: {'; '.join(map(str, step.faults))}")
                telling = [
                    *(asyncio.create_task(load.send(delivery)) for delivery in step.deliveries),
                    *(asyncio.create_task(load.publish_raw(raw)) for raw in step.raw),
                    *(asyncio.create_task(load.change_stock(change)) for change in step.stock),
                    asyncio.create_task(self._requeue_some()),
                    asyncio.create_task(self._begin_runs(load.merchant)),
                ]
                await break_things(self._playground, step.faults, self.tally)
                await asyncio.gather(*telling)
            self._playground.disarm_all()
            await self._playground.wait_ready()
            await asyncio.gather(*buying)
        finally:
            for task in (looking, *buying):
                task.cancel()
            await asyncio.gather(looking, *buying, return_exceptions=True)

    async def _look_on(self, organization_ids: Sequence[str]) -> None:
        """Look at the stock again and again while things break; PostgreSQL may be away at any moment."""
        while True:
            with contextlib.suppress(*_AWAY):
                async with self._playground.snapshot() as snapshot:
                    self.tally.offences += await check_stock(snapshot, organization_ids)
                    self.tally.max_lag_s = max(self.tally.max_lag_s, await outbox_lag_s(snapshot))
                self.tally.moments += 1
            await asyncio.sleep(LOOK_EVERY_S)

    async def _requeue_some(self) -> None:
        """Be an operator who requeues poison while things break: it dies again, and is there once."""
        http = self._playground.operator.http
        for service in LETTER_SERVICES:
            with contextlib.suppress(httpx.TransportError, ApiError):
                path = f"/{service}/ops/dead-letters"
                page = await http.get(path, params={"status": "dead", "limit": REQUEUED_A_STEP})
                for letter in page.json()["items"] if page.is_success else []:
                    # A double click: twice at once.
                    answers = await asyncio.gather(
                        *(http.post(f"{path}/{letter['id']}/requeue", json={"reason": "faults"}) for _ in range(2)),
                        return_exceptions=True,
                    )
                    done = sum(isinstance(answer, httpx.Response) and answer.is_success for answer in answers)
                    self.tally.counts["dead letters requeued"] += min(done, 1)
                    if done > 1:
                        offender = f"dead letter {letter['id']} of {service}"
                        self.tally.offences.append(Offence("doubled", offender, "requeued twice by a double click"))

    async def _begin_runs(self, merchant: Merchant) -> None:
        """Be an operator who sends back all of a merchant's dead letters, and whose shell may die of it.

        Nothing was mended, so a run stops at its first letter; it is looked at no more until the end.
        """
        http = self._playground.operator.http
        meant = {"status": ["dead"], "organization_id": [merchant.organization_id]}
        for service in LETTER_SERVICES:
            asked = {"filter": meant, "reason": "faults", "canary": self._rng.random() < CANARY_SHARE}
            patience_s = self._rng.choice(SHELL_PATIENCE_S)
            self.tally.counts["requeue runs asked for"] += 1
            with contextlib.suppress(httpx.TransportError, ApiError):
                answer = await http.post(f"/{service}/ops/requeue-runs", json=asked, timeout=patience_s)
                self.tally.counts["requeue runs answered"] += answer.status_code == ACCEPTED

    async def _settle(self, cast: Cast) -> None:
        self._say("  draining and checking")
        began_s = asyncio.get_running_loop().time()
        for load in cast.loads:
            journal = load.journal
            self.tally.offences += [
                Offence("other", what, "refused, and no fault excuses it") for what in journal.refused
            ]
            self.tally.offences += [Offence("other", what, "nobody took it in time") for what in journal.given_up]
        self.tally.offences += await self._until_held(lambda: self._check_all(cast), "everything to hold", raises=False)
        self.tally.drain_s.append(asyncio.get_running_loop().time() - began_s)
        async with self._playground.snapshot() as snapshot:
            self.tally.reservation_s += await _reservation_times(snapshot, cast.shuffled)
        for promise in ("lost", "doubled", "oversold", "astray"):
            self.tally.counts[promise] += self.tally.broken(promise)

    async def _check_all(self, cast: Cast) -> list[Offence]:
        shuffled, ordered = cast.loads
        plan = self.plan
        journals = [load.journal for load in cast.loads]
        organization_ids = [load.merchant.organization_id for load in cast.loads]
        async with self._playground.snapshot() as snapshot, self._playground.carriers() as carriers:
            found = [
                *await check_outboxes(snapshot),
                *await check_stock(snapshot, organization_ids),
                *await check_labels(snapshot, shuffled.merchant, shuffled.journal, carriers),
                *await check_twins(snapshot, shuffled.merchant, ordered.merchant, plan),
                *await check_tenants(snapshot, cast.bystander),
                *await check_raw(snapshot, shuffled.journal),
                *await check_requeued(snapshot),
                *await check_runs(snapshot),
                *await check_unexpected_letters(snapshot, journals, self._began),
            ]
            for load in cast.loads:
                found += await check_webhooks(snapshot, load.journal, load.merchant.organization_id)
                found += await check_delivery_log(snapshot, load.journal)
                found += await check_placed(snapshot, load.journal, load.merchant.organization_id)
                found += await check_orders(snapshot, Told(load.merchant, plan))
        return [*found, *await check_queues(self._playground)]

    async def _until_held(
        self, check: Callable[[], Awaitable[list[Offence]]], what: str, *, raises: bool = True
    ) -> list[Offence]:
        """Check until nothing is found, twice in a row; returns what is still found when the time is over.

        Raises:
            TimeoutError: The time is over, and ``raises``.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DRAIN_WITHIN_S
        held = 0
        while True:
            found = await check()
            held = 0 if found else held + 1
            if held == 2:
                return []
            if loop.time() > deadline and found:
                if raises:
                    raise TimeoutError(f"waited {DRAIN_WITHIN_S:g} s for {what}: {'; '.join(map(str, found[:5]))}")
                return found
            await asyncio.sleep(LOOK_EVERY_S)


async def _reservation_times(snapshot: Snapshot, load: Load) -> list[float]:
    """Return seconds from an order's first 2xx to its first unit reserved."""
    providers = {channel["id"]: provider for provider, channel in load.merchant.channels.items()}
    told: dict[tuple[str, str | None], datetime] = {}
    for accepted in load.journal.accepted.values():
        key = (accepted.delivery.provider, accepted.delivery.external_order_id)
        told[key] = min(told.get(key, accepted.at), accepted.at)
    rows = await snapshot.fetch(_RESERVED, load.merchant.organization_id)
    keyed = {(providers.get(row["channel_id"], "?"), row["external_order_id"]): row["at"] for row in rows}
    # An order may be reserved before its 2xx has reached us.
    return [max(0.0, (keyed[key] - at).total_seconds()) for key, at in told.items() if key in keyed]
