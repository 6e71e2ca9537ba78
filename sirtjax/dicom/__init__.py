"""DICOM objects about other images: structure sets, segmentations, doses, registrations, measurements."""
