from __future__ import annotations

from sirtjax.errors import InputError


class RequestError(InputError):
    """A request that is refused, with its HTTP status.

    Examples:
      >>> from sirtjax import review
      >>> refusal = review.RequestError(404, "no mask 'spleen' in this plan")
      >>> refusal.status, str(refusal)
      (404, "no mask 'spleen' in this plan")
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
