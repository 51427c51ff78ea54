"""The smallest service: an endpoint, a consumer, a table."""

from typing import Annotated, Any, ClassVar
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Request
from faststream import Context
from faststream.rabbit import RabbitMessage, RabbitRouter
from pydantic import BaseModel
from rappit_common.clock import new_id
from rappit_common.database.base import NAMING, Base, TenantScoped
from rappit_common.errors import ConflictError
from rappit_common.messaging.events import PublishedEvent, ReceivedEvent
from rappit_common.messaging.topology import Subscription
from rappit_common.service import Runtime, StatefulService
from rappit_common.settings import StatefulSettings
from rappit_common.unit_of_work import UnitOfWork, UnitsOfWork
from rappit_common.web.auth import Staff, tenant_of
from sqlalchemy import MetaData, Text, Uuid, select
from sqlalchemy.orm import Mapped, mapped_column


class SampleBase(Base):
    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING)


class Note(TenantScoped, SampleBase):
    __tablename__ = "notes"
    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    text: Mapped[str] = mapped_column(Text)


class NoteWritten(PublishedEvent):
    event_name: ClassVar[str] = "sample.note-written.v1"
    text: str


class ReadNote(ReceivedEvent):
    text: str


class RefusedNoteError(ConflictError):
    code = "refused_note"


ECHO = Subscription("sample.echo-notes", (NoteWritten.event_name,), ReadNote)


class Scripted:
    """What the consumer does next, decided by a test."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.deliveries = 0

    async def delivered(self, _message_id: str) -> None:
        self.deliveries += 1


def make_router() -> RabbitRouter:
    router = RabbitRouter()

    @router.subscriber(ECHO.as_faststream())
    async def echo(
        event: ReadNote,
        message: RabbitMessage,
        units: Annotated[UnitsOfWork[UnitOfWork], Context("units")],
        scripted: Annotated[Any, Context("scripted")],
    ) -> None:
        await scripted.delivered(str(message.message_id))
        if scripted.failures:
            raise scripted.failures.pop(0)
        async with units.begin(event.organization_id) as unit:
            if await unit.inbox.claim(ECHO.queue, message.message_id):
                unit.session.add(Note(text=f"echo of {event.text}"))

    return router


class NewNote(BaseModel):
    text: str


def install_api(app: FastAPI, _runtime: Runtime[StatefulSettings, UnitOfWork]) -> None:
    router = APIRouter(prefix="/sample/notes")

    async def open_unit(request: Request, principal: Staff) -> Any:
        async with request.app.state.units.begin(tenant_of(principal)) as unit:
            yield unit

    Unit = Annotated[UnitOfWork, Depends(open_unit, scope="function")]  # noqa: N806 - a type

    @router.post("", status_code=201)
    async def write_note(body: NewNote, unit: Unit) -> dict[str, str]:
        note = Note(text=body.text)
        unit.session.add(note)
        unit.outbox.add(NoteWritten(organization_id=unit.organization_id, text=body.text))
        if body.text == "refuse":
            raise RefusedNoteError("This note is refused.", text=body.text)
        await unit.session.flush()
        return {"id": str(note.id)}

    @router.get("")
    async def list_notes(unit: Unit) -> list[str]:
        return list(await unit.session.scalars(select(Note.text).order_by(Note.id)))

    app.include_router(router)


def make_service(scripted: Scripted) -> StatefulService[StatefulSettings, UnitOfWork]:
    return StatefulService(
        name="sample",
        schema="sample",
        module="rappit_sample",
        prefix="/sample",
        settings=StatefulSettings,
        unit=UnitOfWork,
        install_api=install_api,
        router=make_router,
        subscriptions=(ECHO,),
        publishes=(NoteWritten,),
        consumer_context=lambda _runtime: {"scripted": scripted},
    )
