import json

import analytic_case as case
import diagnostic_case
import numpy as np
import pytest
from reviewed_plan import DOSE_GY, Client, served

from sirtjax import workflows
from sirtjax.io import write_nifti
from sirtjax.review import Session
from sirtjax.volume import Volume

RESULTS = {
    "kind": "plan",
    "patient_id": "TEST-01",
    "protocol_title": "a protocol",
    "provenance": {"created": "2026-01-01"},
    "unreviewed_masks": [],
    "injections": [],
}


@pytest.fixture(scope="session")
def reviewed_case(tmp_path_factory):
    """A case with its steps made but no dose computed: what a session needs, in a second."""
    folder = tmp_path_factory.mktemp("patient")
    case.write_patient(folder)
    loaded = workflows.load_case(case.write_case(folder))
    products = workflows.run_until(loaded, "registration")
    return workflows.run_until(
        loaded, "territories", products=workflows.run_until(loaded, "lesions", products=products)
    )


@pytest.fixture(scope="session")
def moved_case(tmp_path_factory):
    """The same with masks on a diagnostic CT that lies elsewhere."""
    folder = tmp_path_factory.mktemp("moved")
    diagnostic_case.write_patient(folder)
    loaded = diagnostic_case.diagnostic_case(folder, "file", "moved.tfm")
    products = workflows.run_until(loaded, "registration")
    return workflows.run_until(
        loaded, "territories", products=workflows.run_until(loaded, "lesions", products=products)
    )


@pytest.fixture
def plan_folder(tmp_path):
    """A folder like one of `sirtjax plan`, its dose the same everywhere on a grid around the liver."""
    folder = tmp_path / "plan"
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(RESULTS))
    grid = case.grid((50, 50, 50), (3, 3, 3), rotation_rad=(0, 0, 0), flips=(1, 1, 1))
    write_nifti(folder / "dose.nii.gz", Volume(np.full(grid.shape, DOSE_GY, np.float32), grid, unit="Gy"))
    return folder


@pytest.fixture
def session(plan_folder, reviewed_case):
    return Session(plan_folder, reviewed_case, lambda products, on_step: None)


@pytest.fixture
def client(session):
    with served(session) as server:
        yield Client(server)
