"""Writes that would count again when they are repeated, unless they come under a key."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Response, status
from fastapi.routing import APIRoute
from pydantic import BaseModel
from rappit_common.idempotency import IdempotencyKeyReusedError, OptionalIdempotencyKey
from rappit_common.web.problems import errors

from rappit_inventory.endpoints.dependencies import WriteUnit
from rappit_inventory.unit import InventoryUnit

Responses = dict[int | str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Write:
    """One request to change something.

    Attributes:
        unit: Its transaction.
        operation: What its key is for.
        asked: What it says, and of what.
        key: The caller's, if it has one.
        status: What it is answered with when it is done.
    """

    unit: InventoryUnit
    operation: str
    asked: bytes
    key: str | None
    status: int

    async def once(self, act: Callable[[], Awaitable[BaseModel]]) -> Response:
        """Do it and answer; under a key that was answered before, do nothing and answer alike.

        Raises:
            IdempotencyKeyReusedError: The key was answered before, for another request.
        """

        async def answered() -> str:
            return (await act()).model_dump_json()

        if self.key is None:
            return _json(await answered(), self.status)
        answer = await self.unit.idempotency.once(self.operation, self.key, self.asked, answered)
        return _json(answer.text, self.status if answer.is_first else status.HTTP_200_OK)


async def asked_write(request: Request, unit: WriteUnit, key: OptionalIdempotencyKey = None) -> Write:
    """Return what the caller asks for."""
    route = cast("APIRoute", request.scope["route"])
    # The path with its ids is part of what is asked: a receipt of another transfer is another request.
    asked = b"\n".join((request.url.path.encode(), await request.body()))
    operation = f"{request.method} {route.path}"
    return Write(unit, operation, asked, key, route.status_code or status.HTTP_200_OK)


RepeatableWrite = Annotated[Write, Depends(asked_write, scope="function")]


def repeatable(answer: type[BaseModel], *refusals: type[Any], creates: bool = True) -> Responses:
    """Describe the answers of an endpoint that asks for a :data:`RepeatableWrite`."""
    problems = errors(IdempotencyKeyReusedError, *refusals)
    if not creates:
        return problems
    told = "The key was answered before: the same answer, and nothing was done."
    return {200: {"model": answer, "description": told}, **problems}


def _json(text: str, code: int) -> Response:
    return Response(text, code, media_type="application/json")
