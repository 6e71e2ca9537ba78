"""The systems of `joint.py`: each gives the liver on the low-dose CT, and those that register a transform."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joint_cases import GRID, Case, as_labels

from sirtjax import io, registration, registration_networks, segmentation, spatial
from sirtjax.errors import ConfigError, SirtjaxError
from sirtjax.registration import RegistrationConfig, RegistrationResult, Status
from sirtjax.spatial import Transform
from sirtjax.volume import Volume

PEERS = Path(__file__).with_name("registration_peers.py")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a system returned.

    Attributes:
      liver: (i, j, k) liver on the low-dose CT; None if the system refused.
      transform: transform from the low-dose CT to the diagnostic image; None for a system without one.
      status: status of the registration, or the refusal.
      flagged: whether the system warns of its result.
      wall_s, cpu_s: time of the system, including child processes.
    """

    liver: np.ndarray | None
    transform: Transform | None
    status: str
    flagged: bool
    wall_s: float
    cpu_s: float


System = Callable[[Case], tuple[np.ndarray | None, Transform | None, str, bool]]


def answer(system: System, case: Case) -> Answer:
    """Runs a system on a case and measures its time."""
    wall, cpu = time.perf_counter(), _cpu_s()
    liver, transform, status, flagged = system(case)
    return Answer(
        liver=liver, transform=transform, status=status, flagged=flagged,
        wall_s=time.perf_counter() - wall, cpu_s=_cpu_s() - cpu,
    )  # fmt: skip


def systems(
    *, regsegnet: Path | None, velocity: Path | None, deepmedic: Path | None, elastix: Path | None
) -> Mapping[str, System]:
    """Returns the systems by name; those whose model or program is not given are omitted.

    Args:
      regsegnet: folder of a registration network of images only.
      velocity: folder of a registration network to use instead of the bundled one.
      deepmedic: folder of a segmentation model of the DeepMedic recipe.
      elastix: Python with itk-elastix.
    """
    model = segmentation.load_model("liver")
    found: dict[str, System] = {
        "affine (start)": _registering(_preset("image", "deformable.model=none")),
        "liver model only": _segmenting(model),
    }
    if deepmedic is not None:
        found["DeepMedic recipe"] = _segmenting(segmentation.load_model(deepmedic))
    if elastix is not None:
        found["elastix"] = lambda case: _carried(case, by_elastix(case, elastix), "", flagged=False)
        found["two-phase, elastix"] = _two_phase(model, elastix=elastix)
    found["two-phase, sirtjax"] = _two_phase(model)
    if regsegnet is not None:
        found["RegSegNet"] = _registering(_preset("network", f'network.model="{regsegnet}"'), masks=False)
    own = () if velocity is None else (f'network.model="{velocity}"',)
    if velocity is not None or registration_networks.list_registration_models():
        found["network (velocity)"] = _registering(_preset("network", *own))
        found["network-refined"] = _registering(_preset("network-refined", *own))
    found["cnn"] = _registering(_preset("cnn"), needs_masks=True)
    found["image"] = _registering(_preset("image"), masks=False)
    return found


def _preset(name: str, *changes: str) -> RegistrationConfig:
    return registration.apply_overrides(registration.load_preset(name), changes)


def _segmenting(model: segmentation.Model) -> System:
    def run(case: Case) -> tuple[np.ndarray | None, Transform | None, str, bool]:
        found = segmentation.segment(case.reference, model, structure="liver")
        return found.labels.mask("liver"), None, "", bool(found.flags)

    return run


def _registering(config: RegistrationConfig, *, masks: bool = True, needs_masks: bool = False) -> System:
    def run(case: Case) -> tuple[np.ndarray | None, Transform | None, str, bool]:
        given = case.masks() if masks else {}
        if needs_masks and not all(given.values()):
            return None, None, "refused: no liver", True
        try:
            result = registration.register(case.reference, case.floating, config=config, **given)
        except ConfigError as error:  # a kind of image that the network did not learn
            return None, None, f"refused: {error}", True
        return _carried(case, result.transform, _name(result.status), flagged=result.status is not Status.SUCCESS)

    return run


def _carried(
    case: Case, transform: Transform, status: str, *, flagged: bool
) -> tuple[np.ndarray, Transform, str, bool]:
    """The true diagnostic liver through a transform: what a person contoured, carried by the registration."""
    carried = spatial.occupancy(as_labels(case.true_floating), "liver", GRID, transform=transform)
    return np.asarray(carried) > 0.5, transform, status, flagged


def _two_phase(model: segmentation.Model, *, elastix: Path | None = None) -> System:
    def run(case: Case) -> tuple[np.ndarray | None, Transform | None, str, bool]:
        def registered(*images: Volume, config: RegistrationConfig) -> RegistrationResult:
            assert elastix is not None
            return RegistrationResult(
                transform=by_elastix(case, elastix), affine=spatial.identity(), status=Status.SUCCESS, notes=(),
                stages=(), folding_fraction=0.0, quality={}, config=config,
            )  # fmt: skip

        try:
            made = segmentation.segment_liver_by_diagnostic(
                case.reference, case.floating, model, config=_preset("image"), liver=case.floating_liver,
                diagnostic_modality=case.modality, register=registration.register if elastix is None else registered,
            )  # fmt: skip
        except SirtjaxError as error:
            return None, None, f"refused: {error}", True
        status = "" if elastix is not None else _name(made.registration.status)
        return made.found.labels.mask("liver"), made.registration.transform, status, bool(made.found.flags)

    return run


def by_elastix(case: Case, python: Path) -> Transform:
    """Registers by elastix with its default affine and B-spline parameter maps, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for name, volume in (("reference", case.reference), ("floating", case.floating)):
            io.write_nifti(Path(folder) / f"{name}.nii.gz", volume)
        subprocess.run(
            [str(python), str(PEERS), "elastix", folder, folder, "--threads", "1"],
            check=True, capture_output=True, env={**os.environ, "PYTHONPATH": ""},
        )  # fmt: skip
        return io.read_transform(Path(folder) / "transform.h5", reference=GRID)


def _name(status: Status) -> str:
    return status.name.lower().replace("_", " ")


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
