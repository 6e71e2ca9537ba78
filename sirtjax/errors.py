"""The errors a user can meet.

Every message states the input, the value found, the value expected and the remedy. The command line
prints it as one line: exit code 2 for an `InputError`, 1 for a `ComputationError`.
"""


class SirtjaxError(Exception):
    """Base of every error raised on purpose."""


class InputError(SirtjaxError, ValueError):
    """The input cannot be used; the user can correct it."""


class GeometryError(InputError):
    """A grid, an affine or the overlap of two grids is not usable."""


class ImageFormatError(InputError):
    """A file is not what it should be: truncated, not DICOM or NIfTI, missing tags or voxels."""


class ConfigError(InputError):
    """A case, protocol or option is unknown, missing or contradictory."""


class ModelError(InputError):
    """A segmentation model or checkpoint is damaged, foreign, or not fit for the image."""


class OutputError(InputError):
    """The output can't be written: it exists already, or the place refuses it."""


class ComputationError(SirtjaxError, RuntimeError):
    """The input was sound but the computation did not reach a usable result."""
