"""One patient planned once for every test that only looks at the result."""

import analytic_case
import pytest

from sirtjax.workflows import load_case, plan_case

MARGIN_MM = 7.0


@pytest.fixture(scope="session")
def patient(tmp_path_factory):
    """A folder with the files of the analytic patient, its activity reaching past the masks."""
    folder = tmp_path_factory.mktemp("patient")
    analytic_case.write_patient(folder, margin_mm=MARGIN_MM)
    return folder


@pytest.fixture(scope="session")
def planned(patient, tmp_path_factory):
    """A function that plans the patient with changes to its case; the same changes are planned once."""
    made = {}

    def plan(**changes):
        key = repr(sorted(changes.items()))
        if key not in made:
            path = patient / f"case-{len(made)}.toml"
            path.write_text(analytic_case.write_case(patient, **changes).read_text())
            result, maps, products = plan_case(load_case(path), products=made.get("products"))
            made[key] = result, maps
            if not changes.keys() - {"prescription", "injections", "protocol", "lung_shunt"}:
                made["products"] = products
        return made[key]

    return plan
