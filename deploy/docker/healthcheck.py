"""Ask this container's own health endpoint; exit with 0 when it answers 200. Standard library only, for a quick start."""

import http.client
import os
import sys

TIMEOUT_S = 4


def main() -> int:
    """Return the exit code; the answer, or why there is none, is printed for ``docker inspect``."""
    path = sys.argv[1] if len(sys.argv) > 1 else "/health/live"
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("HTTP_PORT", "8000")), timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        print(response.status, response.read(4096).decode(errors="replace"))
    except OSError as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    return 0 if response.status == http.HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main())
