"""The house is broken on purpose, and so is the harness's trust in it: what is promised holds, and a bug is seen."""

import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from rappit_devstack import state
from rappit_faults import self_test
from rappit_faults.plan import SHORT, make_plan
from rappit_faults.report import write_report
from rappit_faults.round import Round
from rappit_faults.stack import Playground

SEED = 20_261

pytestmark = [
    pytest.mark.server,
    # Its servers, services and links are shared, and its first test starts them.
    pytest.mark.xdist_group("faults"),
    pytest.mark.timeout(600),
    # A client whose server is killed while they shake hands leaves its socket to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect what the test's faults left behind, so that no other test is blamed for it."""
    yield
    gc.collect()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def playground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Playground]:
    # Not below pytest's own folder: its path may be too long for a socket.
    own = Playground(state.home() / "faults" / f"test-{Path(tmp_path_factory.getbasetemp()).name}")
    try:
        await own.open()
        yield own
    finally:
        await own.close()
        gc.collect()


async def test_nothing_is_lost_doubled_or_oversold(playground):
    tally = await Round(playground, SEED, SHORT).play()
    report = write_report([tally], replay=f"make faults SEED={SEED}")
    (playground.folder / "report.md").write_text(report)
    assert not tally.offences, report
    assert tally.outages, "nothing was broken"
    assert tally.deaths, "nobody died"
    assert tally.moments > 0, "nobody looked at the stock while things broke"


@pytest.mark.parametrize("case", self_test.CASES, ids=lambda case: case.bug)
async def test_the_checks_name_whom_a_bug_has_hurt(playground, case):
    seen = await self_test.see_bug(playground, case)
    assert {offence.promise for offence in seen} == {case.promise}
    assert all(offence.offender and offence.why for offence in seen)


@pytest.mark.parametrize("case", self_test.CASES, ids=lambda case: case.bug)
async def test_the_checks_find_nothing_where_there_is_no_bug(playground, case):
    await self_test.see_none(playground, case)


def test_a_seed_stands_for_one_plan():
    assert make_plan(SEED, SHORT) == make_plan(SEED, SHORT)
    assert make_plan(SEED, SHORT) != make_plan(SEED + 1, SHORT)
