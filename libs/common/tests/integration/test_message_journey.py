"""A fact written by one transaction reaches its consumer once, whatever fails on the way."""

import asyncio
import json
from datetime import timedelta

import pytest
from rappit_common.clock import new_id, utc_now
from rappit_common.messaging import tables
from rappit_common.messaging.outbox import outbox_row
from rappit_common.testing.waiting import eventually
from rappit_common.web.auth import Role
from rappit_sample.service import NoteWritten, RefusedNoteError
from sqlalchemy import insert

pytestmark = pytest.mark.server


async def notes(sample, organization_id):
    answer = await sample.http.get("/sample/notes", headers=sample.headers(organization_id))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def letters(sample, **params):
    headers = sample.headers(None, Role.OPERATOR)
    answer = await sample.http.get("/sample/ops/dead-letters", headers=headers, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def write(sample, organization_id, text):
    return await sample.http.post("/sample/notes", json={"text": text}, headers=sample.headers(organization_id))


async def test_event_reaches_its_consumer_with_the_tenant(sample):
    organization_id = new_id()
    assert (await write(sample, organization_id, "hello")).status_code == 201

    async def echoed():
        return await notes(sample, organization_id) == ["hello", "echo of hello"]

    await eventually(echoed)
    assert await notes(sample, new_id()) == []


async def test_refused_request_rolls_back_rows_and_events(sample):
    organization_id = new_id()
    answer = await write(sample, organization_id, "refuse")
    assert (answer.status_code, answer.json()["code"]) == (409, "refused_note")
    assert answer.headers["content-type"] == "application/problem+json"
    assert await notes(sample, organization_id) == []
    assert sample.scripted.deliveries == 0


async def test_unexpected_error_is_tried_three_times_in_all_then_dead_lettered(sample):
    organization_id = new_id()
    sample.scripted.failures[:] = [RuntimeError("first"), RuntimeError("second"), RuntimeError("third")]
    await write(sample, organization_id, "unlucky")

    async def mine():
        return [x for x in await letters(sample) if x["organization_id"] == str(organization_id)]

    [letter] = await eventually(mine)
    assert sample.scripted.deliveries == 3
    assert (letter["attempts"], letter["error_type"]) == (3, "builtins.RuntimeError")
    assert letter["error_message"] == "third"
    assert letter["queue"] == "sample.echo-notes"


async def test_second_attempt_succeeds_and_nothing_is_dead(sample):
    organization_id = new_id()
    sample.scripted.failures[:] = [RuntimeError("once")]
    await write(sample, organization_id, "lucky")

    async def echoed():
        return await notes(sample, organization_id) == ["lucky", "echo of lucky"]

    await eventually(echoed)
    assert [x for x in await letters(sample) if x["organization_id"] == str(organization_id)] == []


async def test_poison_is_dead_at_once_and_requeued_once_by_a_double_click(sample):
    organization_id = new_id()
    sample.scripted.failures[:] = [RefusedNoteError("Not this one.")]
    await write(sample, organization_id, "poison")

    async def mine():
        return [x for x in await letters(sample) if x["organization_id"] == str(organization_id)]

    [letter] = await eventually(mine)
    assert (letter["attempts"], letter["error_type"], letter["failures"]) == (1, "refused_note", 1)
    assert sample.scripted.deliveries == 1
    headers = sample.headers(None, Role.OPERATOR)
    path = f"/sample/ops/dead-letters/{letter['id']}/requeue"
    clicks = await asyncio.gather(*(sample.http.post(path, headers=headers) for _ in range(2)))
    assert sorted(click.status_code for click in clicks) == [202, 409]

    async def echoed():
        return await notes(sample, organization_id) == ["poison", "echo of poison"]

    await eventually(echoed)

    async def requeued():
        [again] = await mine()
        return again["status"] == "requeued"

    await eventually(requeued)
    assert sample.scripted.deliveries == 2


async def test_a_requeued_message_that_fails_again_comes_back_to_its_row(sample):
    organization_id = new_id()
    sample.scripted.failures[:] = [RefusedNoteError("No."), RefusedNoteError("Still no.")]
    await write(sample, organization_id, "stubborn")

    async def mine():
        return [x for x in await letters(sample) if x["organization_id"] == str(organization_id)]

    [letter] = await eventually(mine)
    path = f"/sample/ops/dead-letters/{letter['id']}/requeue"
    await sample.http.post(path, headers=sample.headers(None, Role.OPERATOR))

    async def back():
        [again] = await mine()
        return again if again["failures"] == 2 else None

    again = await eventually(back)
    assert (again["id"], again["status"], again["error_message"]) == (letter["id"], "dead", "Still no.")


async def test_merchants_do_not_see_dead_letters(sample):
    answer = await sample.http.get("/sample/ops/dead-letters", headers=sample.headers(new_id(), Role.OWNER))
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_role")


async def test_trace_id_of_the_request_follows_the_message(sample):
    organization_id = new_id()
    sample.scripted.failures[:] = [RefusedNoteError("No.")]
    answer = await write(sample, organization_id, "traced")

    async def mine():
        return [x for x in await letters(sample) if x["organization_id"] == str(organization_id)]

    [letter] = await eventually(mine)
    assert letter["trace_id"] == answer.headers["x-trace-id"]


async def test_a_mended_body_is_sent_in_place_of_the_one_that_failed(sample):
    organization_id = new_id()
    sample.scripted.failures[:] = [RefusedNoteError("Not this text.")]
    await write(sample, organization_id, "broken")

    async def mine():
        return [x for x in await letters(sample) if x["organization_id"] == str(organization_id)]

    [letter] = await eventually(mine)
    mended = {"body": json.dumps({"organization_id": str(organization_id), "text": "mended"}), "reason": "typo"}
    path = f"/sample/ops/dead-letters/{letter['id']}/requeue"
    answer = await sample.http.post(path, json=mended, headers=sample.headers(None, Role.OPERATOR))
    assert answer.status_code == 202, answer.text

    async def echoed():
        return await notes(sample, organization_id) == ["broken", "echo of mended"]

    await eventually(echoed)


async def test_asyncapi_document_names_what_is_consumed_and_published(sample):
    document = (await sample.http.get("/sample/ops/asyncapi.json")).json()
    assert document["asyncapi"].startswith("3.")
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert {"sample.echo-notes", "sample.note-written.v1"} <= addresses


async def test_requeued_message_that_was_too_old_is_new_again(sample):
    organization_id = new_id()
    row = outbox_row(NoteWritten(organization_id=organization_id, text="late"))
    async with sample.runtime.database.engine.begin() as connection:
        await connection.execute(insert(tables.outbox), [row | {"created_at": utc_now() - timedelta(days=30)}])

    async def mine():
        return [x for x in await letters(sample) if x["organization_id"] == str(organization_id)]

    [letter] = await eventually(mine)
    assert letter["error_type"] == "message_too_old"
    headers = sample.headers(None, Role.OPERATOR)
    await sample.http.post(f"/sample/ops/dead-letters/{letter['id']}/requeue", headers=headers)

    async def echoed():
        return await notes(sample, organization_id) == ["echo of late"]

    await eventually(echoed)
