"""The page on which a plan's masks are reviewed, corrected and signed; its server is for this machine only."""

from sirtjax.review._masks import ReviewMask as ReviewMask
from sirtjax.review._masks import plan_masks as plan_masks
from sirtjax.review._plan_again import open_review as open_review
from sirtjax.review._plan_again import plan_again as plan_again
from sirtjax.review._replan import REVIEW as REVIEW
from sirtjax.review._request_error import RequestError as RequestError
from sirtjax.review._server import ReviewServer as ReviewServer
from sirtjax.review._session import Session as Session
from sirtjax.review._versions import History as History
from sirtjax.review._versions import Signature as Signature
from sirtjax.review._versions import Version as Version
from sirtjax.review._versions import read_history as read_history

__all__ = [
    "REVIEW",
    "History",
    "RequestError",
    "ReviewMask",
    "ReviewServer",
    "Session",
    "Signature",
    "Version",
    "open_review",
    "plan_again",
    "plan_masks",
    "read_history",
]
