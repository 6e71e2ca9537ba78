"""Cases with known truth for the registration benchmarks: digital patients at 3 mm, in two poses.

The floating image shows the patient as the phantom draws it (inspiration) but shifted and turned: the whole rigid
part of the motion is in the pose of the floating image. The reference image shows the same patient not shifted, with
the liver's dome 10 to 15 mm higher (expiration) and smooth waves of 5 mm root mean square. The best affine map then
leaves about 3 mm in the liver on average and 6 mm at the 95th percentile.

The map from reference to floating needs no inversion: first the reference's displacement to the patient's own frame,
then the inverse of a rigid motion. It is computed in double precision from the formulas that the images were drawn
with, so it is exact.

Tasks:

  ct-lowdose        contrast CT (portal phase) to the low-dose CT of a SPECT/CT
  mr-ct             tilted T1 MR to the low-dose CT of a SPECT/CT
  lowdose-lowdose   low-dose CT to low-dose CT, both without contrast

Noise is that of the phantom's default preset, taken to the voxel size here: of a CT, reconstructed with one kernel, it
goes with the inverse square root of the slice thickness (not with the pixel size), of an MR with the inverse of the
voxel volume. The masks are the true ones: the liver (holding its lesions and
vessels) and 3 to 6 lesions of 1 to 90 mL.

    python benchmarks/registration_cases.py OUT --tasks mr-ct --seeds 101 102 --pictures

writes a folder `OUT/mr-ct-101` for each, with reference.nii.gz, floating.nii.gz, the masks one file each in
reference_masks/ and floating_masks/ (a lesion is inside the liver's mask too), the same as label maps
reference_labels.nii.gz and floating_labels.nii.gz for programs that take one (1 = liver without lesions, 2 on =
lesions: the liver is the union of all), and truth.nii.gz, the displacement field from reference to floating.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from registration_score import best_affine, score

from sirtjax.io import write_nifti, write_transform
from sirtjax.phantom import Anatomy, Organ, Pose, Sample, build_anatomy, draw_pose, evaluate_grid, load_preset
from sirtjax.phantom._acquire import ct_image, mr_image
from sirtjax.phantom._contrast import ct_table, mr_table
from sirtjax.phantom._pose import displacement_mm
from sirtjax.phantom._scene import random_stream
from sirtjax.spatial import DisplacementField, identity, rigid_matrix, voxel_centres_mm
from sirtjax.volume import Geometry, LabelMap, Volume

# Which images: reference, floating.
TASKS: Mapping[str, tuple[str, str]] = {
    "ct-lowdose": ("lowdose", "contrast"),
    "mr-ct": ("lowdose", "mr"),
    "lowdose-lowdose": ("lowdose", "lowdose"),
}
# Parameters are chosen on the first and never on the second, which the published figures come from.
TUNING_SEEDS = (1, 2, 3, 4, 5, 6)
BENCHMARK_SEEDS = (101, 102, 103)

SHAPE = (160, 128, 128)
SPACING_MM = 3.0
CENTRE_MM = (0.0, -2.0, 4.0)
LESIONS = (3, 6)
TRANSLATION_MM = (15.0, 25.0)
ROTATION_DEG = (2.0, 6.0)
BREATH_MM = (10.0, 15.0)
# Of the reach of the phantom's breathing shift: a steeper dome, which no affine map follows.
BREATH_REACH = 0.6
# Root mean square length of the waves' displacement, the same for every seed.
WAVES_MM = 5.0

Points = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One pair of images and everything known of it.

    Attributes:
      task: one of `TASKS`.
      seed: what all randomness comes from.
      reference: the image whose grid the transform lives on.
      floating: the image to be brought to it.
      reference_masks: "liver", "lesion1", "lesion2" ... on the reference's grid.
      floating_masks: the same names on the floating image's grid.
      body: (i, j, k) the patient on the reference's grid.
      truth_at: takes world points (n, 3) of the reference to the floating image, exactly.
    """

    task: str
    seed: int
    reference: Volume
    floating: Volume
    reference_masks: Mapping[str, LabelMap]
    floating_masks: Mapping[str, LabelMap]
    body: NDArray[np.bool_]
    truth_at: Callable[[Points], Points]

    @property
    def name(self) -> str:
        """Task and seed, as its folder is called."""
        return f"{self.task}-{self.seed}"

    def truth(self) -> DisplacementField:
        """The true transform at the voxels of the reference."""
        geometry = self.reference.geometry
        points = voxel_centres_mm(geometry).reshape(-1, 3)
        moved = np.concatenate([self.truth_at(part) for part in np.array_split(points, 16)])
        return DisplacementField((moved - points).astype(np.float32).reshape(*geometry.shape, 3), geometry)


def make_case(task: str, seed: int, *, spacing_mm: float = SPACING_MM) -> Case:
    """The case of a seed; the three tasks of one seed show the same patient in the same poses.

    Args:
      task: one of `TASKS`.
      seed: 0 or larger; see `TUNING_SEEDS` and `BENCHMARK_SEEDS`.
      spacing_mm: voxel size; the grid covers the same space at every one.
    """
    kinds = TASKS[task]
    lesions = load_preset("default").lesions.model_copy(update={"count": LESIONS})
    anatomy, volumes_ml = build_anatomy(random_stream(seed, "anatomy"), lesions)
    contrast_hu = random_stream(seed, "contrast").uniform(*lesions.contrast_hu, len(anatomy.lesion_centre_mm))
    poses = reference_pose(seed), floating_pose(seed)
    volumes, masks = [], []
    for side, kind, pose in zip(("reference", "floating"), kinds, poses, strict=True):
        geometry = image_grid(kind, spacing_mm)
        random = random_stream(seed, f"{task} {side}")
        volume, sample = acquire(kind, anatomy, pose, geometry, contrast_hu, random)
        volumes.append(volume)
        masks.append(mask_maps(sample, geometry, lesions=len(volumes_ml)))
        if side == "reference":
            body = sample.skin_mm < 0
    shared = [name for name in masks[0] if name in masks[1]]
    return Case(
        task=task,
        seed=seed,
        reference=volumes[0],
        floating=volumes[1],
        reference_masks={name: masks[0][name] for name in shared},
        floating_masks={name: masks[1][name] for name in shared},
        body=body,
        truth_at=lambda points_mm: true_points(*poses, points_mm),
    )


def reference_pose(seed: int) -> Pose:
    """Expiration and smooth waves, lying as in the patient's own frame."""
    random = random_stream(seed, "reference pose")
    breathing_shift_mm = float(random.uniform(*BREATH_MM))
    pose = draw_pose(
        random, breathing_shift_mm=breathing_shift_mm, rotation_deg=0.0, translation_mm=0.0, deformation_mm=1.0
    )
    waves = pose.wave_mm * np.float32(WAVES_MM / np.sqrt((pose.wave_mm**2).sum() / 2))
    return replace(pose, breath_reach_mm=pose.breath_reach_mm * np.float32(BREATH_REACH), wave_mm=waves)


def floating_pose(seed: int) -> Pose:
    """Inspiration, shifted in a random direction and turned about a random axis."""
    random = random_stream(seed, "floating pose")
    still = draw_pose(random, breathing_shift_mm=0.0, rotation_deg=0.0, translation_mm=0.0, deformation_mm=0.0)
    axis, along = (vector / np.linalg.norm(vector) for vector in random.normal(size=(2, 3)))
    turn = rotation_about(axis, np.deg2rad(random.uniform(*ROTATION_DEG)))
    shift = along * random.uniform(*TRANSLATION_MM)
    return replace(still, rotation=turn.astype(np.float32), translation_mm=shift.astype(np.float32))


def true_points(reference: Pose, floating: Pose, points_mm: Points) -> Points:
    """World points (n, 3) of the reference in the floating image, in double precision."""
    at = np.asarray(points_mm, np.float64).T
    own = at + displacement_mm(_double(reference), at, xp=np)
    still = _double(floating)
    # The floating pose takes y to R (y - c) + c + t.
    back = np.linalg.solve(still.rotation, own - (still.centre_mm + still.translation_mm)[:, None])
    return np.asarray((back + still.centre_mm[:, None]).T, np.float64)


def image_grid(kind: str, spacing_mm: float = SPACING_MM) -> Geometry:
    """The grid of an image: along the world's axes, or tilted for MR."""
    tilt_deg = load_preset("default").mr.tilt_deg if kind == "mr" else 0.0
    direction = rigid_matrix(np.deg2rad([tilt_deg, 0.0, -tilt_deg / 2]).tolist(), (0, 0, 0), (0, 0, 0))[:3, :3]
    shape = tuple(round(n * SPACING_MM / spacing_mm) for n in SHAPE)
    origin = np.asarray(CENTRE_MM) - direction @ ((np.asarray(shape) - 1) / 2 * spacing_mm)
    return Geometry.from_axes(shape, spacing_mm=(spacing_mm,) * 3, origin_mm=origin.tolist(), direction=direction)


def acquire(
    kind: str,
    anatomy: Anatomy,
    pose: Pose,
    geometry: Geometry,
    contrast_hu: NDArray[np.float64],
    random: np.random.Generator,
) -> tuple[Volume, Sample]:
    """One image and the anatomy behind it."""
    preset = load_preset("default")
    if kind == "mr":
        sample = evaluate_grid(anatomy, pose, geometry, table=mr_table())
        noise = preset.mr.noise * _voxels(preset.mr.spacing_mm, geometry)
        return Volume(
            mr_image(random, sample.value[..., 0], noise=noise, bias=preset.mr.bias), geometry, unit="1"
        ), sample
    portal = kind == "contrast"
    config = preset.diagnostic_ct if portal else preset.spect_ct
    sample = evaluate_grid(anatomy, pose, geometry, table=ct_table(contrast_hu, portal=portal))
    noise_hu = config.noise_hu * np.sqrt(config.spacing_mm[2] / geometry.spacing_mm[2])
    return Volume(ct_image(random, sample.value[..., 0], noise_hu=noise_hu), geometry, unit="HU"), sample


def mask_maps(sample: Sample, geometry: Geometry, *, lesions: int) -> dict[str, LabelMap]:
    """The masks by name, those that hold a voxel."""
    masks = {"liver": sample.organ == Organ.LIVER}
    masks |= {f"lesion{number}": sample.lesion == number for number in range(1, lesions + 1)}
    return {name: LabelMap.from_mask(mask, geometry, name=name) for name, mask in masks.items() if mask.any()}


def label_map(masks: Mapping[str, LabelMap]) -> LabelMap:
    """All masks in one map: 1 the liver without its lesions, 2 on the lesions."""
    geometry = masks["liver"].geometry
    labels = np.zeros(geometry.shape, np.uint8)
    names = ["liver", *(name for name in masks if name != "liver")]
    for value, name in enumerate(names, start=1):
        labels[masks[name].mask(name)] = value
    return LabelMap(labels, geometry, names=tuple(enumerate(names, start=1)))


def write_case(folder: Path, case: Case) -> None:
    """Write the files of a case; those that are there are replaced."""
    for side in ("reference", "floating"):
        masks = getattr(case, f"{side}_masks")
        (folder / f"{side}_masks").mkdir(parents=True, exist_ok=True)
        write_nifti(folder / f"{side}.nii.gz", getattr(case, side), force=True)
        write_nifti(folder / f"{side}_labels.nii.gz", label_map(masks), force=True)
        for name, mask in masks.items():
            write_nifti(folder / f"{side}_masks" / f"{name}.nii.gz", mask, force=True)
    write_transform(folder / "truth.nii.gz", case.truth(), force=True)


def write_picture(path: Path, case: Case) -> None:
    """Three slices of both images through the middle of the reference's liver, with the masks' outlines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 9), layout="constrained")
    axes = figure.subplots(2, 3)
    for row, side in zip(axes, ("reference", "floating"), strict=True):
        volume, masks = getattr(case, side), getattr(case, f"{side}_masks")
        middle = np.argwhere(masks["liver"].mask("liver")).mean(axis=0).round().astype(int)
        low, high = (-160, 240) if volume.unit == "HU" else (0, 900)
        for axis, frame in enumerate(row):
            cut = np.take(volume.array, middle[axis], axis).T
            frame.imshow(cut, cmap="gray", vmin=low, vmax=high)
            for name, mask in masks.items():
                outline = np.take(mask.mask(name), middle[axis], axis).T.astype(float)
                colour = "tab:green" if name == "liver" else "tab:red"
                if outline.any():
                    frame.contour(outline, levels=[0.5], colors=colour, linewidths=0.7)
            frame.set_title(f"{case.name} {side}")
            frame.set_axis_off()
            # The head up in sagittal and coronal cuts, the front up in axial ones, whose y runs down.
            if axis < 2:
                frame.invert_yaxis()
    figure.savefig(path, dpi=70)


def rotation_about(axis: Points, angle_rad: float) -> Points:
    """The rotation (3, 3) about a unit vector."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle_rad) * cross + (1 - np.cos(angle_rad)) * cross @ cross)


def _double(pose: Pose) -> Pose:
    # float32 values as the images were drawn with, but computed with in double precision.
    return Pose(**{name: np.asarray(value, np.float64) for name, value in vars(pose).items()})


def _voxels(spacing_mm: tuple[float, float, float], geometry: Geometry) -> float:
    return float(np.prod(spacing_mm) / np.prod(geometry.spacing_mm))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the cases")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(BENCHMARK_SEEDS))
    parser.add_argument("--pictures", action="store_true", help="a PNG beside the files of each case")
    options = parser.parse_args()
    for task in options.tasks:
        for seed in options.seeds:
            case = make_case(task, seed)
            write_case(options.out / case.name, case)
            if options.pictures:
                write_picture(options.out / case.name / "images.png", case)
            print(f"{case.name}: {', '.join(case.reference_masks)}")
            labelled = {"none": identity(), "best affine in the liver": best_affine(case), "truth": case.truth()}
            for label, transform in labelled.items():
                found = score(case, transform)
                print(f"  {label:25}", "  ".join(f"{key} {value:.3g}" for key, value in found.items()))


if __name__ == "__main__":
    main()
