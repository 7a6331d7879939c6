"""What the local Stripe remembers: objects by id in the order they were made, and what Stripe never shows of each."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

MOST_OF_A_KIND = 5000
"""Older objects are forgotten, so memory is bounded."""


@dataclass
class Store:
    """`kinds` maps `customer`, `charge` … to objects by id; `private` maps an id to what belongs to it unseen."""

    kinds: dict[str, dict[str, Json]] = field(default_factory=dict)
    private: dict[str, Json] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def keep(self, thing: Json, kind: str | None = None, **private: Any) -> Json:
        """Remember a new object, as `kind` or what it says it is. It is changed in place afterwards."""
        kind = kind or thing["object"]
        objects = self.kinds.setdefault(kind, {})
        objects[thing["id"]] = thing
        self.places[thing["id"]] = kind
        if private:
            self.private[thing["id"]] = private
        if len(objects) > MOST_OF_A_KIND:
            self.forget(next(iter(objects)))
        return thing

    def forget(self, name: str) -> None:
        """Forget an object and what belongs to it."""
        self.kinds[self.places.pop(name)].pop(name)
        self.private.pop(name, None)

    def get(self, name: str, kind: str | None = None) -> Json | None:
        found = self.places.get(name)
        return self.kinds[found][name] if found and kind in (None, found) else None

    def newest(self, kind: str) -> Iterator[Json]:
        """All objects of a kind, newest first."""
        return reversed(self.kinds.get(kind, {}).values())

    def dump(self) -> Json:
        return {"kinds": self.kinds, "private": self.private}

    def load(self, kept: Json) -> None:
        self.kinds, self.private = kept["kinds"], kept["private"]
        self.places = {name: kind for kind, objects in self.kinds.items() for name in objects}
