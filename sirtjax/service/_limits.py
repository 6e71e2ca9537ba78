from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sirtjax.service._config import Limits
from sirtjax.service._spool import Spool

if TYPE_CHECKING:
    from pynetdicom.association import Association

_MAX_PAUSE_S = 3600.0


def pause_s(limits: Limits, attempts: int) -> float:
    """Returns the seconds until the next attempt after a failure.

    The pause is twice as long each time, at most an hour.
    """
    return float(min(limits.retry_s * 2.0 ** min(attempts, 20), _MAX_PAUSE_S))


class Rate:
    """At most so much in any minute, for each key."""

    def __init__(self, per_minute: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._spent: dict[str, deque[tuple[float, float]]] = {}
        self._sums: dict[str, float] = {}

    def take(self, key: str, *, amount: float = 1.0) -> bool:
        """Takes this amount if it is available; returns whether it was."""
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
    """The simultaneous associations: in total, from one address, and of one peer.

    Args:
      most: number of simultaneous associations of all peers together.
      per_address: number of simultaneous associations from one address.
      peers: number of known peers.
      reserved: number of associations that stay free for each peer, however many the others use; smaller if `most` is
        too small.
    """

    def __init__(self, *, most: int, per_address: int, peers: int, reserved: int) -> None:
        self._most, self._per_address, self._peers = most, per_address, peers
        self._reserved = min(reserved, most // max(peers, 1))
        self._lock = threading.Lock()
        self._held: list[Slot] = []

    def take(self, address: str, peer: str) -> Slot | None:
        """Takes a slot for a known peer; None when none is left for it."""
        with self._lock:
            self._held = [slot for slot in self._held if slot.is_held()]
            held = Counter(slot.peer for slot in self._held)
            if held[peer] >= self._reserved:
                spent = sum(min(number, self._reserved) for number in held.values())
                free = self._most - len(self._held) - (self._peers * self._reserved - spent)
                here = sum(slot.address == address for slot in self._held)
                if free <= 0 or here >= self._per_address:
                    return None
            slot = Slot(address, peer)
            self._held.append(slot)
            return slot

    def held(self) -> list[Slot]:
        """Returns the occupied slots."""
        with self._lock:
            self._held = [slot for slot in self._held if slot.is_held()]
            return list(self._held)


class Slot:
    """The slot of one association.

    It is free again when it is given up, or when the association's thread has ended.
    """

    def __init__(self, address: str, peer: str) -> None:
        self.address = address
        self.peer = peer
        self.since = time.monotonic()
        self.association: Association | None = None
        self._given_up = False

    def give_up(self) -> None:
        """Frees the slot of a connection that failed."""
        self._given_up = True

    def is_held(self) -> bool:
        """Returns whether the connection still exists."""
        if self._given_up:
            return False
        # A thread that has not been started yet has no identity.
        return self.association is None or self.association.ident is None or self.association.is_alive()


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Limits of the acceptor, and the functions that decide about callers.

    Attributes:
      pdu_bytes: longest data PDU, bytes.
      pdu_s: seconds within which a PDU has to arrive from its first byte to its last.
      request_s: seconds within which a connection has to finish its TLS handshake and ask for an association.
      association_s: longest association, seconds.
      waiting: connections that have not asked for an association yet.
      waiting_per_address: connections from one address that have not asked for an association yet.
      slots: simultaneous associations.
      connections: new associations of an address and AE title.
      listed: function that returns whether any peer may connect from an address.
      admit: returns why a caller is refused, None if it is admitted; takes address, AE title and the names in its
        certificate (None without TLS).
      spool: function that returns the file for the data set of a C-STORE; takes the association, the request's SOP
        class and instance, and the transfer syntax.
      message: returns the file for the data set of a request about storage commitment; takes the association and the
        transfer syntax. None if the service takes no part in it.
      note: function that records a refusal; takes an event's name and the address.
    """

    pdu_bytes: int
    pdu_s: float
    request_s: float
    association_s: float
    waiting: int
    waiting_per_address: int
    slots: Slots
    connections: Rate
    listed: Callable[[str], bool]
    admit: Callable[[str, str, frozenset[str] | None], str | None]
    spool: Callable[[Association, str, str, str], Spool]
    message: Callable[[Association, str], Spool] | None
    note: Callable[[str, str], None]
