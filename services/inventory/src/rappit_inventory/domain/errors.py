"""Refusals that a merchant can act on."""

from rappit_common.errors import ConflictError, InvalidError, NotFoundError


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
