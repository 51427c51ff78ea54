"""A short memory that forgets what it must, and never grows past its bound."""

from uuid import UUID

from rappit_inventory.domain.availability import Availability, AvailabilityCache, AvailableLevel

ORG, OTHER = UUID(int=1), UUID(int=2)


def found(number, available=5):
    levels = (AvailableLevel("BER", available, available - 1, 0), AvailableLevel("LYS", 1, 0, 3))
    return Availability(UUID(int=number), f"S{number}", levels)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_entry_is_believed_for_two_seconds():
    clock = Clock()
    cache = AvailabilityCache(clock=clock)
    cache.put(ORG, "s1", found(1), generation=cache.generation)
    assert (cache.get(ORG, "s1").available, cache.get(ORG, "s1").for_channels, cache.get(ORG, "s1").in_transit) == (
        6,
        4,
        3,
    )
    assert cache.get(OTHER, "s1") is None
    clock.now = 1.99
    assert cache.get(ORG, "s1") is not None
    clock.now = 2.0
    assert cache.get(ORG, "s1") is None


def test_change_is_forgotten_under_every_spelling_and_others_stay():
    cache = AvailabilityCache()
    for code, number in (("s1", 1), ("S1", 1), ("s2", 2)):
        cache.put(ORG, code, found(number), generation=cache.generation)
    cache.forget(ORG, [UUID(int=1)])
    assert cache.get(ORG, "s1") is cache.get(ORG, "S1") is None
    assert cache.get(ORG, "s2") is not None
    cache.forget_all(ORG)
    assert cache.get(ORG, "s2") is None


def test_what_was_read_before_a_change_is_not_remembered_after_it():
    cache = AvailabilityCache()
    generation = cache.generation
    cache.forget(ORG, [UUID(int=1)])
    cache.put(ORG, "s1", found(1), generation=generation)
    assert cache.get(ORG, "s1") is None


def test_it_never_holds_more_than_its_bound():
    cache = AvailabilityCache(max_entries=3)
    for number in range(10):
        cache.put(ORG, f"s{number}", found(number), generation=cache.generation)
        held = [n for n in range(10) if cache.get(ORG, f"s{n}") is not None]
        assert number in held
        assert len(held) <= 3
