"""The harness is shown to catch bugs: each is switched on in the real services, and the checks must name the offender.

Each scenario has a merchant of its own, is played without its bug first (nothing may be found) and then with it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from rappit_demo.merchant import Merchant

from rappit_faults import seeded_bugs
from rappit_faults.checks.delivery_log import check_delivery_log
from rappit_faults.checks.offence import Offence, Snapshot
from rappit_faults.checks.orders import Told, check_orders
from rappit_faults.checks.placed import check_placed
from rappit_faults.checks.stock import check_stock
from rappit_faults.checks.terminal import check_requeued, check_webhooks
from rappit_faults.load import Load
from rappit_faults.plan import API, SCARCE, SCARCE_UNITS, Delivery, Plan, Writer
from rappit_faults.round import onboard
from rappit_faults.stack import Playground, Say

WITHIN_S = 40.0
POLL_S = 0.2
# Long enough for a message that was not lost to be seen again, redelivered and handled.
SETTLES_IN_S = 4.0


class UnseenError(AssertionError):
    """A bug was there and no check saw it, or a check saw one that was not there."""


@dataclass(slots=True)
class Scene:
    """One merchant, and what they were told of."""

    playground: Playground
    merchant: Merchant
    load: Load
    writer: Writer
    told: list[Delivery] = field(default_factory=list[Delivery])

    async def sell(self, sku: str, units: int = 1, *, by: str = "shopify") -> Delivery:
        """Tell of one order."""
        delivery = self.writer.write_simple_order(by, sku, units)
        self.told.append(delivery)
        await self.load.send_once(delivery)
        return delivery

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """Ask the database."""
        async with self.playground.snapshot() as snapshot:
            return list(await snapshot.fetch(query, *arguments))

    async def check(self) -> list[Offence]:
        """Return what the checks find of this merchant."""
        plan = Plan(0, self.told, [], [], frozenset())
        async with self.playground.snapshot() as snapshot:
            return [
                *await check_webhooks(snapshot, self.load.journal, self.merchant.organization_id),
                *await check_delivery_log(snapshot, self.load.journal),
                *await check_placed(snapshot, self.load.journal, self.merchant.organization_id),
                *await check_orders(snapshot, Told(self.merchant, plan)),
                *await check_stock(snapshot, [self.merchant.organization_id]),
                *await check_requeued(snapshot),
            ]

    async def until(self, reached: Callable[[Snapshot], Awaitable[Any]], what: str) -> Any:
        """Wait for something in the database.

        Raises:
            TimeoutError: It did not come.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WITHIN_S
        while True:
            async with self.playground.snapshot() as snapshot:
                found = await reached(snapshot)
            if found:
                return found
            if loop.time() > deadline:
                raise TimeoutError(f"waited {WITHIN_S:g} s for {what}")
            await asyncio.sleep(POLL_S)


Scenario = Callable[[Scene], Awaitable[None]]

_DEMANDS = "SELECT count(*) FROM inventory.demands WHERE organization_id::text = $1 AND status <> 'new'"
_ORDERS = "SELECT count(*) FROM orders.orders WHERE organization_id::text = $1"
_FIRST_LETTER = "SELECT id::text FROM orders.dead_letters WHERE organization_id::text = $1 AND status = 'dead' LIMIT 1"
_REQUEUED = """
    SELECT count(*) FROM orders.dead_letters l JOIN orders.outbox o ON o.id = l.requeue_outbox_id
    WHERE l.organization_id::text = $1 AND o.sent_at IS NOT NULL
"""


async def _died(scene: Scene, service: str, point: str, act: Callable[[], Awaitable[Any]]) -> None:
    """Do something that a service dies of at a point, and wait until it is back."""
    before = len(scene.playground.fired())
    scene.playground.arm(service, point)
    await act()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WITHIN_S
    while len(scene.playground.fired()) == before:
        if loop.time() > deadline:
            raise TimeoutError(f"{service} did not come by {point}")
        await asyncio.sleep(POLL_S)
    await scene.playground.wait_ready(service)


async def _dies_before_commit(scene: Scene) -> None:
    await _died(scene, "inventory", "before_commit", lambda: scene.sell("AMPLE-01"))


async def _dies_before_ack(scene: Scene) -> None:
    await _died(scene, "orders", "before_ack", lambda: scene.sell("AMPLE-02"))


async def _relay_dies(scene: Scene) -> None:
    await scene.sell("AMPLE-03")
    sent = "SELECT count(*) FROM orders.outbox WHERE organization_id::text = $1 AND sent_at IS NOT NULL"
    await scene.until(lambda snapshot: snapshot.fetchval(sent, scene.merchant.organization_id), "a row marked as sent")
    await scene.playground.kill_service("orders")
    await scene.playground.wait_ready("orders")


async def _requeues(scene: Scene) -> None:
    poison = scene.writer.write_unreadable("shopify")
    await scene.load.send_once(poison)
    organization_id = scene.merchant.organization_id
    letter = await scene.until(lambda snapshot: snapshot.fetchval(_FIRST_LETTER, organization_id), "a dead letter")
    await scene.playground.operator.post(f"/orders/ops/dead-letters/{letter}/requeue", {"reason": "self-test"})
    failed_again = "SELECT count(*) FROM orders.dead_letters WHERE organization_id::text = $1 AND failures > 1"

    async def settled(snapshot: Snapshot) -> bool:
        again = await snapshot.fetchval(failed_again, organization_id)
        return bool(again or await snapshot.fetchval(_REQUEUED, organization_id))

    await scene.until(settled, "the requeue to be settled")


async def _sells_out(scene: Scene) -> None:
    for _ in range(SCARCE_UNITS + 2):
        await scene.sell(SCARCE[0])


async def _sells_by_the_api(scene: Scene) -> None:
    await scene.sell("AMPLE-04", by=API)


async def _sells(scene: Scene) -> None:
    await scene.sell("AMPLE-05")


@dataclass(frozen=True, slots=True)
class Case:
    """A bug, where it is switched on, what brings it out, and the promise that it breaks."""

    bug: str
    service: str
    scenario: Scenario
    promise: str


CASES = (
    Case(seeded_bugs.ACK_BEFORE_COMMIT, "inventory", _dies_before_commit, "lost"),
    Case(seeded_bugs.INBOX_NOT_CHECKED, "orders", _dies_before_ack, "doubled"),
    Case(seeded_bugs.REQUEUE_NOT_CONFIRMED, "orders", _requeues, "lost"),
    Case(seeded_bugs.MARKED_BEFORE_PUBLISH, "orders", _relay_dies, "lost"),
    Case(seeded_bugs.STOCK_NOT_CHECKED, "inventory", _sells_out, "oversold"),
    Case(seeded_bugs.KEY_NOT_KEPT, "orders", _sells_by_the_api, "lost"),
    Case(seeded_bugs.OUTCOME_NOT_TOLD, "orders", _sells, "other"),
)


async def see_bug(playground: Playground, case: Case, *, seed: int = 1) -> list[Offence]:
    """Play a case with its bug and return the offences that the checks found.

    Raises:
        UnseenError: They found none of the kind that the bug is.
    """
    with playground.bug(case.service, name=case.bug):
        found = await _play(playground, case, seed)
    seen = [offence for offence in found if offence.promise == case.promise]
    if not seen:
        raise UnseenError(f"the bug {case.bug} was not seen; found: {'; '.join(map(str, found)) or 'nothing'}")
    await _leave_no_trace(playground)
    return seen


async def see_none(playground: Playground, case: Case, *, seed: int = 2) -> None:
    """Play a case without its bug.

    Raises:
        UnseenError: The checks found something.
    """
    found = await _play(playground, case, seed, clean=True)
    if found:
        raise UnseenError(f"without the bug {case.bug}: {'; '.join(map(str, found))}")


async def _play(playground: Playground, case: Case, seed: int, *, clean: bool = False) -> list[Offence]:
    rng = random.Random(seed)
    merchant = await onboard(playground, "Bug" if not clean else "No Bug")
    load = Load(playground, merchant, rng)
    try:
        scene = Scene(playground, merchant, load, Writer(rng))
        await case.scenario(scene)
        return await _settled(scene, until_clean=clean)
    finally:
        await load.close()


async def _settled(scene: Scene, *, until_clean: bool) -> list[Offence]:
    """Check until nothing is found; with a bug, until what is found has stayed the same for a while."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WITHIN_S
    found, since_s = await scene.check(), loop.time()
    while loop.time() < deadline:
        if until_clean and not found:
            return []
        if not until_clean and found and loop.time() - since_s > SETTLES_IN_S:
            return found
        await asyncio.sleep(POLL_S)
        again = await scene.check()
        if [(one.promise, one.offender) for one in again] != [(one.promise, one.offender) for one in found]:
            since_s = loop.time()
        found = again
    return found


async def _leave_no_trace(playground: Playground) -> None:
    """Forget what the bug left behind, where a later check looks at more than one merchant."""
    # The house's own code is never asked to mend what only a seeded bug can break.
    await playground.execute("DELETE FROM orders.dead_letters WHERE status = 'requeued'")


async def see_every_bug(playground: Playground, *, say: Say) -> None:
    """Show that the checks see every bug, and nothing where there is none.

    Raises:
        UnseenError: They do not.
    """
    for case in CASES:
        await see_none(playground, case)
        seen = await see_bug(playground, case)
        say(f"self-test: the bug {case.bug} in {case.service} was seen: {seen[0]}"[:220])
