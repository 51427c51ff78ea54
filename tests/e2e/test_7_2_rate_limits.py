"""7.2: guessing is stopped after 60 tries a minute; verified channels are not."""

import httpx


async def test_guessing_passwords_ends_in_429_with_retry_after(stack):
    async with httpx.AsyncClient(base_url=stack.ingress_url) as http:
        answers = [
            await http.post("/auth/login", json={"email": "nobody@example.com", "password": f"guess-{number}"})
            for number in range(75)
        ]
    assert {answer.status_code for answer in answers} == {401, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["code"] == "too_many_requests"


async def test_forged_webhooks_are_limited_while_genuine_ones_pass(scene):
    order = scene.shop.create_order([("SKU-0020", 1, "1.00")])
    forged = await order.deliver(forge=True, times=75)
    assert 429 in {answer.status_code for answer in forged}
    [genuine] = await order.deliver()
    assert genuine.status_code == 200
