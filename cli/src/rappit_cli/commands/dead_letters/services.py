"""The services that have dead letters, asked one after the other; one that is away keeps nobody from the others."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import typer

from rappit_cli.client import Api, Parameters
from rappit_cli.errors import ApiError, CliError, UnreachableError
from rappit_cli.output import tell


class Service(StrEnum):
    """A service that consumes messages or keeps some of its own."""

    ORDERS = "orders"
    INVENTORY = "inventory"
    SHIPPING = "shipping"
    WEBHOOK_GATEWAY = "webhook-gateway"

    @property
    def ops(self) -> str:
        """Where its operator's endpoints are."""
        return "/channels/ops" if self is Service.WEBHOOK_GATEWAY else f"/{self.value}/ops"

    @property
    def letters(self) -> str:
        """Where its dead letters are."""
        return f"{self.ops}/dead-letters"


OfServices = Annotated[list[Service] | None, typer.Option("--service", help="Only this service; may be repeated.")]

ResultT = TypeVar("ResultT")
Found = tuple[Service, dict[str, Any]]


class Across:
    """Asks services as the caller, and remembers which of them were away.

    Args:
        api: The caller's.
        services: Which; all of them when none are named.
    """

    def __init__(self, api: Api, services: Sequence[Service] | None) -> None:
        self.api = api
        self.services = list(dict.fromkeys(services)) if services else list(Service)
        self.away: list[Service] = []

    def each(
        self, ask: Callable[[Service], ResultT], services: Sequence[Service] | None = None
    ) -> dict[Service, ResultT]:
        """Return what each service answers, without those that are away: they are named on standard error.

        Raises:
            CliError: One is there and refuses.
        """
        answers: dict[Service, ResultT] = {}
        for service in self.services if services is None else services:
            try:
                answers[service] = ask(service)
            except CliError as error:
                self._bear(service, error)
        return answers

    def find(self, path_of: Callable[[Service], str]) -> Found:
        """Return the first service that knows something, and what.

        Raises:
            CliError: Nobody does, in the last one's words; or nobody of those that are there.
        """
        refusal: CliError | None = None
        for service in self.services:
            try:
                return service, self.api.get(path_of(service))
            except ApiError as error:
                if error.status == HTTPStatus.NOT_FOUND:
                    refusal = error
                    continue
                self._bear(service, error)
            except CliError as error:
                self._bear(service, error)
        if self.away or refusal is None:
            raise CliError(f"Nobody who is there knows it; {', '.join(self.away)} could not be asked.")
        raise refusal

    def pages(
        self, place: str, parameters: Parameters, limit: int, *, newest_by: str
    ) -> tuple[list[dict[str, Any]], bool]:
        """Return up to ``limit`` rows of all services' lists at a place below their ``ops``, the newest first.

        Returns:
            The rows, each with its ``service``, and whether there are more.
        """
        pages = self.each(lambda service: self.api.page(service.ops + place, parameters, limit))
        rows = [{**row, "service": service.value} for service, page in pages.items() for row in page["items"]]
        rows.sort(key=lambda row: str(row[newest_by]), reverse=True)
        more = len(rows) > limit or any(page["next_cursor"] for page in pages.values())
        return rows[:limit], more

    def finish(self) -> None:
        """End the command with 1 when somebody was away."""
        if self.away:
            raise typer.Exit(1)

    def listed(self, items: Sequence[Mapping[str, Any]], *, more: bool = False) -> dict[str, Any]:
        """Return rows for another program, which must learn who is missing in them."""
        return {"items": list(items), "more": more, "away": [service.value for service in self.away]}

    def _bear(self, service: Service, error: CliError) -> None:
        if not is_away(error):
            raise error
        if service not in self.away:
            self.away.append(service)
            tell(f"{service.value} is left out: {error}")


def is_away(error: CliError) -> bool:
    """Return whether an error says that a service is not there, rather than that it refuses."""
    if isinstance(error, ApiError):
        # Nothing is at a path that every service has: the ingress knows no such service, or an older one answered.
        return error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status == HTTPStatus.NOT_FOUND
    return isinstance(error, UnreachableError)
