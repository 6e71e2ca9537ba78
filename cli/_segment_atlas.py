"""`sirtjax segment liver --method atlas`: the liver by registered atlases."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sirtjax.cli import _console
from sirtjax.errors import ConfigError

if TYPE_CHECKING:
    from sirtjax.segmentation import AtlasSegmentation, SegmentationFiles

Fusion = Literal["majority", "weighted", "staple"]
Preset = Literal["image", "descriptor"]
Modality = Literal["CT", "MR"]


@dataclass(frozen=True, kw_only=True)
class AtlasOptions:
    """How atlases are registered and fused."""

    atlas: Path | None
    preset: Preset
    fusion: Fusion
    min_atlases: int
    min_likeness: float
    modality: Modality
    atlas_modality: Modality
    atlas_label: list[int] | None


def liver_by_atlas(
    image: Path, files: SegmentationFiles, options: AtlasOptions, *, series: str | None, force: bool, as_json: bool
) -> None:
    """Register each atlas to the image, fuse their livers, write and print what was found."""
    if options.atlas is None:
        raise ConfigError("--method atlas needs a folder of atlases; give --atlas DIR")
    _console.use_compilation_cache()
    from sirtjax import formats, io, registration, segmentation, spatial

    atlases = segmentation.list_atlases(options.atlas, values=options.atlas_label)
    if options.fusion == "staple" and len(atlases) < segmentation.STAPLE_LEAST:
        raise ConfigError(
            f"{options.atlas}: {len(atlases)} atlases, but STAPLE needs {segmentation.STAPLE_LEAST}; "
            "choose another --fusion"
        )
    config = registration.load_preset(options.preset)
    with _console.progress("segment liver") as report:
        report("reading")
        patient = formats.read_image(image, series=series, modality=options.modality).volume
        found = segmentation.segment_liver_by_atlas(
            patient,
            (segmentation.read_atlas(one, modality=options.atlas_modality) for one in atlases),
            config=config,
            register=registration.register,
            fusion=options.fusion,
            min_atlases=options.min_atlases,
            min_likeness=options.min_likeness,
            report=report,
        )
        report("writing")
        if files.probability is not None:
            likely = spatial.resample(found.probability, patient.geometry, fill=0.0)
            io.write_nifti(files.probability, likely, force=force)
        if files.preview is not None:
            from sirtjax.reports import write_preview

            title = f"liver {found.volume_ml:.0f} mL by {found.fusion} fusion of atlases; automatic, not verified"
            write_preview(files.preview, patient, found.liver, title=title, force=force)
        io.write_labels(files.labels, found.liver, force=force)
    for one in found.atlases:
        if not one.used:
            _console.note(f"atlas {one.name} left out: {one.status}, {one.cause}")
    for line in found.notes:
        _console.note(f"note: {line}")
    if as_json:
        _console.emit_json(_as_json(found, options.preset, files))
    else:
        _print(found, files.labels)


def _as_json(found: AtlasSegmentation, preset: str, files: SegmentationFiles) -> dict[str, Any]:
    pairs = _pairs(found)
    return {
        "method": "atlas",
        "preset": preset,
        "fusion": found.fusion,
        "volume_ml": found.volume_ml,
        "threshold": found.threshold,
        "agreement": {
            "dsc_mean": sum(pairs) / len(pairs) if pairs else None,
            "dsc_min": min(pairs) if pairs else None,
        },
        "atlases": [asdict(one) for one in found.atlases],
        "notes": list(found.notes),
        "seconds": found.seconds,
        "output": str(files.labels),
        "probability": None if files.probability is None else str(files.probability),
        "preview": None if files.preview is None else str(files.preview),
    }


def _pairs(found: AtlasSegmentation) -> list[float]:
    """DSC of each atlas used with each other one."""
    count = len(found.agreement_dsc)
    return [float(found.agreement_dsc[a, b]) for a in range(count) for b in range(a)]


def _print(found: AtlasSegmentation, output: Path) -> None:
    rows = []
    for one in found.atlases:
        numbers = (one.likeness, one.weight, one.sensitivity, one.specificity, one.dsc)
        rows.append([one.name, one.status, *("" if n is None else f"{n:.3f}" for n in numbers), f"{one.seconds:.1f}"])
    columns = ["atlas", "status", "likeness", "weight", "sensitivity", "specificity", "DSC with result", "s"]
    pairs = _pairs(found)
    agreement = f", atlases among themselves DSC {sum(pairs) / len(pairs):.3f}" if pairs else ""
    _console.emit_table(
        f"liver {found.volume_ml:.0f} mL by {found.fusion} fusion of {len(found.agreement_dsc)} atlases{agreement}",
        columns,
        rows,
    )
    _console.note(f"written to {output}")
