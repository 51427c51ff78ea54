"""``rappit-identity create-operator``: makes or mends the platform's operator, as the environment says."""

import asyncio
import sys

from rappit_common.clock import utc_now
from rappit_common.database.engine import Database
from rappit_common.errors import RappitError
from rappit_common.logs import get_logger
from rappit_common.settings import EXIT_CONFIGURATION, load_settings
from rappit_common.unit_of_work import UnitsOfWork

from rappit_identity.domain.accounts import normal_email
from rappit_identity.domain.passwords import Passwords, check_password
from rappit_identity.service import operators
from rappit_identity.settings import OperatorSettings
from rappit_identity.unit import IdentityUnit

_log = get_logger()


def create_operator() -> None:
    """Make sure that ``OPERATOR_EMAIL`` signs in with ``OPERATOR_PASSWORD``; repeating it changes nothing.

    Raises:
        SystemExit: 78 when a variable is missing or unfit, 1 when the address belongs to a merchant's user.
    """
    settings = load_settings(OperatorSettings)
    password = settings.operator_password.get_secret_value()
    for name, check in (
        ("OPERATOR_EMAIL", lambda: normal_email(settings.operator_email)),
        ("OPERATOR_PASSWORD", lambda: check_password(password, settings.operator_email)),
    ):
        try:
            check()
        except RappitError as error:
            sys.stderr.write(f"{name} is not fit: {error.message}\n")
            raise SystemExit(EXIT_CONFIGURATION) from None
    try:
        outcome = asyncio.run(_ensure(settings, password))
    except RappitError as error:
        sys.stderr.write(f"{error.message}\n")
        raise SystemExit(1) from None
    _log.info("operator_ensured", outcome=outcome, email=normal_email(settings.operator_email))


async def _ensure(settings: OperatorSettings, password: str) -> str:
    passwords = Passwords()
    database = Database(settings.database_url, schema="identity", pool_size=1)
    units = UnitsOfWork(database, IdentityUnit)
    try:
        async with units.bypass_tenancy("create-operator looks for its operator") as unit:
            operator = await operators.find_operator(unit, settings.operator_email)
        if operator is not None and operator.active and await passwords.verify(operator.password_hash, password):
            return "unchanged"
        hashed = await passwords.hash(password)
        async with units.bypass_tenancy("create-operator writes its operator", actor=operators.ACTOR) as unit:
            if operator is None:
                await operators.create_operator(unit, settings.operator_email, hashed, now=utc_now())
                return "created"
            await operators.reset_operator(unit, operator.id, hashed, now=utc_now())
            return "updated"
    finally:
        passwords.close()
        await database.close()
