"""What this tool tells a person when it cannot go on."""


class DevstackError(Exception):
    """A sentence that says what is wrong and what to do about it; shown without a traceback."""
