"""Reads a JSON body field by field: forgiving about absence, strict about nonsense, exact about money."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar, cast

from rappit_common.errors import InvalidError

from rappit_orders.domain.values import UNKNOWN_COUNTRY, Address

MAX_IDENTIFIER_CHARACTERS = 255
MAX_SKU_CHARACTERS = 200
MAX_TEXT_CHARACTERS = 500
MAX_NOTE_CHARACTERS = 5_000
MAX_LINES = 5_000
MAX_LINE_QUANTITY = 1_000_000
MAX_UNITS = 2_147_483_647
MAX_AMOUNT = Decimal(10) ** 15
MAX_DECIMALS = 6

# PostgreSQL stores no NUL, and UTF-8 no half of a surrogate pair; JSON can carry both.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_CURRENCY = re.compile(r"[A-Z]{3}")
_COUNTRY = re.compile(r"[A-Z]{2}")

ResultT = TypeVar("ResultT")


class InvalidDeliveryError(InvalidError):
    """The channel's delivery is not what its topic says; ``field`` names where."""

    code = "invalid_delivery"


class UnreadableBodyError(InvalidDeliveryError):
    """The body is not JSON at all."""

    code = "unreadable_body"


class Fields:
    """A JSON object and where it lies in the body.

    Readers return None for what is absent or null, and raise :class:`InvalidDeliveryError` for what is of a wrong kind.
    """

    def __init__(self, values: Mapping[str, Any], path: str = "") -> None:
        self._values = values
        self._path = path

    @classmethod
    def of_body(cls, body: bytes) -> "Fields":
        """Parse a body.

        Raises:
            UnreadableBodyError: It is not JSON.
            InvalidDeliveryError: It is JSON, and no object.
        """
        try:
            value: object = json.loads(body, parse_float=_exact, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            # The decoder's own words tell the place; they may quote nothing of the body.
            raise UnreadableBodyError(f"The body is not JSON: {error}", field="") from None
        if not isinstance(value, dict):
            raise InvalidDeliveryError(f"The body is {_kind(value)}, where an object belongs.", field="")
        return cls(cast("dict[str, Any]", value))

    def name(self, key: str) -> str:
        """Return the path of one field, for people."""
        return f"{self._path}.{key}" if self._path else key

    def refuse(self, key: str, reason: str) -> InvalidDeliveryError:
        """Return the error that names one field."""
        name = self.name(key)
        return InvalidDeliveryError(f"{name} {reason}.", field=name)

    def require(self, key: str, reader: Callable[[str], ResultT | None]) -> ResultT:
        """Return what ``reader`` reads at ``key``.

        Raises:
            InvalidDeliveryError: There is nothing.
        """
        value = reader(key)
        if value is None:
            raise self.refuse(key, "is missing")
        return value

    def text(self, key: str, limit: int = MAX_TEXT_CHARACTERS) -> str | None:
        """Return a text without outer space, cut at ``limit`` characters; None when it is empty."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.refuse(key, f"is {_kind(value)}, where a text belongs")
        return _UNSTORABLE.sub("\ufffd", value).strip()[:limit].strip() or None

    def identifier(self, key: str, limit: int = MAX_IDENTIFIER_CHARACTERS) -> str | None:
        """Return an id as text; channels write them as text or as 64-bit numbers. Never cut: refused when too long."""
        value = self._values.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.refuse(key, f"is {_kind(value)}, where an id belongs")
        told = value.strip()
        if len(told) > limit:
            raise self.refuse(key, f"is longer than {limit} characters")
        if _UNSTORABLE.search(told):
            raise self.refuse(key, "holds a character that no identifier may have")
        return told or None

    def flag(self, key: str) -> bool | None:
        """Return a truth value."""
        value = self._values.get(key)
        if value is None or isinstance(value, bool):
            return value
        raise self.refuse(key, f"is {_kind(value)}, where true or false belongs")

    def quantity(self, key: str) -> int | None:
        """Return a number of units, zero or more."""
        value = self._values.get(key)
        if value is None:
            return None
        if isinstance(value, Decimal):
            # Measured before it is converted: to write 1e999999999 out as an integer would stop every merchant's work.
            if value > MAX_LINE_QUANTITY:
                raise self.refuse(key, f"is more than {MAX_LINE_QUANTITY}")
            if value < 0:
                raise self.refuse(key, "is less than nothing")
            value = int(value) if value == value.to_integral_value() else value
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.refuse(key, f"is {_kind(value)}, where a whole number belongs")
        if value < 0:
            raise self.refuse(key, "is less than nothing")
        if value > MAX_LINE_QUANTITY:
            raise self.refuse(key, f"is more than {MAX_LINE_QUANTITY}")
        return value

    def money(self, key: str) -> Decimal | None:
        """Return an exact amount, from a decimal string or a number; at most 6 decimals are kept."""
        value = self._values.get(key)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise self.refuse(key, f"is {_kind(value)}, where an amount belongs")
        try:
            amount = Decimal(value)
        except InvalidOperation:
            raise self.refuse(key, "is not a decimal number") from None
        if not amount.is_finite() or abs(amount) >= MAX_AMOUNT:
            raise self.refuse(key, "is not an amount that can be")
        exponent = amount.as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -MAX_DECIMALS:
            return amount.quantize(Decimal(1).scaleb(-MAX_DECIMALS))
        # 0E+99 is a zero that the database would refuse.
        return amount.quantize(Decimal(1)) if exponent > 0 else amount

    def time(self, key: str, *, naive_is_utc: bool = False) -> datetime | None:
        """Return a moment in UTC, from RFC 3339 with an offset.

        Args:
            key: Of the field.
            naive_is_utc: Take a time without an offset for UTC (WooCommerce's ``*_gmt``) instead of refusing it.
        """
        value = self._values.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise self.refuse(key, f"is {_kind(value)}, where a time belongs")
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                if not naive_is_utc:
                    raise self.refuse(key, "is a time without an offset")
                moment = moment.replace(tzinfo=UTC)
            return moment.astimezone(UTC)
        except (ValueError, OverflowError):
            raise self.refuse(key, "is not an RFC 3339 time") from None

    def currency(self, key: str) -> str | None:
        """Return an ISO 4217 code."""
        value = self.text(key)
        if value is not None and not _CURRENCY.fullmatch(value.upper()):
            raise self.refuse(key, "is not a currency's three letters")
        return value.upper() if value else None

    def child(self, key: str) -> "Fields | None":
        """Return an object. An empty list counts as an empty object: PHP writes one for the other."""
        value = self._values.get(key)
        if value is None or value == []:
            return None
        if not isinstance(value, dict):
            raise self.refuse(key, f"is {_kind(value)}, where an object belongs")
        return Fields(cast("dict[str, Any]", value), self.name(key))

    def children(self, key: str, limit: int = MAX_LINES) -> "list[Fields] | None":
        """Return a list of objects, at most ``limit``."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.refuse(key, f"is {_kind(value)}, where a list belongs")
        rows = cast("list[object]", value)
        if len(rows) > limit:
            raise self.refuse(key, f"has more than {limit} entries")
        found: list[Fields] = []
        for index, row in enumerate(rows):
            if not isinstance(row, dict):
                raise self.refuse(f"{key}[{index}]", f"is {_kind(row)}, where an object belongs")
            found.append(Fields(cast("dict[str, Any]", row), self.name(f"{key}[{index}]")))
        return found

    def address(
        self, keys: Mapping[str, str], *, name: str | None, email: str | None, phone: str | None = None
    ) -> Address | None:
        """Return an address, or None when the object says nothing of a place.

        Args:
            keys: The channel's names of ``company line1 line2 city region postal_code country_code phone``.
            name: Who lives there.
            email: How to reach them.
            phone: The same, where the place itself has none.
        """
        told = {ours: self.text(theirs) for ours, theirs in keys.items()}
        country = (told.pop("country_code", None) or "").upper()
        if not country and not any(told[part] for part in ("line1", "city", "postal_code")):
            return None
        return Address(
            name=name,
            company=told["company"],
            line1=told["line1"],
            line2=told["line2"],
            city=told["city"],
            region=told["region"],
            postal_code=told["postal_code"],
            country_code=country if _COUNTRY.fullmatch(country) else UNKNOWN_COUNTRY,
            phone=told["phone"] or phone,
            email=email,
        )

    def full_name(self) -> str | None:
        """Return ``first_name`` and ``last_name`` as one."""
        parts = (self.text("first_name"), self.text("last_name"))
        return " ".join(part for part in parts if part) or None


def _exact(number: str) -> Decimal:
    try:
        return Decimal(number)
    except InvalidOperation:
        raise ValueError(f"{number[:40]} is larger than any number here") from None


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")


def _kind(value: object) -> str:
    if value is None:
        return "null"
    kinds: dict[type, str] = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return kinds.get(type(value), "a number")
