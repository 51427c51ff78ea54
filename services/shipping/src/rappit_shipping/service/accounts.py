"""Carrier accounts."""

import json
from dataclasses import asdict
from datetime import datetime

from rappit_common.crypto import SecretBox

from rappit_shipping.domain.carrier import Carrier, Credentials
from rappit_shipping.domain.commands import OpenAccount
from rappit_shipping.models import CarrierAccount
from rappit_shipping.unit import ShippingUnit


async def open_account(
    unit: ShippingUnit, command: OpenAccount, carrier: Carrier, box: SecretBox, *, now: datetime
) -> CarrierAccount:
    """Connect an account; its credentials are encrypted before they are stored, and never told again.

    Raises:
        InvalidCredentialsError: The carrier needs others.
        AccountExistsError: The name is taken.
    """
    credentials = carrier.check_credentials(command.credentials)
    account = CarrierAccount(
        organization_id=unit.organization_id,
        carrier=carrier.code,
        name=command.name,
        credentials=box.encrypt(json.dumps(credentials)),
        shipper=asdict(command.shipper),
        created_by=command.actor,
        created_at=now,
    )
    await unit.accounts.add(account)
    return account


def credentials_of(account: CarrierAccount, box: SecretBox) -> Credentials:
    """Return an account's credentials in the clear, for a call that is about to be made.

    Raises:
        UndecryptableError: They were stored under another key.
    """
    return json.loads(box.decrypt(account.credentials))
