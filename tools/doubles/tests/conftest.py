"""The carriers over real HTTP, and Karrio's mappers to talk to them as the shipping service does."""

import ssl
import warnings
from types import SimpleNamespace

import httpx
import pytest
from rappit_doubles.carriers import DhlAccount, FedexAccount, carriers_app
from rappit_doubles.serving import serving

FEDEX = FedexAccount()
DHL = DhlAccount()
BILLING_NUMBER = f"{DHL.ekp}0102"


@pytest.fixture(scope="session")
def carriers_url():
    with serving(carriers_app()) as url:
        yield url


@pytest.fixture
async def http(carriers_url):
    async with httpx.AsyncClient(base_url=carriers_url, timeout=5) as client:
        (await client.post("/_control/reset")).raise_for_status()
        yield client


@pytest.fixture(scope="session")
def karrio():
    """Karrio's mapper modules; its import switches urllib's TLS verification off, so that is put back at once."""
    verifying = ssl._create_default_https_context
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Late, so that what the import switches off is put back around it.
        import karrio.mappers.dhl_parcel_de.mapper as dhl_mapper  # noqa: PLC0415
        import karrio.mappers.dhl_parcel_de.settings as dhl_settings  # noqa: PLC0415
        import karrio.mappers.fedex.mapper as fedex_mapper  # noqa: PLC0415
        import karrio.mappers.fedex.settings as fedex_settings  # noqa: PLC0415
        from karrio import lib  # noqa: PLC0415
        from karrio.core import models  # noqa: PLC0415
    ssl._create_default_https_context = verifying
    return SimpleNamespace(
        lib=lib,
        models=models,
        fedex=fedex_mapper.Mapper(
            fedex_settings.Settings(
                api_key=FEDEX.api_key, secret_key=FEDEX.secret_key, account_number=FEDEX.account_number
            )
        ),
        dhl=dhl_mapper.Mapper(
            dhl_settings.Settings(
                username=DHL.username,
                password=DHL.password,
                client_id=DHL.client_id,
                client_secret=DHL.client_secret,
                config={"default_billing_number": BILLING_NUMBER},
            )
        ),
    )


@pytest.fixture
async def fedex(http, carriers_url):
    """A client signed in at FedEx."""
    form = {"grant_type": "client_credentials", "client_id": FEDEX.api_key, "client_secret": FEDEX.secret_key}
    token = (await http.post("/fedex/oauth/token", data=form)).raise_for_status().json()["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"{carriers_url}/fedex", headers=headers, timeout=5) as client:
        yield client


@pytest.fixture
async def dhl(http, carriers_url):
    """A client signed in at DHL."""
    form = {
        "grant_type": "password",
        "username": DHL.username,
        "password": DHL.password,
        "client_id": DHL.client_id,
        "client_secret": DHL.client_secret,
    }
    answer = await http.post("/dhl/parcel/de/account/auth/ropc/v1/token", data=form)
    headers = {"authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}
    base_url = f"{carriers_url}/dhl/parcel/de/shipping/v2"
    async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=5) as client:
        yield client
