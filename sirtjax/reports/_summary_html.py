"""The summary at the top of report.html, which is the first page of its print."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from sirtjax.reports._format import counted
from sirtjax.reports._isodose_lines import ISODOSE_COLOURS
from sirtjax.reports._summary import summary_of, summary_outlines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirtjax.workflows import Result

# What fits one printed page of A4 or US Letter; the rest is counted, with a link to its section.
TERRITORIES, LESIONS, PROBLEMS = 4, 10, 5
# Below the block on certainty.
LESIONS_BELOW_CERTAINTY = 4


def summary_html(result: Result, patient: str, picture: str, isodoses_gy: Sequence[float]) -> str:
    """Returns the summary as a section of the page.

    Args:
      result: plan or verification.
      patient: printed name or pseudonym of the patient.
      picture: slice as a data URI.
      isodoses_gy: doses of its isodose lines, rising.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["counted"] = counted
    source = resources.files("sirtjax.reports").joinpath("templates/summary.html.jinja").read_text(encoding="utf-8")
    summary = summary_of(result, patient)
    return environment.from_string(source).render(
        summary=summary,
        picture=picture,
        outlines=summary_outlines(result),
        isodoses=list(zip(isodoses_gy, ISODOSE_COLOURS, strict=False)),
        territories=TERRITORIES,
        lesions=LESIONS_BELOW_CERTAINTY if summary.certainty else LESIONS,
        problems=PROBLEMS,
    )
