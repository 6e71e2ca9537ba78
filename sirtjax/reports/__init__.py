"""Results to files: pictures, tables and pages. Nothing is computed here."""

from sirtjax.reports._html import report_html as report_html
from sirtjax.reports._tables import voi_csv as voi_csv

__all__ = ["report_html", "voi_csv"]
