"""This service's unit of work."""

from collections.abc import Iterable
from functools import cached_property
from uuid import UUID

from rappit_common.idempotency import IdempotencyKeys
from rappit_common.unit_of_work import UnitOfWork
from sqlalchemy import event

from rappit_inventory.domain.availability import AvailabilityCache
from rappit_inventory.repository.availability import AvailabilityRepository
from rappit_inventory.repository.catalogue import CatalogueRepository
from rappit_inventory.repository.catalogue_imports import CatalogueImportRepository
from rappit_inventory.repository.counts import CountRepository
from rappit_inventory.repository.demands import DemandRepository
from rappit_inventory.repository.exports import ExportRepository
from rappit_inventory.repository.holds import HoldRepository
from rappit_inventory.repository.import_announcements import ImportAnnouncements
from rappit_inventory.repository.import_jobs import ImportJobRepository
from rappit_inventory.repository.imports import ImportRepository
from rappit_inventory.repository.ledger import LedgerRepository
from rappit_inventory.repository.level_list import LevelListRepository
from rappit_inventory.repository.levels import LevelRepository
from rappit_inventory.repository.locks import Locks
from rappit_inventory.repository.reservations import ReservationRepository
from rappit_inventory.repository.returns import ReturnRepository
from rappit_inventory.repository.settings import SettingsRepository
from rappit_inventory.repository.shipments import ShipmentRepository
from rappit_inventory.repository.transfers import TransferRepository

availability_cache = AvailabilityCache()
"""This process's one memory of availability; whatever this process commits is forgotten in it."""


class InventoryUnit(UnitOfWork):
    """A transaction on one organization's stock."""

    def forget_availability(self, sku_ids: Iterable[UUID] | None = None) -> None:
        """Have this process forget what it remembers of some SKUs, or of all, once this transaction is committed."""
        organization_id, stale = self.organization_id, None if sku_ids is None else set(sku_ids)

        # Not before the commit: a reader between the two would remember what was true until then.
        def forget(_session: object) -> None:
            if stale is None:
                availability_cache.forget_all(organization_id)
            else:
                availability_cache.forget(organization_id, stale)

        if stale is None or stale:
            event.listen(self.session.sync_session, "after_commit", forget, once=True)

    @cached_property
    def idempotency(self) -> IdempotencyKeys:
        """The keys of writes that may be repeated; imports remember theirs themselves."""
        return IdempotencyKeys(self.session, self.organization_id)

    @cached_property
    def locks(self) -> Locks:
        """The catalogue lock."""
        return Locks(self.session, self.organization_id)

    @cached_property
    def catalogue(self) -> CatalogueRepository:
        """SKUs and warehouses."""
        return CatalogueRepository(self.session, self.organization_id)

    @cached_property
    def levels(self) -> LevelRepository:
        """Levels and the ledger."""
        return LevelRepository(self.session, self.organization_id)

    @cached_property
    def demands(self) -> DemandRepository:
        """Demands of orders."""
        return DemandRepository(self.session, self.organization_id)

    @cached_property
    def reservations(self) -> ReservationRepository:
        """Reservations to look at, and what people did with them."""
        return ReservationRepository(self.session, self.organization_id)

    @cached_property
    def settings(self) -> SettingsRepository:
        """How orders are to be served."""
        return SettingsRepository(self.session, self.organization_id)

    @cached_property
    def holds(self) -> HoldRepository:
        """Units kept for carts, and by hand."""
        return HoldRepository(self.session, self.organization_id)

    @cached_property
    def shipments(self) -> ShipmentRepository:
        """Applied shipments."""
        return ShipmentRepository(self.session, self.organization_id)

    @cached_property
    def imports(self) -> ImportRepository:
        """Set-based imports of levels."""
        return ImportRepository(self.session, self.organization_id)

    @cached_property
    def import_announcements(self) -> ImportAnnouncements:
        """What is told of an import of levels."""
        return ImportAnnouncements(self.session, self.organization_id)

    @cached_property
    def level_list(self) -> LevelListRepository:
        """Levels to look at, and their settings."""
        return LevelListRepository(self.session, self.organization_id)

    @cached_property
    def ledger(self) -> LedgerRepository:
        """What the ledger tells, and whether levels agree with it."""
        return LedgerRepository(self.session, self.organization_id)

    @cached_property
    def availability(self) -> AvailabilityRepository:
        """What may be sold."""
        return AvailabilityRepository(self.session, self.organization_id)

    @cached_property
    def transfers(self) -> TransferRepository:
        """Transfers between warehouses."""
        return TransferRepository(self.session, self.organization_id)

    @cached_property
    def counts(self) -> CountRepository:
        """Cycle counts."""
        return CountRepository(self.session, self.organization_id)

    @cached_property
    def returns(self) -> ReturnRepository:
        """Returned goods."""
        return ReturnRepository(self.session, self.organization_id)

    @cached_property
    def catalogue_imports(self) -> CatalogueImportRepository:
        """Set-based imports of SKUs."""
        return CatalogueImportRepository(self.session, self.organization_id)

    @cached_property
    def import_jobs(self) -> ImportJobRepository:
        """The history of imports, their files and failed rows; works with a bypass too."""
        return ImportJobRepository(self.session)

    @cached_property
    def exports(self) -> ExportRepository:
        """Levels read out whole."""
        return ExportRepository(self.session, self.organization_id)
