"""The one small tree of errors that a caller is expected to meet.

A domain error is a class per case, beside its raiser, deriving from one of these five kinds. Its ``code`` is stable and
machine-readable, its message is a sentence that a merchant can act on, and its ``fields`` carry the facts of the case.
Anything else that is raised is a bug or an outage, and is retried or reported as such.
"""

from typing import ClassVar


class RappitError(Exception):
    """An anticipated refusal.

    Args:
        message: A sentence that says what to do.
        fields: JSON-serialisable facts of the case, shown to the caller.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "error"

    def __init__(self, message: str, **fields: object) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields


class InvalidError(RappitError):
    """The request can never succeed as it is."""

    status = 422
    code = "invalid"


class UnauthenticatedError(RappitError):
    """Nobody is signed in, or the proof is not good."""

    status = 401
    code = "unauthenticated"


class ForbiddenError(RappitError):
    """The caller is known and may not do this."""

    status = 403
    code = "forbidden"


class NotFoundError(RappitError):
    """There is no such thing for this tenant."""

    status = 404
    code = "not_found"


class ConflictError(RappitError):
    """The request is sound but the present state refuses it."""

    status = 409
    code = "conflict"


class TooManyRequestsError(RappitError):
    """A limit of requests per time is used up; ``retry_after_s`` says when to come back."""

    status = 429
    code = "too_many_requests"


class UnavailableError(RappitError):
    """Something we depend on is away; the same request may succeed later."""

    status = 503
    code = "unavailable"
