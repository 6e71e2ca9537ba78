"""Right lobe, then left lobe of a digital phantom in another pose: the sum against the dose of the true geometry."""

import json

import numpy as np
import pytest
from scipy import ndimage

from sirtjax import io, spatial
from sirtjax.cli.main import main
from sirtjax.dosimetry import load_protocol
from sirtjax.phantom import load_preset, simulate_patient
from sirtjax.phantom._truth import numpy_displacement_mm
from sirtjax.volume import Volume

PROTOCOL = "glass-hcc-bilobar-low-bilirubin"
STAGES = {"right": ("spect", 1900.0, "2026-03-02"), "left": ("y90_pet", 700.0, "2026-04-20")}
VALUE = {"right": 1, "left": 2}
SHUNT, RATIO = 0.05, 4.0
# ICRP 107, Gy.kg/GBq, and h.
CONSTANT, HALF_LIFE_H = 49.77, 64.1
TISSUES = {"tumour": (10.0, 1.5), "normal_liver": (2.5, 2.5)}


def concentration(patient, session, territory):
    """1 in the normal tissue of a territory, RATIO in its lesions, 0 elsewhere."""
    labels = patient.labels[session]
    inside = np.asarray(labels["territories"].array) == VALUE[territory]
    return np.where(inside, np.where(np.asarray(labels["lesions"].array) > 0, RATIO, 1.0), 0.0)


def dose_per_concentration_gy(patient, session, territory):
    """Energy divided by mass, by hand: all activity that is not shunted is in the territory."""
    grid = patient.labels[session]["liver"].geometry
    total_ml = concentration(patient, session, territory).sum() * grid.voxel_volume_ml
    density = load_protocol(PROTOCOL).liver_density.value
    return CONSTANT * STAGES[territory][1] * (1 - SHUNT) / (density * total_ml)


def write_stage(folder, patient, territory):
    session, activity_mbq, _ = STAGES[territory]
    labels = patient.labels[session]
    grid = labels["liver"].geometry
    io.write_nifti(folder / f"{territory}.nii.gz", Volume(concentration(patient, session, territory), grid, unit="1"))
    ct = patient.images["spect_ct" if session == "spect" else "y90_ct"]
    io.write_nifti(folder / f"{territory}-ct.nii.gz", ct)
    for name in ("liver", "lungs", "lesions", "territories"):
        io.write_nifti(folder / f"{territory}-{name}.nii.gz", labels[name])
    names = ", ".join(f'{value} = "{name}"' for value, name in labels["lesions"].names)
    path = folder / f"{territory}.toml"
    path.write_text(f"""
schema = 2
patient = {{ id = "two-stages" }}
protocol = {{ name = "{PROTOCOL}" }}
lung_shunt = {{ method = "value", fraction = {SHUNT}, source = "made up" }}
injections = [{{ territory = "{territory}", activity_mbq = {activity_mbq} }}]
[images]
activity = {{ path = "{territory}.nii.gz", unit = "counts", nuclide = "Y-90", resolution_fwhm_mm = 2.0 }}
ct = {{ path = "{territory}-ct.nii.gz" }}
[masks]
liver = {{ path = "{territory}-liver.nii.gz", image = "activity" }}
lungs = {{ path = "{territory}-lungs.nii.gz", image = "activity" }}
lesions = {{ path = "{territory}-lesions.nii.gz", image = "activity", labels = {{ {names} }} }}
[territories]
path = "{territory}-territories.nii.gz"
image = "activity"
labels = {{ 1 = "right", 2 = "left" }}
""")
    return path


def run(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in arguments])
    return stopped.value.code or 0


@pytest.fixture(scope="module")
def treated(tmp_path_factory):
    """The phantom, and the folder with a verification of each stage in its own pose."""
    folder = tmp_path_factory.mktemp("two-stages")
    patient = simulate_patient(11, load_preset("small"), sessions=("diagnostic_ct", "spect", "y90_pet"))
    for territory in STAGES:
        case = write_stage(folder, patient, territory)
        assert run("--quiet", "verify", case, "-o", folder / territory, "--no-pdf") == 0
    return folder, patient


def write_sum(folder, transform):
    tissues = "".join(
        f'[biology.{name}]\nalpha_beta_gy = {ratio}\nrepair_half_time_h = {repair}\nsource = "made up"\n'
        for name, (ratio, repair) in TISSUES.items()
    )
    treatments = "".join(
        f'[[treatments]]\nname = "{name}"\nfolder = "{name}"\ndate = {date}\nct = "{name}-ct.nii.gz"\n'
        + (f"[treatments.transform]\n{transform}\n" if name == "left" else "")
        for name, (_, _, date) in STAGES.items()
    )
    path = folder / "sum.toml"
    path.write_text(f'schema = 1\nreference = {{ treatment = "right" }}\n{treatments}{tissues}')
    return path


def second_pose_mm(patient, points):
    """Points of the first pose in the second one: both show the diagnostic CT at x + u(x), a closed formula."""
    here, there = (patient.poses[session] for session, _, _ in STAGES.values())
    anatomy = points + numpy_displacement_mm(here, points)
    found = points
    for _ in range(40):
        found = anatomy - numpy_displacement_mm(there, found)
    assert np.linalg.norm(found + numpy_displacement_mm(there, found) - anatomy, axis=0).max() < 0.05
    return found


def grid_points(grid):
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    return np.asarray(grid.to_world(index), np.float32).reshape(-1, 3).T


def true_transform(patient):
    grid = patient.labels[STAGES["right"][0]]["liver"].geometry
    points = grid_points(grid)
    moved = second_pose_mm(patient, points)
    return spatial.DisplacementField((moved - points).T.reshape(*grid.shape, 3), grid)


def true_means(patient, mask, tissue):
    """Dose and BED of each stage in a mask of the first pose, from labels and poses alone, without a dose map.

    125 points of each voxel. Each takes the dose of the label voxel it is in, in the first pose or moved to the second.
    """
    first = patient.labels[STAGES["right"][0]]["liver"].geometry
    second = patient.labels[STAGES["left"][0]]["liver"].geometry
    parts = (np.arange(5) - 2) / 5
    offsets = np.stack(np.meshgrid(parts, parts, parts, indexing="ij"), axis=-1).reshape(-1, 3)
    index = (np.argwhere(mask)[:, None] + offsets).reshape(-1, 3)
    points = np.asarray(first.to_world(index), np.float32).T
    doses = []
    for name, grid, where in (("right", first, points), ("left", second, second_pose_mm(patient, points))):
        voxel = np.rint(np.asarray(grid.to_voxel(where.T))).astype(int).T
        voxel = np.clip(voxel, 0, np.array(grid.shape)[:, None] - 1)
        values = concentration(patient, STAGES[name][0], name)[tuple(voxel)]
        doses.append(values * dose_per_concentration_gy(patient, STAGES[name][0], name))
    ratio, repair = TISSUES[tissue]
    beds = [dose + dose**2 / ratio * repair / (repair + HALF_LIFE_H) for dose in doses]
    return sum(doses).mean(), sum(beds).mean()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transform", "limit"), [('method = "file"\npath = "true.h5"', 0.03), ('method = "deformable"', 0.08)]
)
def test_the_sum_is_the_dose_of_the_true_geometry(treated, transform, limit):
    folder, patient = treated
    io.write_transform(folder / "true.h5", true_transform(patient), force=True)
    out = folder / "sum"
    assert run("--quiet", "accumulate", write_sum(folder, transform), "-o", out, "--force", "--no-pdf") in (0, 1)
    vois = {row["name"]: row for row in json.loads((out / "results.json").read_text())["vois"]}
    labels = patient.labels[STAGES["right"][0]]
    lesions = np.asarray(labels["lesions"].array)
    regions = {name: (lesions == value, "tumour") for value, name in labels["lesions"].names}
    regions["normal liver"] = ((np.asarray(labels["liver"].array) > 0) & (lesions == 0), "normal_liver")
    assert {row["territory"] for row in patient.numbers["lesions"]} == {"right", "left"}
    for name, (mask, tissue) in regions.items():
        dose, bed = true_means(patient, mask, tissue)
        assert vois[name]["dose"]["mean_gy"] == pytest.approx(dose, rel=limit), name
        assert vois[name]["bed"]["mean_gy"] == pytest.approx(bed, rel=1.5 * limit), name


@pytest.mark.slow
def test_the_moved_dose_is_that_of_scipy(treated):
    folder, patient = treated
    io.write_transform(folder / "true.h5", true_transform(patient), force=True)
    path = write_sum(folder, 'method = "file"\npath = "true.h5"')
    assert run("--quiet", "accumulate", path, "-o", folder / "scipy", "--no-pdf") in (0, 1)
    results = json.loads((folder / "scipy" / "results.json").read_text())
    file = next(row["dose_file"] for row in results["treatments"] if row["name"] == "left")
    moved = io.read_nifti(folder / "scipy" / file).volume
    own = io.read_nifti(folder / "left" / "dose.nii.gz").volume
    points = second_pose_mm(patient, grid_points(moved.geometry))
    where = np.asarray(own.geometry.to_voxel(points.T)).T
    expected = ndimage.map_coordinates(np.asarray(own.array, float), where, order=1).reshape(moved.geometry.shape)
    # The transform is a field on the grid of the labels here and a closed formula there.
    difference = np.abs(np.asarray(moved.array) - expected)
    assert np.quantile(difference, 0.999) < 0.02 * expected.max()
    assert np.asarray(moved.array).mean() == pytest.approx(expected.mean(), rel=2e-3)


@pytest.mark.slow
def test_the_transform_of_the_wrong_direction_does_not_pass(treated, capsys):
    folder, patient = treated
    grid = patient.labels[STAGES["right"][0]]["liver"].geometry
    right = true_transform(patient)
    # Twice the displacement, backwards: it moves the liver away from the other one.
    wrong = spatial.DisplacementField(-2.0 * np.asarray(right.array), grid)
    io.write_transform(folder / "wrong.h5", wrong, force=True)
    path = write_sum(folder, 'method = "file"\npath = "wrong.h5"')
    assert run("--quiet", "accumulate", path, "-o", folder / "wrong") == 2
    assert "treatment 'left'" in capsys.readouterr().err
    assert not (folder / "wrong").exists()
