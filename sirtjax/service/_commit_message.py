"""The data sets of storage commitment (PS3.4 annex J)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PUSH_MODEL, WELL_KNOWN = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
REQUEST_ACTION = 1
ALL_COMMITTED, SOME_FAILED = 1, 2
# Failure Reason (0008,1197), PS3.3 section C.14.1.1.
NO_SUCH_OBJECT, CLASS_CONFLICT = 0x0112, 0x0119
# Statuses of N-ACTION and N-EVENT-REPORT, PS3.7 annex C.
NO_SUCH_INSTANCE, NO_SUCH_EVENT, INVALID_ARGUMENT, NO_SUCH_ACTION = 0x0112, 0x0113, 0x0115, 0x0123
RESOURCE_LIMITATION = 0x0213


@dataclass(frozen=True, kw_only=True)
class CommitmentMessage:
    """A request for storage commitment, or the report about one.

    Attributes:
      transaction: Transaction UID.
      instances: pairs of SOP class and instance UID that are requested, or that are committed.
      failed: SOP class and instance UID with the failure reason; empty in a request.
    """

    transaction: str
    instances: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str, int], ...] = ()

    @property
    def event_type(self) -> int:
        """Returns the event type of a report: 1 if all are committed, otherwise 2."""
        return SOME_FAILED if self.failed else ALL_COMMITTED

    def dataset(self) -> Dataset:
        """Returns the message as a pydicom data set."""
        from pydicom.dataset import Dataset

        message = Dataset()
        message.TransactionUID = self.transaction
        if self.instances:
            message.ReferencedSOPSequence = [_item(*one) for one in self.instances]
        if self.failed:
            message.FailedSOPSequence = [_item(*one) for one in self.failed]
        return message


def _item(sop_class: str, sop_uid: str, reason: int | None = None) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_uid
    if reason is not None:
        item.FailureReason = reason
    return item


def judged(asked: CommitmentMessage, stored: Sequence[str | None]) -> CommitmentMessage:
    """Returns the report about a request.

    Args:
      asked: request message.
      stored: SOP class under which each instance is stored, "" for an unknown class, None if it is not stored.
    """
    committed: list[tuple[str, str]] = []
    failed: list[tuple[str, str, int]] = []
    for (sop_class, sop_uid), known in zip(asked.instances, stored, strict=True):
        if known is None:
            failed.append((sop_class, sop_uid, NO_SUCH_OBJECT))
        elif known not in ("", sop_class):
            failed.append((sop_class, sop_uid, CLASS_CONFLICT))
        else:
            committed.append((sop_class, sop_uid))
    return CommitmentMessage(transaction=asked.transaction, instances=tuple(committed), failed=tuple(failed))
