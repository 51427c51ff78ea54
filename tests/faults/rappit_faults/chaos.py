"""Breaks what the plan says, and measures how long the stack takes to be whole again."""

import asyncio
from collections.abc import Sequence

from rappit_faults.plan import Fault, FaultKind
from rappit_faults.proxy import Trouble
from rappit_faults.stack import SERVICES, Playground
from rappit_faults.tally import Recovery, Tally


async def break_things(playground: Playground, faults: Sequence[Fault], tally: Tally) -> None:
    """Let faults happen one after the other, each until the stack is whole again."""
    loop = asyncio.get_running_loop()
    for fault in faults:
        concerned = await _happen(playground, fault, tally)
        if not concerned:
            continue
        over_s = loop.time()
        await playground.wait_ready(*concerned)
        tally.recoveries.append(Recovery(str(fault), loop.time() - over_s))


async def _happen(playground: Playground, fault: Fault, tally: Tally) -> tuple[str, ...]:
    """Break one thing and mend it; returns the processes that have to recover."""
    match fault.kind:
        case FaultKind.KILL_POINT:
            # Reached whenever the load comes by; counted when it was.
            playground.arm(fault.service, fault.point, fault.let_by)
            return ()
        case FaultKind.KILL_SERVICE:
            await playground.kill_service(fault.service)
            tally.deaths[f"{fault.service}: at random"] += 1
            return (fault.service,)
        case FaultKind.SERVER:
            await playground.kill_server(fault.server)
            tally.outages[f"{fault.server} killed"] += 1
            await asyncio.sleep(fault.hold_s)
            await playground.start_server(fault.server)
            return SERVICES
        case FaultKind.LINK:
            link = playground.links[fault.service, fault.server]
            link.suffer(fault.trouble or Trouble.CUT)
            tally.outages[f"{fault.trouble} of {fault.service}-{fault.server}"] += 1
            await asyncio.sleep(fault.hold_s)
            link.heal()
            return (fault.service,)
