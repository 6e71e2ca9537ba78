"""A plan's folder under review: its masks with their versions, its scenes, and their description for the page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sirtjax import io, spatial
from sirtjax.errors import ConfigError, ImageFormatError
from sirtjax.parsing import parse_json
from sirtjax.review._contour_map import contour_map
from sirtjax.review._masks import Frame, ReviewMask, by_key, plan_masks
from sirtjax.review._replan import REVIEW, Replanning, reviewed_products
from sirtjax.review._request_error import RequestError
from sirtjax.review._scene import (
    ReviewScene,
    frame_image,
    from_page,
    packed,
    plan_scenes,
    scene_dose,
    scene_image,
    to_page,
    warped_image,
)
from sirtjax.review._versions import (
    History,
    SignedState,
    Version,
    first_history,
    read_history,
    read_version,
    save_version,
    sign_version,
)
from sirtjax.volume import LabelMap, Volume

if TYPE_CHECKING:
    from sirtjax.dicom import Approval
    from sirtjax.workflows import StepResults

LATTICE_MM = 12.0
# Plans with the masks as they are now, writes the folder, and calls back with each step's name.
Replan = Callable[["StepResults", Callable[[str], None]], None]


class Session:
    """One folder under review. Its methods may be called from any thread.

    Args:
      folder: folder that `sirtjax plan` or `verify` wrote.
      products: the steps in it, with images, liver and registration.
      replan: plans again and writes the folder.
    """

    def __init__(self, folder: Path, products: StepResults, replan: Replan) -> None:
        if products.images is None or products.registration is None:
            raise ConfigError(
                f"{folder}: its steps are not complete; create a plan first: sirtjax plan CASE.toml -o OUT"
            )
        self.folder = folder
        self.products = products
        self.images = products.images
        self.transform = products.registration.transform
        self.masks = by_key(plan_masks(products))
        self.scenes = {scene.key: scene for scene in self._planned_scenes()}
        self.replanning = Replanning(self.replan_now)
        self._replan = replan
        self._lock = threading.RLock()
        self._kept: dict[tuple[str, ...], bytes] = {}
        self._first: dict[str, History] = {}
        self._inverse: spatial.Transform | None = None
        self._dose: Volume | None = None
        self._results()  # a folder without results is refused now, not once the page is open

    def _planned_scenes(self) -> tuple[ReviewScene, ...]:
        return plan_scenes(tuple(self.masks.values()), self.images, transform=self.transform)

    def describe(self) -> dict[str, object]:
        """Returns everything that the page shows before it loads images."""
        results = self._results()
        return {
            "patient": results["patient_id"],
            "kind": results["kind"],
            "protocol": results["protocol_title"],
            "created": results["provenance"]["created"],
            "unreviewed_masks": results.get("unreviewed_masks", []),
            "injections": [{key: row[key] for key in ("territory", "activity_mbq")} for row in results["injections"]],
            "registered": self.images.diagnostic is not None,
            "where_to_check": results.get("where_to_check"),
            "masks": [self.describe_mask(key) for key in self.masks],
            "scenes": [self._describe_scene(scene) for scene in self.scenes.values()],
        }

    def describe_mask(self, key: str) -> dict[str, object]:
        """Returns a mask's state and versions."""
        mask, history = self._mask(key), self._history(key)
        state, reason = history.state()
        scene = self._scene_of(key)
        return {
            "key": key,
            "name": mask.name,
            "role": mask.role,
            "frame": mask.frame,
            "origin": mask.origin,
            "labels": [[value, name] for value, name in mask.labels.names],
            "scene": None if scene is None else scene.key,
            "state": state,
            "reason": reason,
            "sha256": history.current.sha256,
            "versions": [asdict(one) for one in history.versions],
            "signatures": [asdict(one) for one in history.signatures],
        }

    def mask_bytes(self, key: str, *, version: int | None = None) -> tuple[bytes, str]:
        """Returns a version of a mask (default: the newest) for its scene, as .nii.gz.

        Also returns the SHA-256 of the newest version.

        Raises:
          RequestError: (404) there is no such version.
        """
        with self._lock:
            history = self._history(key)
            wanted = history.current.number if version is None else version
            found = next((one for one in history.versions if one.number == wanted), None)
            if found is None:
                raise RequestError(404, f"the mask has no version {wanted}")
            labels = self._read(key, found)
            return packed(to_page(self._required_scene(key), labels)), history.current.sha256

    def warped_mask_bytes(self, key: str, scene_key: str) -> bytes:
        """Returns a mask of another scene, warped to this one for display, as .nii.gz."""
        with self._lock:
            mask, scene = self._mask(key), self._scene(scene_key)
            labels = self._newest(key)
            pull = self._pull(scene.frame, mask.frame)
            return packed(spatial.resample_labels(labels, scene.geometry, transform=pull))

    def image_bytes(self, scene_key: str) -> bytes:
        """Returns the image of a scene as .nii.gz."""
        scene = self._scene(scene_key)
        image = frame_image(self.images, scene.frame)
        return self._cached(("image", scene_key), lambda: packed(scene_image(scene, image)))

    def dose_bytes(self, scene_key: str) -> bytes:
        """Returns the dose of the plan on a scene as .nii.gz; its unit in the header is the step in Gy."""
        scene = self._scene(scene_key)

        def make() -> bytes:
            steps, step_gy = scene_dose(scene, self._dose_gy(), self._pull(scene.frame, "activity"))
            return packed(Volume(steps, scene.geometry, unit=f"{step_gy:.9g} Gy"))

        return self._cached(("dose", scene_key), make)

    def histograms(self, key: str, *, voxels: bytes | None = None, grid: str = "") -> dict[str, object]:
        """Returns volume, mean, D70 and curve of each label of a mask, as in the report.

        None outside the dose.

        Args:
          key: key of the mask.
          voxels: edited mask, one byte per voxel of its scene; None for the newest version.
          grid: fingerprint of the scene's grid, with `voxels`.

        Raises:
          RequestError: (422) the voxels are on another grid.
        """
        from sirtjax.workflows import voi_histogram

        with self._lock:
            mask, labels = self._mask(key), self._newest(key)
            if voxels is not None:
                scene = self._required_scene(key)
                if grid != scene.fingerprint:
                    raise RequestError(422, "the mask is on another grid than this folder's; load the page again")
                labels = LabelMap(from_page(scene, voxels, labels), labels.geometry, names=labels.names)
            dose, pull = self._dose_gy(), self._pull("activity", mask.frame)
        activity = self.images.activity.volume.geometry
        found = {name: voi_histogram(labels, name, dose, activity, transform=pull) for _, name in labels.names}
        return {"vois": {name: None if one is None else asdict(one) for name, one in found.items()}}

    def _dose_gy(self) -> Volume:
        """The dose of the plan, read once per plan."""
        if self._dose is None:
            self._dose = io.read_nifti(self.folder / "dose.nii.gz", unit="Gy").volume
        return self._dose

    def other_image_bytes(self, scene_key: str, *, registered: bool) -> bytes:
        """Returns the diagnostic image on a scene of the activity image, before or after the registration.

        Raises:
          RequestError: (404) there is no diagnostic image, or the scene is its own.
        """
        scene = self._scene(scene_key)
        diagnostic = self.images.diagnostic
        if diagnostic is None or scene.frame != "activity":
            raise RequestError(404, "there is no registration to show")
        transform = self.transform if registered else None
        make = lambda: packed(warped_image(scene, diagnostic.volume, transform))  # noqa: E731
        return self._cached(("other", scene_key, str(registered)), make)

    def deformation(self, scene_key: str) -> dict[str, object]:
        """Returns the motion of lattice points by the transform beyond its best affine map, in voxels.

        The lattice is that of the scene; a shift, turn or stretch of the whole would carry it off the screen.

        Raises:
          RequestError: (404) there is no registration to show.
        """
        scene = self._scene(scene_key)
        if self.images.diagnostic is None or scene.frame != "activity":
            raise RequestError(404, "there is no registration to show")
        shape, spacing = np.asarray(scene.geometry.shape), np.asarray(scene.geometry.spacing_mm)
        counts = np.maximum(np.floor((shape - 1) * spacing / LATTICE_MM).astype(int) + 1, 2)
        axes = [np.linspace(0, n - 1, c) for n, c in zip(shape, counts, strict=True)]
        index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        points = scene.geometry.to_world(index)
        moved = np.asarray(spatial.transform_points(self.transform, points.astype(np.float32)), np.float64)
        design = np.concatenate([points, np.ones((len(points), 1))], axis=1)
        affine, *_ = np.linalg.lstsq(design, moved, rcond=None)
        bent = scene.geometry.to_voxel(points + moved - design @ affine)
        return {"shape": counts.tolist(), "voxels": np.round(bent, 2).ravel().tolist()}

    def contour_map(self, scene_key: str) -> dict[str, object]:
        """Returns the effect of contours on the dose on a scene; see `_contour_map.contour_map`."""
        scene = self._scene(scene_key)
        return contour_map(self.folder, scene, self._pull(scene.frame, "activity"))

    def voxel_count(self, key: str) -> int:
        """Returns how many voxels the page sends of a mask.

        Raises:
          RequestError: (404) there is no such mask, or no scene shows it.
        """
        self._mask(key)
        return int(np.prod(self._required_scene(key).geometry.shape))

    def save(self, key: str, voxels: bytes, *, author: str, if_match: str, grid: str) -> dict[str, object]:
        """Saves the page's mask as a new version.

        Args:
          key: key of the mask.
          voxels: one byte per voxel of its scene, the first axis fastest.
          author: name of the reviewer.
          if_match: SHA-256 of the version before the edit.
          grid: fingerprint of the scene's grid.

        Raises:
          RequestError: (412) a newer version was saved; (422) the voxels are on another grid; (409) planning is in
            progress.
        """
        with self._lock:
            self.replanning.check_idle()
            scene, mask = self._required_scene(key), self._mask(key)
            if grid != scene.fingerprint:
                raise RequestError(422, "the mask is on another grid than this folder's; load the page again")
            array = from_page(scene, voxels, self._newest(key))
            save_version(self._folder(key), mask, array, author=author, if_match=if_match)
            return self.describe_mask(key)

    def sign(
        self, key: str, state: SignedState, *, reviewer: str, if_match: str, comment: str = ""
    ) -> dict[str, object]:
        """Signs the newest version as verified or rejected.

        Args:
          key: key of the mask.
          state: decision of the reviewer, "verified" or "rejected".
          reviewer: name of the reviewer.
          if_match: SHA-256 of the version that was reviewed.
          comment: free text.

        Raises:
          RequestError: (412) the newest version is not the one that the reviewer saw; (409) planning is in progress.
        """
        with self._lock:
            self.replanning.check_idle()
            folder, mask = self._folder(key), self._mask(key)
            sign_version(folder, mask, state, reviewer=reviewer, if_match=if_match, comment=comment)
            return self.describe_mask(key)

    def reviewed(self) -> StepResults:
        """Returns the products with the newest version of each mask and its review state."""
        with self._lock:
            found: dict[str, tuple[ReviewMask, LabelMap, History]] = {}
            for key, mask in self.masks.items():
                history = read_history(self._folder(key))
                if history is not None:
                    found[key] = (mask, self._read(key, history.current), history)
            return reviewed_products(self.products, found)

    def approval(self) -> Approval | None:
        """Returns the last signature if the newest version of every mask is verified, otherwise None."""
        from sirtjax.dicom import Approval

        with self._lock:
            signed = [self._history(key).signature() for key in self.masks]
        words = [one for one in signed if one is not None and one.state == "verified"]
        if not words or len(words) < len(signed):
            return None
        last = max(words, key=lambda one: one.signed_at)
        return Approval(reviewer=last.reviewer, at=datetime.fromisoformat(last.signed_at), verified=True)

    def replan_now(self, on_step: Callable[[str], None]) -> None:
        """Plans again with the current masks, and returns when it is done."""
        self._replan(self.reviewed(), on_step)
        with self._lock:
            self._dose = None
            for kept in [kept for kept in self._kept if kept[0] == "dose"]:
                del self._kept[kept]

    def _results(self) -> dict[str, Any]:
        path = self.folder / "results.json"
        try:
            table = parse_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ImageFormatError(
                f"{path}: cannot be read ({error}); use a folder that sirtjax plan or verify wrote"
            ) from error
        if not isinstance(table, dict):
            raise ImageFormatError(f"{path}: not a table of results; plan into this folder again")
        return table

    def _describe_scene(self, scene: ReviewScene) -> dict[str, object]:
        image = frame_image(self.images, scene.frame)
        is_hu = image.volume.unit == "HU"
        return {
            "key": scene.key,
            "frame": scene.frame,
            "shape": list(scene.geometry.shape),
            "spacing_mm": list(scene.geometry.spacing_mm),
            "voxel_ml": scene.geometry.voxel_volume_ml,
            "grid": scene.fingerprint,
            "masks": list(scene.masks),
            "unit": "HU" if is_hu else "",
            "compare": self.images.diagnostic is not None and scene.frame == "activity",
            "other_unit": "HU" if self.images.diagnostic and self.images.diagnostic.volume.unit == "HU" else "",
        }

    def _newest(self, key: str) -> LabelMap:
        return self._read(key, self._history(key).current)

    def _read(self, key: str, version: Version) -> LabelMap:
        folder, mask = self._folder(key), self._mask(key)
        if read_history(folder) is None:
            return mask.labels
        return read_version(folder, version, mask)

    def _history(self, key: str) -> History:
        found = read_history(self._folder(key))
        if found is not None:
            return found
        if key not in self._first:
            self._first[key] = first_history(self._mask(key))
        return self._first[key]

    def _folder(self, key: str) -> Path:
        return self.folder / REVIEW / key

    def _mask(self, key: str) -> ReviewMask:
        if key not in self.masks:
            raise RequestError(404, "there is no such mask")
        return self.masks[key]

    def _scene(self, key: str) -> ReviewScene:
        if key not in self.scenes:
            raise RequestError(404, "there is no such scene")
        return self.scenes[key]

    def _scene_of(self, key: str) -> ReviewScene | None:
        return next((scene for scene in self.scenes.values() if key in scene.masks), None)

    def _required_scene(self, key: str) -> ReviewScene:
        scene = self._scene_of(key)
        if scene is None:
            raise RequestError(404, "the mask does not belong to a scene")
        return scene

    def _pull(self, to: Frame, of: Frame) -> spatial.Transform | None:
        """The map from points of one frame to those of another."""
        if to == of or self.images.diagnostic is None:
            return None
        if to == "activity":
            return self.transform
        if self._inverse is None:
            self._inverse = spatial.invert(self.transform)
        return self._inverse

    def _cached(self, name: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
        with self._lock:
            if name not in self._kept:
                self._kept[name] = make()
            return self._kept[name]
