from __future__ import annotations

import hashlib
from pathlib import Path

import sirtjax
from sirtjax.dicom.reference._object import new_object, referenced, save_object, short_text
from sirtjax.dicom.reference._series import Reference
from sirtjax.errors import InputError

PDF_CLASS = "1.2.840.10008.5.1.4.1.1.104.1"
_SERIES_NUMBER = 9500
_MAX_TITLE = 64
# The end of a PDF may be followed by a few line ends.
_TAIL_BYTES = 1024


def write_encapsulated_pdf(
    path: str | Path, pdf: bytes, reference: Reference, *, title: str, force: bool = False
) -> Path:
    """Writes a PDF document into the patient's study, as an Encapsulated PDF object.

    Args:
      path: file to write.
      pdf: content of the document.
      reference: series that the document refers to; the object is stored in its study.
      title: title of the document and the object's series.
      force: replace an existing file.

    Returns:
      The file.

    Raises:
      InputError: the bytes are not a complete PDF, or DICOM cannot store the title.
      OutputError: the file exists already, or its place refuses writing.
    """
    if not pdf.startswith(b"%PDF-") or b"%%EOF" not in pdf[-_TAIL_BYTES:]:
        raise InputError(
            f"the report of {len(pdf)} bytes is not a complete PDF (expected %PDF- at its start, %%EOF at its end); "
            "create it again"
        )
    dataset = new_object(
        reference,
        sop_class_uid=PDF_CLASS,
        modality="DOC",
        content=hashlib.sha256(pdf + title.encode()).hexdigest(),
        series_number=_SERIES_NUMBER,
        description=title,
    )
    # A document has no place in space.
    del dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator
    dataset.DeviceSerialNumber = sirtjax.__version__
    dataset.ConversionType = "WSD"
    dataset.ContentDate, dataset.ContentTime = dataset.InstanceCreationDate, dataset.InstanceCreationTime
    dataset.AcquisitionDateTime = None
    dataset.BurnedInAnnotation = "YES"
    dataset.SourceInstanceSequence = [referenced(str(h.SOPClassUID), str(h.SOPInstanceUID)) for h in reference.headers]
    dataset.DocumentTitle = short_text(title, what="document's title", longest=_MAX_TITLE)
    dataset.ConceptNameCodeSequence = []
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    # In the file the document gets an even number of bytes; the length says where it ends.
    dataset.EncapsulatedDocumentLength = len(pdf)
    dataset.EncapsulatedDocument = pdf
    return save_object(dataset, path, force=force)
