"""Results to files: pictures, tables and pages. Nothing is computed here."""

from sirtjax.reports._files import file_name as file_name
from sirtjax.reports._files import file_names as file_names
from sirtjax.reports._files import write_results as write_results
from sirtjax.reports._html import report_html as report_html
from sirtjax.reports._tables import voi_csv as voi_csv

__all__ = ["file_name", "file_names", "report_html", "voi_csv", "write_results"]
