import httpx
import pytest
from asgi_lifespan import LifespanManager
from console_kit import ORIGIN, console_settings
from rappit_console.api import create_console
from upstream_double import HOSTILE, ORDER_ID, TRACE, World


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"},
        {"Origin": ""},
    ],
)
async def test_other_sites_cannot_act(browser_like, sign_in, world: World, headers) -> None:
    await sign_in()
    answer = await browser_like.post(f"/console/orders/{ORDER_ID}/cancel", data={"reason": "x"}, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["code"] == "cross_site_request"
    assert world.asked("POST", f"/orders/{ORDER_ID}/cancel") == []


async def test_a_request_without_origin_cannot_act(console, world: World) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(console), base_url=ORIGIN) as client:
        assert (await client.post("/console/sign-in", data={"email": "a"})).status_code == 403


async def test_pages_allow_no_inline_code_and_hold_none(browser_like, sign_in) -> None:
    await sign_in()
    for path in ("/console/orders", f"/console/orders/{ORDER_ID}", "/console/stock", "/console/stock/import"):
        page = await browser_like.get(path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert " style=" not in page.text
        assert "<style" not in page.text
        assert "onclick" not in page.text
        assert page.text.count("<script") == page.text.count('<script src="/console/static/')


async def test_hostile_strings_are_text(browser_like, sign_in, world: World) -> None:
    await sign_in()
    order = world.orders[ORDER_ID]
    order |= {"number": HOSTILE, "external_order_id": HOSTILE, "hold": {"reason": "x", "message": HOSTILE}}
    order["customer"]["name"] = order["lines"][0]["name"] = order["timeline"][0]["message"] = HOSTILE
    world.levels[0]["sku"] = HOSTILE
    for path in ("/console/orders", f"/console/orders/{ORDER_ID}", "/console/stock", f"/console/orders?q={HOSTILE}"):
        page = await browser_like.get(path)
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        assert "&lt;script&gt;alert" in page.text


@pytest.mark.parametrize("answer", [None, {"detail": "The service is starting or away."}])
async def test_an_api_away_is_a_friendly_page_and_a_toast(browser_like, sign_in, world: World, answer) -> None:
    await sign_in()
    world.broken["/orders"] = (503, answer)
    words = answer["detail"] if answer else "Rappit cannot be reached for the moment."
    page = await browser_like.get("/console/orders")
    assert page.status_code == 503
    assert words in page.text
    assert "Try again" in page.text
    assert "Traceback" not in page.text
    toast = await browser_like.get("/console/orders?state=on_hold", headers={"HX-Request": "true"})
    assert toast.headers["hx-reswap"] == "none"
    assert words in toast.text
    assert 'role="alert"' in toast.text


async def test_nobody_listening_is_a_friendly_page(world: World) -> None:
    async with (
        LifespanManager(create_console(console_settings("http://127.0.0.1:9"))) as manager,
        httpx.AsyncClient(transport=httpx.ASGITransport(manager.app), base_url=ORIGIN) as client,
    ):
        answer = await client.post("/console/sign-in", data={"email": "a@b.c"}, headers={"Origin": ORIGIN})
        assert answer.status_code == 503
        assert "Rappit cannot be reached for the moment." in answer.text
        assert (await client.get("/health/ready")).status_code == 200


async def test_an_unreadable_answer_is_no_stack_trace(browser_like, sign_in, world: World) -> None:
    await sign_in()
    del world.orders[ORDER_ID]["state"]
    answer = await browser_like.get(f"/console/orders/{ORDER_ID}")
    assert answer.status_code == 502
    assert "cannot read" in answer.text
    assert "validation error" not in answer.text


async def test_the_trace_goes_onward_and_comes_back(browser_like, sign_in, world: World) -> None:
    await sign_in()
    world.requests.clear()
    answer = await browser_like.get("/console/orders", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    assert world.requests[-1].headers["traceparent"].split("-")[1] == TRACE
    assert answer.headers["x-trace-id"] == TRACE


async def test_files_are_named_by_their_content(browser_like) -> None:
    page = await browser_like.get("/console/sign-in")
    for name in ("app.css", "app.js", "htmx.js", "mark.svg"):
        address = page.text.split(f"/console/static/{name}")[1].split('"')[0]
        asset = await browser_like.get(f"/console/static/{name}{address}")
        assert asset.status_code == 200
        assert "immutable" in asset.headers["cache-control"]
    assert "htmx" in (await browser_like.get("/console/static/htmx.js")).text
    assert (await browser_like.get("/console/static/..%2fapi.py")).status_code == 404
    assert (await browser_like.get("/console/nothing")).status_code == 404
