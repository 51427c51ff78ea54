"""A service small enough to read here, with a real process's manners, for tests of what runs services."""

import asyncio
import json
import os
import sys

import asyncpg
import uvicorn

released = asyncio.Event()


async def provision() -> None:
    admin = await asyncpg.connect(os.environ["ADMIN_DATABASE_URL"])
    await admin.execute("CREATE TABLE IF NOT EXISTS visits (at timestamptz)")
    await admin.execute("INSERT INTO visits VALUES (now())")
    await admin.close()


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"].endswith("/release"):
        released.set()
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    answer = {
        "service": os.environ.get("HTTP_PORT"),
        "path": scope["path"],
        "headers": headers,
        "body_bytes": len(body),
        "pid": os.getpid(),
    }
    if scope["path"].endswith("/stream"):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
        # The second event waits until the client has seen the first one and says so.
        await released.wait()
        await send({"type": "http.response.body", "body": b"data: second\n\n"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        if os.environ.get("BROKEN"):
            print("JWT_SECRET is not set")
            raise SystemExit(78)
        uvicorn.run(app, host=os.environ["HTTP_HOST"], port=int(os.environ["HTTP_PORT"]), log_level="warning")
    else:
        asyncio.run(provision())
