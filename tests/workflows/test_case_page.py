"""docs/case-file.md against the case itself."""

import inspect
import re
import tomllib
from pathlib import Path

import pytest

from sirtjax.workflows import _case, case_from_dict

PAGE = (Path(__file__).parents[2] / "docs" / "case-file.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.S)
# Which part of the page describes each table.
SECTIONS = {
    "PatientTable": "[patient]",
    "ProtocolTable": "[protocol]",
    "ImagesTable": "[images.activity]",
    "ImageTable": "[images.activity]",
    "ActivityTable": "[images.activity]",
    "DiagnosticTable": "[images.activity]",
    "MaskTable": "[masks.liver]",
    "MasksTable": "[masks.liver]",
    "TerritoriesTable": "[territories]",
    "RegistrationTable": "[registration]",
    "PlanRegistrationTable": "[plan_registration]",
    "GuidesTable": "[registration.reference_masks]",
    "GuideTable": "[registration.reference_masks]",
    "LungShuntTable": "[lung_shunt]",
    "CalibrationTable": "[calibration]",
    "AcquiredAsTable": "[calibration.acquired_as]",
    "AfterTreatmentTable": "[after_treatment]",
    "DoseTable": "[dose]",
    "PartialVolumeTable": "[partial_volume]",
    "PrescriptionTable": "[prescription]",
    "ObjectiveTable": "[[prescription.objectives]]",
    "InjectionTable": "[[injections]]",
    "RecordTable": "[record]",
    "LiverFunctionTable": "[record.liver_function]",
    "ImagingDatesTable": "[record.imaging_dates]",
    "RecordedVialTable": "[[record.vials]]",
    "OrderTable": "[order]",
    "UptakeSitesTable": "[uptake_sites]",
    "OrganMasksTable": "[uptake_sites.organs]",
    "ReviewedSiteTable": "[[uptake_sites.reviewed]]",
    "UncertaintyTable": "[uncertainty]",
    "RelativeSourceTable": "[uncertainty.calibration]",
    "CountsTable": "[uncertainty.counts]",
    "RegistrationSourceTable": "[uncertainty.registration]",
    "SurfaceSourceTable": "[uncertainty.contours]",
    "LesionShiftTable": "[uncertainty.lesion_shift]",
    "BiologyTable": "[biology]",
    "RemnantTable": "[remnant]",
    "TissueTable": "[biology.tumour]",
    "Case": "Top level",
}
TABLES = {
    name: table
    for name, table in vars(_case).items()
    if inspect.isclass(table) and issubclass(table, _case.Table) and table is not _case.Table
}


def rows_of(section):
    """Key -> (type, unit, default, meaning) of a section's table."""
    (body,) = [part for part in re.split(r"^#+ ", PAGE, flags=re.M) if part.startswith(section)]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines() if line.startswith("| `")
    ]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_every_table_has_its_section():
    assert set(TABLES) == set(SECTIONS)


@pytest.mark.parametrize("name", SECTIONS)
def test_every_key_is_on_the_page_with_its_default(name):
    rows = rows_of(SECTIONS[name])
    for field, info in TABLES[name].model_fields.items():
        key = info.alias or field
        assert key in rows, f"{name}.{key} is missing in {SECTIONS[name]}"
        kind, unit, default, meaning = rows[key]
        assert kind and meaning
        if info.is_required():
            assert default == "no default", key
        elif info.default is None:
            assert default == "–", key
        elif isinstance(info.default, bool):
            assert default == str(info.default).lower(), key
        elif isinstance(info.default, float):
            assert float(default) == info.default, key
        elif isinstance(info.default, str):
            assert default == f'"{info.default}"', key
        for suffix, expected in (
            ("_mm", "mm"),
            ("_gy", "Gy"),
            ("_g", "g"),
            ("_mbq", "MBq"),
            ("_kg", "kg"),
            ("_m", "m"),
        ):
            if key.endswith(suffix) and key != "ntcp_m":
                assert unit.startswith(f"1/{expected}" if key.endswith(f"_per{suffix}") else expected), key


def test_the_page_has_no_key_that_a_case_has_not():
    for section in set(SECTIONS.values()):
        known = set()
        for name, where in SECTIONS.items():
            if where == section:
                known |= {info.alias or field for field, info in TABLES[name].model_fields.items()}
        assert set(rows_of(section)) == known, section


def test_the_examples_are_cases():
    assert len(EXAMPLES) == 4
    cases = [case_from_dict(tomllib.loads(text), folder=Path("/p"), source="example") for text in EXAMPLES]
    plan, verification, moved, registered = cases
    assert plan.territories is not None and plan.prescription.objectives[0].kind == "V"
    assert verification.plan is not None and verification.calibration.method == "absolute"
    assert moved.images.diagnostic.modality == "MR" and moved.registration.method == "file"
    assert registered.registration.method == "deformable"
    assert registered.registration.reference_masks.liver.path == Path("/p/liver-on-lowdose-ct.nii.gz")
