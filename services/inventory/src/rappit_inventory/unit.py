"""This service's unit of work."""

from functools import cached_property

from rappit_common.unit_of_work import UnitOfWork

from rappit_inventory.repository.catalogue import CatalogueRepository
from rappit_inventory.repository.catalogue_imports import CatalogueImportRepository
from rappit_inventory.repository.demands import DemandRepository
from rappit_inventory.repository.exports import ExportRepository
from rappit_inventory.repository.import_jobs import ImportJobRepository
from rappit_inventory.repository.imports import ImportRepository
from rappit_inventory.repository.levels import LevelRepository
from rappit_inventory.repository.locks import Locks
from rappit_inventory.repository.shipments import ShipmentRepository


class InventoryUnit(UnitOfWork):
    """A transaction on one organization's stock."""

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
    def shipments(self) -> ShipmentRepository:
        """Applied shipments."""
        return ShipmentRepository(self.session, self.organization_id)

    @cached_property
    def imports(self) -> ImportRepository:
        """Set-based imports of levels."""
        return ImportRepository(self.session, self.organization_id)

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
