from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any


class Rate:
    """At most so much in any minute, for each key."""

    def __init__(self, per_minute: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._spent: dict[str, deque[tuple[float, float]]] = {}
        self._sums: dict[str, float] = {}

    def take(self, key: str, *, amount: float = 1.0) -> bool:
        """Whether this much may still be had; if so, it is."""
        now = self._clock()
        with self._lock:
            spent = self._spent.setdefault(key, deque())
            while spent and spent[0][0] <= now - 60:
                self._sums[key] -= spent.popleft()[1]
            total = self._sums.get(key, 0.0)
            if total + amount > self._most:
                if not spent:
                    self._forget(key)
                return False
            self._sums[key] = total + amount
            # Amounts of the same second go together, so that the record stays short.
            if spent and now - spent[-1][0] < 1:
                spent[-1] = (spent[-1][0], spent[-1][1] + amount)
            else:
                spent.append((now, amount))
            if len(self._spent) > 4096:
                self._tidy(now)
            return True

    def _tidy(self, now: float) -> None:
        for key in [key for key, spent in self._spent.items() if not spent or spent[-1][0] <= now - 60]:
            self._forget(key)

    def _forget(self, key: str) -> None:
        self._spent.pop(key, None)
        self._sums.pop(key, None)


class Slots:
    """Connections at once: in all, and from one address."""

    def __init__(self, *, most: int, per_address: int) -> None:
        self._most, self._per_address = most, per_address
        self._lock = threading.Lock()
        self._held: list[Slot] = []

    def take(self, address: str) -> Slot | None:
        """A slot for a connection from an address; None where there is none left."""
        with self._lock:
            self._held = [slot for slot in self._held if slot.is_held()]
            mine = sum(slot.address == address for slot in self._held)
            if len(self._held) >= self._most or mine >= self._per_address:
                return None
            slot = Slot(address)
            self._held.append(slot)
            return slot

    def held(self) -> list[Slot]:
        """The slots that are taken."""
        with self._lock:
            self._held = [slot for slot in self._held if slot.is_held()]
            return list(self._held)


class Slot:
    """The place of one connection: free again when it was given up, or when the association's thread has ended."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.since = time.monotonic()
        self.association: Any = None
        self._given_up = False

    def give_up(self) -> None:
        """The connection came to nothing."""
        self._given_up = True

    def is_held(self) -> bool:
        """Whether the connection is still there."""
        if self._given_up:
            return False
        # A thread that has not been started yet has no identity.
        return self.association is None or self.association.ident is None or self.association.is_alive()
