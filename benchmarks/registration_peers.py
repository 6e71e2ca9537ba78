"""The programs that `registration.py` compares with, one registration in one process, files to files.

    python benchmarks/registration_peers.py METHOD CASE OUT [--threads 2]

reads the folder CASE that `registration_cases.py` wrote and writes a transform into the folder OUT. Nothing of sirtjax
is imported here, so that the peers' time and memory are their own; run it with a Python that has the `bench` extra.
With `--versions` it prints which methods can run, and their versions, as JSON.

What all have in common: CT numbers are cut to the window from -200 to 300 HU and MR to its 99.5th percentile, which
helps all of them; two threads; the settings that each program's own documentation recommends, or better ones where
we found them:

  simpleitk         affine, then a B-spline (grid of 80 and 40 mm), Mattes information on 10 % of the voxels
  elastix           its default `affine` and `bspline` parameter maps (four resolutions, grid of 10 mm, bending energy)
  elastix-masks     the same with a label map as a second image under mean squares: liver 2, lesions 4
  ants              SyN as `ants.registration` does by default: affine and SyN by Mattes information, 40x20x0 steps
  ants-long         `antsRegistrationSyNQuick.sh`'s rigid, affine and SyN by information, 100x70x50x0 steps
  ants-masks        affine by mean squares of the liver masks, then SyN as above with the labels as a second metric
  convexadam        MIND-SSC with the package's defaults, the floating image brought to the reference's grid first
  convexadam-masks  the package's features of segmentations (weighted one-hot), which it computes on a GPU only: here
                    computed on the CPU by the same formula and given to the same optimisation
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

WINDOW_HU = (-200.0, 300.0)
SEED = 1
# Of the labels under elastix' mean squares, beside an information of about one.
LABEL_SCALE = 2.0


def simpleitk(case: Path, out: Path, *, threads: int) -> None:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    fixed, moving = (_windowed(sitk.ReadImage(str(case / f"{side}.nii.gz"), sitk.sitkFloat32)) for side in SIDES)
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    affine = _information(sitk)
    affine.SetOptimizerAsGradientDescent(
        learningRate=1.0, numberOfIterations=200, convergenceMinimumValue=1e-6, convergenceWindowSize=10
    )
    affine.SetOptimizerScalesFromPhysicalShift()
    affine.SetInitialTransform(start, inPlace=True)
    affine.Execute(fixed, moving)
    mesh = [max(1, round(n * s / 80.0)) for n, s in zip(fixed.GetSize(), fixed.GetSpacing(), strict=True)]
    spline = sitk.BSplineTransformInitializer(fixed, mesh)
    bend = _information(sitk)
    bend.SetMovingInitialTransform(start)
    bend.SetInitialTransformAsBSpline(spline, inPlace=True, scaleFactors=[1, 1, 2])
    bend.SetOptimizerAsLBFGS2(solutionAccuracy=1e-2, numberOfIterations=50, deltaConvergenceTolerance=0.01)
    bend.Execute(fixed, moving)
    # The last one added is applied first.
    sitk.WriteTransform(sitk.CompositeTransform([start, spline]), str(out / "transform.h5"))


def elastix(case: Path, out: Path, *, threads: int) -> None:
    _elastix(case, out, threads=threads, guided=False)


def elastix_masks(case: Path, out: Path, *, threads: int) -> None:
    _elastix(case, out, threads=threads, guided=True)


def ants(case: Path, out: Path, *, threads: int) -> None:
    library, fixed, moving = _ants_images(case)
    library.registration(fixed, moving, type_of_transform="SyN", outprefix=str(out / "ants_"))


def ants_long(case: Path, out: Path, *, threads: int) -> None:
    library, fixed, moving = _ants_images(case)
    library.registration(fixed, moving, type_of_transform="antsRegistrationSyNQuick[s]", outprefix=str(out / "ants_"))


def ants_masks(case: Path, out: Path, *, threads: int) -> None:
    library, fixed, moving = _ants_images(case)
    livers = [library.image_read(str(case / f"{side}_masks" / "liver.nii.gz"), pixeltype="float") for side in SIDES]
    labels = [library.image_read(str(case / f"{side}_labels.nii.gz"), pixeltype="float") for side in SIDES]
    # Lesions of every number are 2.
    labels = [image.new_image_like(np.minimum(image.numpy(), 2.0)) for image in labels]
    affine = library.registration(
        *livers, type_of_transform="Affine", aff_metric="meansquares", outprefix=str(out / "start_")
    )
    library.registration(
        fixed,
        moving,
        type_of_transform="SyNOnly",
        initial_transform=affine["fwdtransforms"][0],
        multivariate_extras=[("meansquares", *labels, 1.0, 0)],
        outprefix=str(out / "ants_"),
    )


def convexadam(case: Path, out: Path, *, threads: int) -> None:
    _convexadam(case, out, threads=threads, guided=False)


def convexadam_masks(case: Path, out: Path, *, threads: int) -> None:
    _convexadam(case, out, threads=threads, guided=True)


SIDES = ("reference", "floating")
METHODS: dict[str, Callable[..., None]] = {
    "simpleitk": simpleitk,
    "elastix": elastix,
    "elastix-masks": elastix_masks,
    "ants": ants,
    "ants-long": ants_long,
    "ants-masks": ants_masks,
    "convexadam": convexadam,
    "convexadam-masks": convexadam_masks,
}
PACKAGES = {"simpleitk": "SimpleITK", "elastix": "itk-elastix", "ants": "antspyx", "convexadam": "convexAdam"}


def versions() -> dict[str, str]:
    """Version of the package behind each method that can run here."""
    found = {}
    for method in METHODS:
        package = PACKAGES[method.split("-")[0]]
        try:
            found[method] = f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
    return found


def _information(sitk: Any) -> Any:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.1, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([6.0, 3.0, 0.0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    return method


def _windowed(image: Any) -> Any:
    import SimpleITK as sitk

    low, high = _window(sitk.GetArrayViewFromImage(image))
    # From zero on: negative air would weigh against the patient in moments.
    return sitk.Clamp(image, sitk.sitkFloat32, low, high) - low


def _window(array: np.ndarray[Any, Any]) -> tuple[float, float]:
    # Only CT has numbers far below zero.
    return WINDOW_HU if float(array.min()) < -500 else (0.0, float(np.percentile(array, 99.5)))


_ELASTIX_METRICS = ("AdvancedMattesMutualInformation", "AdvancedMeanSquares", "TransformBendingEnergyPenalty")


def _elastix(case: Path, out: Path, *, threads: int, guided: bool) -> None:
    import itk

    images = [itk.imread(str(case / f"{side}.nii.gz"), itk.F) for side in SIDES]
    for image in images:
        view = itk.array_view_from_image(image)
        np.clip(view, *_window(view), out=view)
    maps = itk.ParameterObject.New()
    for name in ("affine", "bspline"):
        settings = dict(maps.GetDefaultParameterMap(name))
        settings["WriteResultImage"] = ["false"]
        settings["RandomSeed"] = [str(SEED)]
        if guided:
            # As many images as metrics in every stage; of an affine map the penalty is zero.
            settings["Registration"] = ["MultiMetricMultiResolutionRegistration"]
            settings["Metric"] = list(_ELASTIX_METRICS)
            for key in ("FixedImagePyramid", "MovingImagePyramid", "Interpolator", "ImageSampler"):
                settings[key] = [settings[key][0]] * 3
            settings |= {f"Metric{n}Weight": ["1.0"] for n in range(3)}
        maps.AddParameterMap(settings)
    method = itk.ElastixRegistrationMethod[type(images[0]), type(images[1])].New()
    pairs = [images]
    if guided:
        labels = [itk.imread(str(case / f"{side}_labels.nii.gz"), itk.F) for side in SIDES]
        for image in labels:
            view = itk.array_view_from_image(image)
            view[...] = LABEL_SCALE * np.minimum(view, 2.0)
        # The penalty does not look at its image.
        pairs = [images, labels, images]
    for fixed, moving in pairs:
        method.AddFixedImage(fixed)
        method.AddMovingImage(moving)
    method.SetParameterObject(maps)
    # Several metrics with SetNumberOfThreads crash (ITKElastix issue 160): the threads come from the environment.
    method.LogToConsoleOff()
    method.Update()
    transform = method.ConvertToItkTransform(method.GetCombinationTransform())
    itk.transformwrite([transform], str(out / "transform.h5"))


def _ants_images(case: Path) -> Any:
    import ants as library

    library.config._random_seed = SEED
    images = []
    for side in SIDES:
        image = library.image_read(str(case / f"{side}.nii.gz"), pixeltype="float")
        array = image.numpy()
        images.append(image.new_image_like(np.clip(array, *_window(array))))
    return library, *images


def _convexadam(case: Path, out: Path, *, threads: int, guided: bool) -> None:
    import SimpleITK as sitk
    import torch
    from convexAdam import convex_adam_MIND

    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    names = [f"{side}_labels.nii.gz" if guided else f"{side}.nii.gz" for side in SIDES]
    fixed, moving = (sitk.ReadImage(str(case / name), sitk.sitkFloat32) for name in names)
    if not guided:
        fixed, moving = _windowed(fixed), _windowed(moving)
    order = sitk.sitkNearestNeighbor if guided else sitk.sitkLinear
    lowest = float(sitk.GetArrayViewFromImage(moving).min())
    moving = sitk.Resample(moving, fixed, sitk.Transform(), order, lowest)
    arrays = [np.ascontiguousarray(sitk.GetArrayViewFromImage(image).T, np.float32) for image in (fixed, moving)]
    if guided:
        convex_adam_MIND.extract_features = _one_hot
    found = convex_adam_MIND.convex_adam_pt(*arrays, dtype=torch.float32, device=torch.device("cpu"))
    # Voxels of the reference's grid, along its axes, to mm in the world.
    step = np.reshape(fixed.GetDirection(), (3, 3)) * fixed.GetSpacing()
    field = sitk.GetImageFromArray(
        np.ascontiguousarray((found @ step.T).transpose(2, 1, 0, 3), np.float32), isVector=True
    )
    field.CopyInformation(fixed)
    sitk.WriteImage(field, str(out / "transform.nii"))


def _one_hot(img_fixed: Any, img_moving: Any, *_: Any, dtype: Any, **__: Any) -> Any:
    """Ten times the one-hot labels, each weighted by its voxels to the power of -0.3, as convexAdam has it."""
    import torch

    size = int(max(img_fixed.max(), img_moving.max())) + 1
    count = sum(torch.bincount(image.long().reshape(-1), minlength=size) for image in (img_fixed, img_moving))
    present = torch.nonzero(count).reshape(-1)
    weight = count[present].float().pow(-0.3)
    weight = 10 * weight / weight.mean()
    return tuple(
        (torch.stack([image == value for value in present]).to(dtype) * weight.view(-1, 1, 1, 1))[None]
        for image in (img_fixed, img_moving)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", nargs="?", choices=list(METHODS))
    parser.add_argument("case", nargs="?", type=Path, help="folder of a case")
    parser.add_argument("out", nargs="?", type=Path, help="folder for the transform")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--versions", action="store_true")
    options = parser.parse_args()
    if options.versions:
        print(json.dumps(versions()))
        return
    if options.out is None:
        parser.error("give METHOD, CASE and OUT, or --versions")
    options.out.mkdir(parents=True, exist_ok=True)
    # Read when the libraries are loaded, which is when a method runs.
    os.environ |= dict.fromkeys(("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "OMP_NUM_THREADS"), str(options.threads))
    METHODS[options.method](options.case, options.out, threads=options.threads)


if __name__ == "__main__":
    main()
