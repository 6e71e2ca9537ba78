"""The analytic patient with VOIs drawn on a diagnostic CT that lies elsewhere, by a rigid movement that is known."""

import analytic_case as case
import numpy as np

from sirtjax.io import write_nifti, write_transform
from sirtjax.spatial import AffineTransform, rigid_matrix
from sirtjax.volume import Volume
from sirtjax.workflows import load_case

# Pull: a point of the activity frame to its place on the diagnostic image.
MOVED = rigid_matrix((0.05, -0.04, 0.12), (14.0, -9.0, 11.0), case.CENTRE_MM)
DIAGNOSTIC = case.grid(
    (66, 60, 38),
    (3.6, 3.7, 4.6),
    rotation_rad=(0, 0, 0.08),
    flips=(1, 1, -1),
    centre_mm=case.CENTRE_MM + np.array([14, -9, 11]),
)
WIDE_CT = case.grid((64, 58, 36), (3.8, 3.6, 4.9), rotation_rad=(0, 0.03, -0.05), flips=(1, -1, 1))
ON = "diagnostic"
# A lattice so coarse that its program compiles in seconds; for methods without deformation.
SMALL = [
    "lattice.shape=[24, 24, 24]", "lattice.min_spacing_mm=5.0", "regularisation.stride=2",
    "affine.sample_stride=2", "affine.samples=1024", "affine.steps=40",
    "affine.levels=[{ blur_mm = 8.0, step_mm = 1.0 }]",
]  # fmt: skip
LIVER = {"reference_masks": {"liver": {"path": "liver.nii"}}}
LESIONS = {"path": "lesions.nii", "labels": {"1": "alpha", "2": "beta"}}
BOTH = {"reference_masks": {"liver": {"path": "liver.nii"}, "landmarks": LESIONS}}
# A sphere of 9.5 mm drawn in voxels of 3.6 x 3.7 x 4.6 mm has its centroid this near.
DRAWN_MM = 0.6
SPHERES = ((0, 0, 0, case.LIVER_MM, 110), (70, 30, -10, 28, 160), (10, 62, 0, 18, 420), (-30, -55, 20, 14, -60))


def anatomy_hu(points):
    """A body with liver, spleen, spine and some fat, in the frame of the activity image."""
    offset = points - case.CENTRE_MM
    hu = np.where(np.linalg.norm(offset / (105, 88, 400), axis=-1) < 1, 20.0, -1000.0)
    for x, y, z, radius_mm, value in SPHERES:
        hu[case.distance_mm(offset, (x, y, z)) < radius_mm] = value
    for lesion in case.LESIONS:
        hu[case.distance_mm(offset, lesion.offset_mm) < lesion.radius_mm] = 190
    spine = np.linalg.norm(offset[..., :2] - (12, 66), axis=-1) < 15
    ribs = spine & (np.mod(offset[..., 2], 30) < 21)
    return np.where(ribs, 350, hu).astype(np.float32)


def moved_back(geometry):
    points = case.points_of(geometry)[..., 0, :]
    back = np.linalg.inv(MOVED)
    return points @ back[:3, :3].T + back[:3, 3]


def write_patient(folder, *, diagnostic=DIAGNOSTIC, wide_ct=WIDE_CT):
    """All files of the patient, its images on these grids, masks and transforms."""
    case.write_patient(folder)
    at = moved_back(diagnostic)
    write_nifti(folder / "diagnostic.nii", Volume(anatomy_hu(at), diagnostic, unit="HU"))
    ct = Volume(anatomy_hu(case.points_of(wide_ct)[..., 0, :]), wide_ct, unit="HU")
    write_nifti(folder / "ct.nii", ct, force=True)
    case.write_labels(folder, diagnostic, case.labels_at(at), prefix="diagnostic-")
    write_transform(folder / "moved.tfm", AffineTransform(MOVED))
    write_transform(folder / "back.tfm", AffineTransform(np.linalg.inv(MOVED)))


def diagnostic_case(folder, method, path=None, registration=None, **changes):
    """The case of these files; `registration` are further keys of that table."""
    table = {"method": method, **({} if path is None else {"path": path}), **(registration or {})}
    labels = {"1": "alpha", "2": "beta"}
    tables = {
        "images": {
            "activity": {"path": "spect.nii"},
            "ct": {"path": "ct.nii"},
            "diagnostic": {"path": "diagnostic.nii", "modality": "CT"},
        },
        "masks": {
            "liver": {"path": "diagnostic-liver.nii", "image": ON},
            "lesions": {"path": "diagnostic-lesions.nii", "image": ON, "labels": labels},
        },
        "territories": {"path": "diagnostic-territories.nii", "image": ON, "labels": {"1": "right", "2": "left"}},
        "registration": table,
    }
    return load_case(case.write_case(folder, **(tables | changes)))


def centroid_errors_mm(mapped):
    true = {"liver": np.zeros(3)} | {lesion.name: np.asarray(lesion.offset_mm) for lesion in case.LESIONS}
    errors = {}
    for name, offset in true.items():
        weight = mapped.occupancy[name]
        index = np.argwhere(weight > 0)
        share = weight[weight > 0].astype(np.float64)
        centroid = mapped.geometry.to_world((index * share[:, None]).sum(0) / share.sum())
        errors[name] = float(np.linalg.norm(centroid - case.CENTRE_MM - offset))
    return errors
