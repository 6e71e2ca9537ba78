"""A segmenter that costs nothing, as a site would give its own through Python; and one that takes its time."""

import time

import numpy as np

from sirtjax.volume import LabelMap


def bright(image):
    """What is brighter than 100 HU."""
    return {"liver": LabelMap.from_mask(np.asarray(image.volume.array) > 100, image.volume.geometry, name="liver")}


def slow(image):
    """The same after a third of a second."""
    time.sleep(0.3)
    return bright(image)


def stuck(image):
    """Never, within a test."""
    time.sleep(600)
    return bright(image)


def failing(image):
    """A computation that goes wrong, in words that name the patient."""
    raise RuntimeError("could not segment CANARY^PATIENT")
