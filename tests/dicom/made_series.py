"""Small DICOM series made by hand, each tag where the standard has it."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SOP_CLASS = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "NM": "1.2.840.10008.5.1.4.1.1.20",
}


def base(modality, pixels, **tags):
    """A data set with pixels (frames,) rows, columns and no place in space."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = SOP_CLASS[modality]
    data.SOPInstanceUID = generate_uid()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.Modality = modality
    data.PatientName, data.PatientID, data.PatientBirthDate = "SECRET^NAME", "SECRET-ID", "19330405"
    data.SeriesInstanceUID, data.StudyInstanceUID = "1.2.3.4", "1.2.3"
    data.FrameOfReferenceUID = "1.2.3.9"
    data.SeriesDescription = f"a {modality}"
    data.Rows, data.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        data.NumberOfFrames = pixels.shape[0]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    data["PixelData"].VR = "OW"
    for keyword, value in tags.items():
        setattr(data, keyword, value)
    return data


def slices(
    array,
    *,
    modality="CT",
    spacing=(2.0, 1.5, 3.0),
    origin=(-20.0, 10.0, 100.0),
    axes=((1, 0, 0), (0, 1, 0)),
    step=None,
    positions=None,
    **tags,
):
    """One data set per k of a stored (i, j, k) array."""
    row, column = np.asarray(axes, float)
    step = np.cross(row, column) * spacing[2] if step is None else np.asarray(step, float)
    made = []
    for k in range(array.shape[2]):
        place = np.asarray(origin, float) + k * step if positions is None else positions[k]
        data = base(
            modality,
            np.ascontiguousarray(array[:, :, k].T),
            ImagePositionPatient=[f"{x:.8g}" for x in place],
            ImageOrientationPatient=[f"{x:.10g}" for x in (*row, *column)],
            PixelSpacing=[spacing[1], spacing[0]],
            SliceThickness=spacing[2],
            InstanceNumber=k + 1,
        )
        if modality in ("CT", "PT"):
            data.RescaleSlope, data.RescaleIntercept = 1, -1024 if modality == "CT" else 0
        if modality == "PT":
            data.Units = "BQML"
        for keyword, value in tags.items():
            setattr(data, keyword, value[k] if isinstance(value, list) and len(value) == array.shape[2] else value)
        made.append(data)
    return made


def save(datasets, folder, *, prefix="s"):
    """Write them in an order of names that runs against the positions; returns the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    count = len(datasets)
    for n, data in enumerate(datasets):
        data.save_as(folder / f"{prefix}{count - n:03d}.dcm", enforce_file_format=True)
    return folder


class Maker:
    """The functions above, for tests that can't import this file."""

    base = staticmethod(base)
    slices = staticmethod(slices)
    save = staticmethod(save)
    Dataset = Dataset
    Sequence = Sequence
    read = staticmethod(pydicom.dcmread)
