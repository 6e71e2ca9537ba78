import pydicom
import pytest

from sirtjax.dicom import write_encapsulated_pdf
from sirtjax.errors import InputError, OutputError

# The smallest whole PDF: one empty page.
PAGE = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)


def document(length):
    return PAGE + b"\n" * (length - len(PAGE))


@pytest.mark.parametrize("length", [len(PAGE), len(PAGE) + 1])
def test_the_document_is_there_to_the_byte(ct, tmp_path, length):
    path = write_encapsulated_pdf(tmp_path / "report.dcm", document(length), ct, title="SIRT treatment plan")
    written = pydicom.dcmread(path)
    assert written.EncapsulatedDocument[: written.EncapsulatedDocumentLength] == document(length)
    assert len(written.EncapsulatedDocument) == length + length % 2
    assert (written.SOPClassUID, written.Modality) == ("1.2.840.10008.5.1.4.1.1.104.1", "DOC")
    assert written.MIMETypeOfEncapsulatedDocument == "application/pdf" and written.BurnedInAnnotation == "YES"
    assert written.DocumentTitle == written.SeriesDescription == "SIRT treatment plan"


def test_it_files_under_the_patient_and_names_its_images(ct, tmp_path):
    written = pydicom.dcmread(write_encapsulated_pdf(tmp_path / "report.dcm", PAGE, ct, title="plan"))
    assert (written.PatientID, written.StudyInstanceUID) == ("PHANTOM-7", ct.study_uid)
    assert written.SeriesInstanceUID != ct.series_uid and "FrameOfReferenceUID" not in written
    sources = [item.ReferencedSOPInstanceUID for item in written.SourceInstanceSequence]
    assert sources == [header.SOPInstanceUID for header in ct.headers]


def test_the_same_document_is_the_same_object(ct, tmp_path):
    def uid(pdf, title="plan"):
        path = write_encapsulated_pdf(tmp_path / "report.dcm", pdf, ct, title=title, force=True)
        return pydicom.dcmread(path).SOPInstanceUID

    assert uid(PAGE) == uid(PAGE)
    assert len({uid(PAGE), uid(PAGE + b"\n"), uid(PAGE, title="other")}) == 3


@pytest.mark.parametrize("pdf", [b"", b"<html></html>", PAGE[:-30], PAGE[9:]])
def test_what_is_no_whole_pdf_is_refused(ct, tmp_path, pdf):
    with pytest.raises(InputError, match=rf"the report of {len(pdf)} bytes is not a complete PDF"):
        write_encapsulated_pdf(tmp_path / "report.dcm", pdf, ct, title="plan")
    assert not list(tmp_path.iterdir())


def test_titles_and_files_that_are_refused(ct, tmp_path):
    with pytest.raises(InputError, match=r"series description .* has 65 characters"):
        write_encapsulated_pdf(tmp_path / "report.dcm", PAGE, ct, title="x" * 65)
    write_encapsulated_pdf(tmp_path / "report.dcm", PAGE, ct, title="plan")
    with pytest.raises(OutputError, match="exists already"):
        write_encapsulated_pdf(tmp_path / "report.dcm", PAGE, ct, title="plan")
