"""What is checked alike for every carrier."""

from collections.abc import Mapping

from rappit_shipping.domain.carrier import Credentials, InvalidCredentialsError, LabelOrder, UnshippableError

MAX_CREDENTIAL_CHARACTERS = 500


def required(carrier: str, credentials: Credentials, fields: Mapping[str, str]) -> dict[str, str]:
    """Return just the fields a carrier needs.

    Args:
        carrier: Its name, for the message.
        credentials: As given.
        fields: Names of the needed fields, with what each is.

    Raises:
        InvalidCredentialsError: Some are missing, empty, too long, or not known to this carrier.
    """
    missing = [name for name in fields if not credentials.get(name, "").strip()]
    if missing:
        told = ", ".join(f"{name} ({fields[name]})" for name in missing)
        raise InvalidCredentialsError(f"{carrier} needs {told}.", missing=missing)
    unknown = sorted(set(credentials) - set(fields))
    if unknown:
        raise InvalidCredentialsError(f"{carrier} has no credentials named {', '.join(unknown)}.", unknown=unknown)
    too_long = [name for name in fields if len(credentials[name]) > MAX_CREDENTIAL_CHARACTERS]
    if too_long:
        raise InvalidCredentialsError(f"{', '.join(too_long)}: at most {MAX_CREDENTIAL_CHARACTERS} characters.")
    return {name: credentials[name].strip() for name in fields}


def too_many_parcels(carrier: str, order: LabelOrder, limit: int) -> None:
    """Refuse more parcels than a carrier takes in one shipment.

    Raises:
        UnshippableError: There are too many.
    """
    if len(order.parcels) > limit:
        parcels = "one parcel" if limit == 1 else f"{limit} parcels"
        raise UnshippableError(
            f"{carrier} takes {parcels} in one shipment, not {len(order.parcels)}: buy the others as additional ones.",
            limit=limit,
        )
