"""The main job: what `make demo` tells is true."""

import io

from rappit_demo.main_job import Place, tell
from rich.console import Console


async def test_the_whole_story_is_as_expected(stack, tmp_path):
    place = Place(
        stack.ingress_url, stack.carrier_double_url, stack.operator_email, stack.operator_password, tmp_path / "labels"
    )
    said = io.StringIO()
    differences = await tell(place, Console(file=said, width=160))
    assert differences == 0, said.getvalue()
    assert len(list(place.labels.glob("*.pdf"))) == 3
