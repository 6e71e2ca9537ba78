"""Planning and verification: the steps of a patient's case as plain functions."""

from sirtjax.workflows._case import Case as Case
from sirtjax.workflows._case import case_from_table as case_from_table
from sirtjax.workflows._case import load_case as load_case

__all__ = ["Case", "case_from_table", "load_case"]
