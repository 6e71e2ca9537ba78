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


def doubtful(image):
    """The bright part, with two quality flags."""
    from sirtjax.segmentation import Flag, Segmentation  # the other segmenters do without

    flags = (
        Flag(code="quality", message="the estimated DSC of the liver is 0.81, below 0.90"),
        Flag(code="truncated", message="the image truncates the liver"),
    )
    labels = bright(image)["liver"]
    return {"liver": Segmentation(labels=labels, volumes_ml={"liver": 0.8}, method="bright", flags=flags)}
