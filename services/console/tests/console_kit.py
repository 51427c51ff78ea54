"""What the tests of the console share; a name of its own, since every service has a conftest."""

from rappit_console.settings import ConsoleSettings

SECRET = "test-session-secret-of-more-than-32-characters"
JWT_SECRET = "test-jwt-secret-of-more-than-32-characters"
ORIGIN = "http://console.test"


def console_settings(api_base_url: str, **values: object) -> ConsoleSettings:
    given = {"api_base_url": api_base_url, "session_secret": SECRET, "jwt_secret": JWT_SECRET, "api_timeout_s": 5}
    return ConsoleSettings(**(given | values))
