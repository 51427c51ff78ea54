"""Refusals that a merchant can act on."""

from rappit_common.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError


class UnknownSkuError(NotFoundError):
    """The catalogue has no such SKU."""

    code = "unknown_sku"


class UnknownWarehouseError(NotFoundError):
    """There is no such warehouse."""

    code = "unknown_warehouse"


class UnknownReservationError(NotFoundError):
    """No demand of this order has reached us."""

    code = "unknown_reservation"


class SkuExistsError(ConflictError):
    """The code is taken, without regard to case."""

    code = "sku_exists"


class WarehouseExistsError(ConflictError):
    """The code is taken, without regard to case."""

    code = "warehouse_exists"


class InsufficientStockError(ConflictError):
    """More would be removed than nobody was promised."""

    code = "insufficient_stock"


class QuantityTooLargeError(InvalidError):
    """The level would grow past what can be counted."""

    code = "quantity_too_large"


class TooManyMatchesError(InvalidError):
    """More SKUs begin with the text than a list can search among."""

    code = "too_many_matches"


class InactiveWarehouseError(ConflictError):
    """Nothing new comes to a warehouse that is not active."""

    code = "inactive_warehouse"


class UnknownDocumentError(NotFoundError):
    """There is no such transfer, count or hold."""

    code = "unknown_document"


class DocumentClosedError(ConflictError):
    """A transfer, count or hold has come past the point where this can be done with it."""

    code = "document_closed"


class NotInTransitError(ConflictError):
    """More would arrive, or be written off, than is on the way."""

    code = "not_in_transit"


class NotCountedError(ConflictError):
    """A count cannot be approved before all of it was counted."""

    code = "not_counted"


class ApprovalByAnotherError(ForbiddenError):
    """Who counted does not approve, unless it is the owner."""

    code = "approval_by_another"


class NotShippedError(ConflictError):
    """More would come back than was shipped."""

    code = "not_shipped"


class NotHeldError(ConflictError):
    """The order does not hold as many units where they would be moved from."""

    code = "not_held"


class ReservationCompleteError(ConflictError):
    """The order needs nothing more: it was shipped, or cancelled."""

    code = "reservation_complete"
