import asyncio

import httpx
import pytest
from asgi_lifespan import LifespanManager
from console_kit import ORIGIN, console_settings
from rappit_console.api import create_console
from rappit_console.session import COOKIE
from upstream_double import OPERATOR, WRONG, World


async def test_signs_in_and_goes_to_the_orders(browser_like, sign_in) -> None:
    answer = await sign_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/")
    home = await browser_like.get("/console/")
    assert home.headers["location"] == "/console/orders"
    page = await browser_like.get("/console/orders")
    assert page.status_code == 200
    assert "Acme Outdoor" in page.text
    assert 'href="/console/stock"' in page.text
    assert "/console/dead-letters" not in page.text


async def test_operators_have_their_own_navigation(browser_like, sign_in) -> None:
    await sign_in(OPERATOR)
    assert (await browser_like.get("/")).headers["location"] == "/console/"
    assert (await browser_like.get("/console/")).headers["location"] == "/console/dead-letters"
    page = await browser_like.get("/console/dead-letters")
    assert 'href="/console/dead-letters"' in page.text
    assert 'href="/console/orders"' not in page.text


async def test_a_wrong_password_is_answered_in_the_words_of_the_api(sign_in) -> None:
    answer = await sign_in(password="wrong")
    assert answer.status_code == 401
    assert f"<p>{WRONG}</p>" in answer.text
    assert COOKIE not in answer.headers.get("set-cookie", "")
    assert "wrong" not in answer.text.replace(WRONG, ""), "a password is never sent back"


async def test_the_cookie_is_sealed_and_guarded(sign_in) -> None:
    cookie = (await sign_in()).headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    for attribute in ("HttpOnly", "SameSite=Lax", "Path=/console"):
        assert attribute in cookie
    assert "Secure" not in cookie
    assert "access-" not in cookie
    assert "refresh-" not in cookie


@pytest.mark.parametrize(
    ("base_url", "public_base_url"), [("https://console.test", None), (ORIGIN, "https://console.test")]
)
async def test_the_cookie_is_secure_over_https(upstream_url, world, base_url, public_base_url) -> None:
    app = create_console(console_settings(upstream_url, public_base_url=public_base_url))
    async with (
        LifespanManager(app) as manager,
        httpx.AsyncClient(transport=httpx.ASGITransport(manager.app), base_url=base_url) as client,
    ):
        form = {"email": "owner@acme.example", "password": "a-long-test-password"}
        answer = await client.post("/console/sign-in", data=form, headers={"Origin": base_url})
    assert "; Secure" in answer.headers["set-cookie"]
    assert "max-age" in answer.headers["strict-transport-security"]


async def test_signing_out_ends_the_session_here_and_at_identity(browser_like, sign_in, world: World) -> None:
    await sign_in()
    answer = await browser_like.post("/console/sign-out")
    assert answer.headers["location"] == "/console/sign-in"
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert world.refresh_tokens == {}
    assert (await browser_like.get("/console/orders")).status_code == 303


async def test_a_visitor_is_sent_to_sign_in_and_back(browser_like, sign_in) -> None:
    answer = await browser_like.get("/console/orders?state=on_hold")
    assert answer.headers["location"] == "/console/sign-in?next=%2Fconsole%2Forders%3Fstate%3Don_hold"
    page = await browser_like.get(answer.headers["location"])
    assert 'name="next" value="/console/orders?state=on_hold"' in page.text
    assert (await sign_in(next="/console/orders?state=on_hold")).headers["location"] == "/console/orders?state=on_hold"


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"])
async def test_signing_in_never_leaves_the_console(sign_in, wanted) -> None:
    assert (await sign_in(next=wanted)).headers["location"] == "/console/"


async def test_an_expired_access_token_is_renewed_unseen(browser_like, sign_in, world: World) -> None:
    await sign_in()
    world.access_tokens.clear()
    answer = await browser_like.get("/console/orders")
    assert answer.status_code == 200
    assert COOKIE in answer.headers["set-cookie"]
    assert (await browser_like.get("/console/orders")).headers.get("set-cookie") is None


async def test_requests_at_once_use_the_refresh_token_once(browser_like, sign_in, world: World) -> None:
    await sign_in()
    world.access_tokens.clear()
    answers = await asyncio.gather(*(browser_like.get("/console/stock") for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    assert len(world.asked("POST", "/auth/refresh")) == 1


async def test_an_ended_session_asks_to_sign_in_again(browser_like, sign_in, world: World) -> None:
    await sign_in()
    world.access_tokens.clear()
    world.refresh_tokens.clear()
    hx = {"HX-Request": "true", "HX-Current-URL": f"{ORIGIN}/console/stock?sku=A"}
    answer = await browser_like.get("/console/stock?sku=B", headers=hx)
    assert answer.headers["hx-redirect"] == "/console/sign-in?next=%2Fconsole%2Fstock%3Fsku%3DA"
    assert "Max-Age=0" in answer.headers["set-cookie"]


async def test_a_forged_cookie_is_no_session(browser_like) -> None:
    answer = await browser_like.get("/console/orders", headers={"Cookie": f"{COOKIE}=forged"})
    assert answer.status_code == 303
