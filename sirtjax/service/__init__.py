"""The DICOM service: series in, structure sets back, through a queue that outlives it; and sending and fetching."""

from sirtjax.service._audit import AuditReport as AuditReport
from sirtjax.service._audit import check_audit as check_audit
from sirtjax.service._choose_node import choose_node as choose_node
from sirtjax.service._choose_node import dicom_files as dicom_files
from sirtjax.service._config import Limits as Limits
from sirtjax.service._config import Listen as Listen
from sirtjax.service._config import Peer as Peer
from sirtjax.service._config import ServiceConfig as ServiceConfig
from sirtjax.service._config import TlsFiles as TlsFiles
from sirtjax.service._config import Work as Work
from sirtjax.service._config import read_config as read_config
from sirtjax.service._fetch import fetch_series as fetch_series
from sirtjax.service._fetch import get_series as get_series
from sirtjax.service._fetch import listening_address as listening_address
from sirtjax.service._find import FoundSeries as FoundSeries
from sirtjax.service._find import Query as Query
from sirtjax.service._find import find_series as find_series
from sirtjax.service._library import require_pynetdicom as require_pynetdicom
from sirtjax.service._run import audit_path as audit_path
from sirtjax.service._run import check_service as check_service
from sirtjax.service._run import serve as serve
from sirtjax.service._run import service_counts as service_counts
from sirtjax.service._scu import Node as Node
from sirtjax.service._scu import Sent as Sent
from sirtjax.service._scu import echo as echo
from sirtjax.service._scu import send_files as send_files
from sirtjax.service._segmenter import Segmenter as Segmenter

__all__ = [
    "AuditReport",
    "FoundSeries",
    "Limits",
    "Listen",
    "Node",
    "Peer",
    "Query",
    "Segmenter",
    "Sent",
    "ServiceConfig",
    "TlsFiles",
    "Work",
    "audit_path",
    "check_audit",
    "check_service",
    "choose_node",
    "dicom_files",
    "echo",
    "fetch_series",
    "find_series",
    "get_series",
    "listening_address",
    "read_config",
    "require_pynetdicom",
    "send_files",
    "serve",
    "service_counts",
]
