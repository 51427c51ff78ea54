"""What a check finds."""

from dataclasses import dataclass
from typing import Any, TypeAlias

Snapshot: TypeAlias = Any
"""A connection within one repeatable-read transaction: every query of a check sees the same moment."""


@dataclass(frozen=True, slots=True, order=True)
class Offence:
    """A promise that was broken, and by whom.

    Attributes:
        promise: ``lost``, ``doubled``, ``oversold``, ``astray`` (a tenant's row with another), ``undrained`` or
            ``other``.
        offender: What to look at.
        why: What is wrong with it.
    """

    promise: str
    offender: str
    why: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.offender}: {self.why}"
