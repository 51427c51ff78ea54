"""What the command tells a person and ends with, status 1."""


class CliError(Exception):
    """Something went wrong in a way that one sentence explains."""


class NotSignedInError(CliError):
    """There is no session, or it has ended."""


class UnreachableError(CliError):
    """Nobody answers, or not in time."""


class ApiError(CliError):
    """The API refused; the message is its own ``detail``, word for word.

    Args:
        status: HTTP status.
        code: The problem's stable code, empty when the answer was no problem document.
        detail: The reason.
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
