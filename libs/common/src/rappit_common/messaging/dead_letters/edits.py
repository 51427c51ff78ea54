"""Whether an edited body can be read: asked of the reader that the queue's consumer uses."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from rappit_common.errors import RappitError
from rappit_common.messaging.dead_letters.refusals import EditedBodyInvalidError
from rappit_common.messaging.topology import Subscription

MAX_REPORTED_FIELDS = 50


def check_edited_body(subscription: Subscription | None, headers: Mapping[str, Any], body: bytes) -> None:
    """Refuse an edit that would fail in the same way again.

    Raises:
        EditedBodyInvalidError: The consumer's own reader refuses it; the fields are named where it names them.
    """
    if subscription is None:
        return
    try:
        subscription.read(headers, body)
    except ValidationError as error:
        problems = [
            {"field": ".".join(str(part) for part in item["loc"]), "message": item["msg"]}
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        ][:MAX_REPORTED_FIELDS]
        said = "; ".join(f"{item['field'] or 'body'}: {item['message']}" for item in problems[:3])
        raise EditedBodyInvalidError(
            f"{subscription.queue} could not read this body: {said}", errors=problems
        ) from error
    except RappitError as error:
        field = str(error.fields.get("field", ""))
        raise EditedBodyInvalidError(
            f"{subscription.queue} would refuse this body: {error.message}",
            errors=[{"field": field, "message": error.message}],
            refused_as=error.code,
        ) from error
