"""`sirtjax segment liver|lesions|lungs|body`: one structure of an image, by a network or by HU."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sirtjax.cli import _console
from sirtjax.errors import ConfigError, ModelError

if TYPE_CHECKING:
    import jax

    from sirtjax.segmentation import LesionLiver, Model, Segmentation, SegmentationFiles, Structure
    from sirtjax.volume import LabelMap, Volume

# The models that come with the package, or that a site has imported under these names.
DEFAULT_MODELS = {"liver": "liver", "lesions": "lesions"}
# Maps are written in this many steps from zero to one.
STEPS = 1024


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the verbs share."""

    model: str | None
    modality: Literal["CT", "MR"] | None
    series: str | None
    device: str | None
    mirror: bool
    force: bool
    as_json: bool
    liver: Path | None = None
    liver_name: str | None = None
    minimum_ml: float | None = None


def segment_structure(image: Path, structure: Structure, files: SegmentationFiles, options: Options) -> None:
    """Read the image, find the structure, write and print what was found."""
    _console.use_compilation_cache()
    from sirtjax import formats, segmentation

    timings = {}
    with _console.progress(f"segment {structure}") as report:
        devices = chosen_devices(options.device)
        model = _model(structure, options.model)
        report("reading")
        began = time.perf_counter()
        read = formats.read_image(image, series=options.series, modality=options.modality or ("CT", "MR"))
        timings["read"] = time.perf_counter() - began
        volume, modality = read.volume, options.modality or read.source.modality
        liver: LesionLiver | None = None
        if model is None:
            found = segmentation.segment_body(volume) if structure == "body" else segmentation.segment_lungs(volume)
        else:

            def run(one: Model, what: Structure, within: LabelMap | None = None) -> Segmentation:
                return segmentation.segment(
                    volume,
                    one,
                    structure=what,
                    modality=modality,
                    mirror=options.mirror,
                    liver=within,
                    minimum_ml=options.minimum_ml if what == structure else None,
                    maps=files.probability is not None,
                    devices=devices,
                    progress=lambda done, total: report(f"network, {done} of {total}"),
                )

            if structure == "lesions":
                liver = segmentation.liver_for_lesions(options.liver, options.liver_name, read, model, run)
                _tell_liver(liver)
            found = run(model, structure, None if liver is None else liver.labels)
        report("writing")
        began = time.perf_counter()
        _write(found, volume, structure, files, force=options.force)
        timings = {**timings, **found.timings_s, "write": time.perf_counter() - began}
    for flag in found.flags:
        _console.note(f"look at it: {flag.message} [{flag.code}]")
    if options.as_json:
        described = {} if liver is None else {"liver": liver.described()}
        _console.emit_json(_as_json(found, structure, files, timings, model) | described)
    else:
        _print(found, structure, timings, files)


def chosen_devices(name: str | None) -> list[jax.Device] | None:
    """All devices of the kind asked for; None for JAX's own choice.

    Raises:
      ConfigError: there is none of this kind here.
    """
    import jax

    if name is None:
        return None
    try:
        return list(jax.devices(name))
    except RuntimeError as error:
        kinds = ", ".join(sorted({device.platform for device in jax.devices()} | {"cpu"}))
        raise ConfigError(f"--device {name}: there is none here, JAX finds {kinds}; choose one of those") from error


def _model(structure: Structure, name: str | None) -> Model | None:
    """The model to run; None for what needs none."""
    from sirtjax import segmentation

    if name is not None:
        return segmentation.load_model(name)
    if structure not in DEFAULT_MODELS:
        return None
    default = DEFAULT_MODELS[structure]
    if any(entry.name == default for entry in segmentation.models()):
        return segmentation.load_model(default)
    raise ModelError(
        f"no model for {structure} is installed; sirtjax models import takes an nnU-Net or MONAI model that you have "
        f"(name it {default}), or give --model"
    )


def _tell_liver(liver: LesionLiver) -> None:
    if liver.method is None:
        return
    _console.note(
        f"lesions are looked for in a draft of the liver by the model {liver.method!r}, {liver.volume_ml:.0f} mL, that "
        "nobody has looked at; to use another, give --liver MASK"
    )
    for flag in liver.flags:
        _console.note(f"look at the liver: {flag.message} [{flag.code}]")


def _write(found: Segmentation, volume: Volume, structure: str, files: SegmentationFiles, *, force: bool) -> None:
    from sirtjax import io
    from sirtjax.reports import write_preview

    if files.probability is not None and structure in found.probabilities:
        io.write_nifti(files.probability, _rounded(found.probabilities[structure], volume), force=force)
    if files.uncertainty is not None and found.uncertainty is not None:
        io.write_nifti(files.uncertainty, _rounded(found.uncertainty, volume), force=force)
    if files.preview is not None:
        title = "; ".join([f"{structure} {found.volumes_ml[structure]:.0f} mL by {found.method}", *_warnings(found)])
        write_preview(files.preview, volume, found.labels, title=title, force=force)
    io.write_labels(files.labels, found.labels, force=force)


def _rounded(likely: Volume, image: Volume) -> Volume:
    """A map on the image's grid in steps of 1/1024: what lies below is interpolation, and takes most of the file."""
    import numpy as np

    from sirtjax import segmentation

    on_image = segmentation.on_image(likely, image.geometry)
    np.round(on_image.array * np.float32(STEPS), out=on_image.array)
    on_image.array[...] /= STEPS
    return on_image


def _warnings(found: Segmentation) -> list[str]:
    return [flag.message for flag in found.flags] + ["automatic, not verified"]


def _as_json(
    found: Segmentation, structure: str, files: SegmentationFiles, timings: dict[str, float], model: Model | None
) -> dict[str, Any]:
    return {
        "structure": structure,
        "method": found.method,
        "model": None
        if model is None
        else {"name": model.spec.name, "source": model.spec.source, "licence": model.spec.licence},
        "verified": False,
        "volume_ml": found.volumes_ml[structure],
        "flags": [{"code": flag.code, "message": flag.message} for flag in found.flags],
        "quality": described_quality(found),
        "timings_s": {stage: round(seconds, 4) for stage, seconds in timings.items()},
        "output": str(files.labels),
        "probability": _told(files.probability),
        "uncertainty": _told(files.uncertainty),
        "preview": _told(files.preview),
    }


def described_quality(found: Segmentation) -> dict[str, Any] | None:
    """The estimated agreement of a liver with the true one; None where the model has no calibration."""
    quality = found.quality
    if quality is None:
        return None
    return {
        "estimated_dsc": round(quality.dsc, 3),
        "interval_90": [round(quality.low, 3), round(quality.high, 3)],
        "limit": quality.limit,
        "doubtful": quality.doubtful,
        "reasons": list(quality.reasons),
        "evidence": {name: round(value, 4) for name, value in quality.evidence.items()},
    }


def _told(path: Path | None) -> str | None:
    return str(path) if path is not None and path.exists() else None


def _print(found: Segmentation, structure: str, timings: dict[str, float], files: SegmentationFiles) -> None:
    rows = [["found by", found.method]]
    if found.quality is not None:
        rows.append(["estimated DSC", f"{found.quality.dsc:.2f} ({found.quality.low:.2f} to {found.quality.high:.2f})"])
    rows += [[stage, f"{seconds:.2f} s"] for stage, seconds in timings.items()]
    rows.append(["in all", f"{sum(timings.values()):.2f} s"])
    _console.emit_table("automatic, not verified", [structure, f"{found.volumes_ml[structure]:.1f} mL"], rows)
    _console.note(f"written to {files.labels}")
