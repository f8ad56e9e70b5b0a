"""Where stored responses are found: by address and variant, and by surrogate key."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from multidict import MultiMapping

from pastebin.cdn.freshness import current_age
from pastebin.cdn.objects import Stored
from pastebin.cdn.variants import Variant, variant_of


class Family:
    """What is stored under one address: one response for each variant, and the sets of fields that tell them apart."""

    __slots__ = ("groups", "variants")

    def __init__(self) -> None:
        self.groups: list[tuple[str, ...]] = []
        self.variants: dict[Variant, Stored] = {}

    def select(self, headers: MultiMapping[str]) -> Stored | None:
        """The response that this request may get (RFC 9111 section 4.1).

        Where several match it is the newest, but fresh ones that were chosen for such requests come before one that
        depends on nothing: its origin may have said so by mistake.
        """
        if len(self.groups) == 1:
            names = self.groups[0]
            only = self.variants.get(variant_of(names, headers) if names else ())
            return only if only is not None and only.alive else None
        found = [self.variants.get(variant_of(names, headers) if names else ()) for names in self.groups]
        matching = [stored for stored in found if stored is not None and stored.alive]
        now = time.time()
        return max(
            matching,
            key=lambda stored: (bool(stored.variant) and _is_fresh(stored, now), stored.responded_at),
            default=None,
        )

    def regroup(self) -> None:
        self.groups = list(dict.fromkeys(tuple(name for name, _ in variant) for variant in self.variants))


def _is_fresh(stored: Stored, now: float) -> bool:
    return current_age(stored.policy, stored.responded_at, now) < stored.policy.lifetime and not stored.soft_purged


class Index:
    """All that is visible, and what is not `alive` any more until it is taken out: that is not found.

    What it holds has its text counted in `Stored.footprint`.

    `on_change` is called with every address at which something else is found from now on.
    """

    def __init__(self, max_variants: int) -> None:
        self.on_change: Callable[[str], object] = _ignore
        self._max_variants = max_variants
        self._families: dict[str, Family] = {}
        self._tagged: dict[str, set[Stored]] = {}

    def __iter__(self) -> Iterator[Stored]:
        for family in self._families.values():
            yield from family.variants.values()

    def find(self, key: str, headers: MultiMapping[str]) -> Stored | None:
        """What is stored for such a request."""
        family = self._families.get(key)
        return None if family is None else family.select(headers)

    def get(self, key: str, variant: Variant) -> Stored | None:
        """What is stored as exactly this variant."""
        family = self._families.get(key)
        return None if family is None else family.variants.get(variant)

    def of_key(self, key: str) -> list[Stored]:
        """Everything under one address."""
        family = self._families.get(key)
        return [] if family is None else [stored for stored in family.variants.values() if stored.alive]

    def of_tags(self, tags: Iterable[str]) -> set[Stored]:
        """Everything with any of these surrogate keys."""
        found: set[Stored] = set()
        for tag in tags:
            found |= self._tagged.get(tag, set())
        return found

    def superfluous(self, key: str, variant: Variant) -> Stored | None:
        """Who must go before `variant` comes in: the oldest unused one where there are as many as may be."""
        family = self._families.get(key)
        if family is None or variant in family.variants or len(family.variants) < self._max_variants:
            return None
        return min(family.variants.values(), key=lambda stored: stored.frequency)

    def add(self, stored: Stored) -> None:
        """Make it visible; another one of the same variant is visible no longer."""
        family = self._families.get(stored.key)
        if family is None:
            family = self._families[stored.key] = Family()
        old = family.variants.get(stored.variant)
        if old is not None:
            self._untag(old)
        family.variants[stored.variant] = stored
        names = tuple([name for name, _ in stored.variant])
        if names not in family.groups:
            family.groups.append(names)
        for tag in stored.tags:
            self._tagged.setdefault(tag, set()).add(stored)
        self.on_change(stored.key)

    def remove(self, stored: Stored) -> None:
        """Take it out, if it is what stands there."""
        family = self._families.get(stored.key)
        if family is None or family.variants.get(stored.variant) is not stored:
            return
        del family.variants[stored.variant]
        if family.variants:
            family.regroup()
        else:
            del self._families[stored.key]
        self._untag(stored)
        self.on_change(stored.key)

    def clear(self) -> None:
        families, self._families = self._families, {}
        self._tagged = {}
        for key in families:
            self.on_change(key)

    def _untag(self, stored: Stored) -> None:
        for tag in stored.tags:
            group = self._tagged.get(tag)
            if group is not None:
                group.discard(stored)
                if not group:
                    del self._tagged[tag]


def _ignore(_key: str) -> None:
    """Nobody watches."""
