"""The versions of the data that a result depends on, in addition to the program: protocol, nuclide, kernel, models."""

from __future__ import annotations

import dataclasses
import hashlib
import json

from sirtjax.workflows._products import StepResults
from sirtjax.workflows._setting import DosimetryContext


def data_versions(setting: DosimetryContext, products: StepResults) -> dict[str, str]:
    """Returns the name and version of each data set that was used.

    The protocol has the hash of its content, because a file of the user can have any name.

    Args:
      setting: protocol and nuclide in use.
      products: steps, with the methods of automatic masks and of the registration.
    """
    content = json.dumps(dataclasses.asdict(setting.protocol), sort_keys=True, default=str)
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    found = {
        "protocol": f"{setting.protocol.name}, schema {setting.protocol.schema_version}, SHA-256 {digest}",
        "nuclide record": setting.nuclide.name,
    }
    if setting.nuclide.radial_kernel is not None:
        found["dose kernel"] = setting.nuclide.radial_kernel
    masks = (products.liver, *(products.lesions or ()), products.lungs)
    methods = dict.fromkeys(mask.automatic for mask in masks if mask is not None and mask.automatic is not None)
    if methods:
        found["segmentation"] = ", ".join(methods)
    record = None if products.registration is None else products.registration.record
    if record is not None and record.preset is not None:
        found["registration preset"] = record.preset
    return found
