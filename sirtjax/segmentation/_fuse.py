from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64
from numpy.typing import NDArray
from scipy import ndimage

from sirtjax.errors import GeometryError, InputError

STAPLE_LEAST = 3
# A rate of exactly 0 or 1 would make one rater's word final.
_RATE_FLOOR = 1e-6
# Voxels whose products are held at one time.
_BLOCK = 2**18


def majority_vote(occupancies: Float[np.ndarray, "raters i j k"]) -> Float32[np.ndarray, "i j k"]:
    """Returns the fraction of the raters that have the label in each voxel.

    (n, i, j, k) fractions from 0 to 1 become (i, j, k).

    Values above one half are a majority. A tie gives exactly one half, which is not a majority.

    Raises:
      InputError: there are no raters, or values are not from 0 to 1.

    Examples:
      >>> import numpy as np
      >>> from sirtjax import segmentation
      >>> raters = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]], np.float32).reshape(3, 4, 1, 1)
      >>> (segmentation.majority_vote(raters) > 0.5).ravel().tolist()
      [True, True, False, False]
    """
    return np.asarray(_checked(occupancies, least=1).mean(axis=0), np.float32)


def majority_occupancy(occupancies: Float[np.ndarray, "raters i j k"]) -> Float32[np.ndarray, "i j k"]:
    """Returns the fraction of each voxel that more than half of the raters occupy.

    It is the (n // 2 + 1)-th largest of n fractions, the median of an odd number. Whole votes become 1 for a majority
    and 0 otherwise, also for a tie. The edge of raters that agree stays at 0.5, whether their number is odd or even.

    Args:
      occupancies: (n, i, j, k) fractions from 0 to 1.

    Raises:
      InputError: there are no raters, or values are not from 0 to 1.
    """
    votes = _checked(occupancies, least=1)
    rank = (len(votes) - 1) // 2  # from the smallest
    return np.asarray(np.partition(votes, rank, axis=0)[rank])


def weighted_vote(
    occupancies: Float[np.ndarray, "raters i j k"],
    weights: Float[np.ndarray, " raters"] | Float[np.ndarray, "raters i j k"],
) -> Float32[np.ndarray, "i j k"]:
    """Returns the fraction of the weight that has the label in each voxel.

    If no rater has weight, each counts as one.

    Args:
      occupancies: (n, i, j, k) fractions from 0 to 1.
      weights: (n,) weight of each rater, or (n, i, j, k) weight of each rater in each voxel; not negative.

    Returns:
      (i, j, k) fractions from 0 to 1.

    Raises:
      InputError: there are no raters, values are not from 0 to 1, or weights are negative or infinite.
      GeometryError: weights of another shape.
    """
    votes = _checked(occupancies, least=1)
    given = np.asarray(weights, np.float32)
    if given.shape not in ((votes.shape[0],), votes.shape):
        raise GeometryError(
            f"weights of shape {given.shape} for votes of {votes.shape}; provide one per rater or voxel"
        )
    if not np.isfinite(given).all() or (given < 0).any():
        raise InputError(f"weights must be finite and not negative, got {given.min():g} to {given.max():g}")
    if given.ndim == 1:
        given = given.reshape(-1, 1, 1, 1)
    total = np.broadcast_to(given.sum(axis=0), votes.shape[1:])
    weighed = np.zeros(votes.shape[1:], np.float32)
    for vote, weight in zip(votes, given, strict=True):
        weighed += vote * weight
    return np.where(total > 0, weighed / np.where(total > 0, total, 1), votes.mean(axis=0)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Staple:
    """The result of STAPLE.

    Attributes:
      probability: (i, j, k) probability that the voxel has the label.
      sensitivity: (n,) fraction of the label's voxels that each rater marked.
      specificity: (n,) fraction of the other voxels that each rater did not mark.
    """

    probability: Float32[np.ndarray, "i j k"]
    sensitivity: Float64[np.ndarray, " raters"]
    specificity: Float64[np.ndarray, " raters"]


def staple(occupancies: Float[np.ndarray, "raters i j k"]) -> Staple:
    """Runs simultaneous truth and performance level estimation in the box around all votes.

    SimpleITK's filter is used.

    The filter estimates how well each rater does from whole votes (at least half a voxel). The probability is
    its formula with these rates, the occupancies put in for the votes: the same for whole votes, and without steps
    at the voxels of the grid for others. Empty space around would only lift the specificities, so the filter sees
    the smallest box that holds every vote, and the probability is 0 beyond.

    Args:
      occupancies: (n, i, j, k) fractions from 0 to 1, of at least three raters.

    Raises:
      InputError: there are fewer than three raters, values are not from 0 to 1, or all masks are empty.

    Reference:
      Warfield, Zou and Wells, IEEE Trans Med Imaging 2004, doi:10.1109/TMI.2004.828354.
    """
    import SimpleITK as sitk

    given = _checked(occupancies, least=STAPLE_LEAST)
    whole = given >= 0.5
    found = ndimage.find_objects(whole.any(axis=0).astype(np.uint8))
    if not found:
        raise InputError("no rater has the label in any voxel")
    box = found[0]
    inside = whole[(slice(None), *box)]
    images = [sitk.GetImageFromArray(votes.astype(np.uint8)) for votes in inside]
    estimate = sitk.STAPLEImageFilter()
    estimate.SetForegroundValue(1)
    estimate.Execute(images)
    sensitivity = np.asarray(estimate.GetSensitivity(), np.float64)
    specificity = np.asarray(estimate.GetSpecificity(), np.float64)
    probability = np.zeros(given.shape[1:], np.float32)
    probability[box] = _posterior(given[(slice(None), *box)], sensitivity, specificity, prior=float(inside.mean()))
    return Staple(probability=probability, sensitivity=sensitivity, specificity=specificity)


def _posterior(
    votes: NDArray[np.float32],
    sensitivity: NDArray[np.float64],
    specificity: NDArray[np.float64],
    *,
    prior: float,
) -> NDArray[np.float32]:
    """Probability of the label for all votes, by the rates of the raters (Warfield et al., equation 10)."""
    hit = np.clip(sensitivity, _RATE_FLOOR, 1 - _RATE_FLOOR)
    spared = np.clip(specificity, _RATE_FLOOR, 1 - _RATE_FLOOR)
    share = float(np.clip(prior, _RATE_FLOOR, 1 - _RATE_FLOOR))
    log_odds = np.full(votes.shape[1:], np.log(share / (1 - share)))
    for vote, p, q in zip(votes, hit, spared, strict=True):
        log_odds += vote * np.log(p / (1 - q)) + (1 - vote) * np.log((1 - p) / q)
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -80, 80))), np.float32)


def pairwise_dsc(occupancies: Float[np.ndarray, "raters i j k"]) -> Float64[np.ndarray, "raters raters"]:
    """Returns the Dice similarity of each rater's votes (at least half a voxel) with each other's, (n, n).

    Two raters without any vote agree: 1.

    Raises:
      InputError: there are no raters, or values are not from 0 to 1.
    """
    votes = _checked(occupancies, least=1)
    rows = votes.reshape(votes.shape[0], -1)
    shared = np.zeros((rows.shape[0], rows.shape[0]))
    for start in range(0, rows.shape[1], _BLOCK):
        block = (rows[:, start : start + _BLOCK] >= 0.5).astype(np.float32)
        shared += block @ block.T
    both = shared.diagonal()[:, None] + shared.diagonal()[None, :]
    return np.where(both > 0, 2 * shared / np.where(both > 0, both, 1), 1.0)


def select_agreeing_raters(agreement_dsc: Float64[np.ndarray, "raters raters"], *, least_dsc: float) -> tuple[int, ...]:
    """Returns the raters that agree: the worst is excluded repeatedly while three or more are left.

    The agreement of a rater is the mean of its similarities with the other remaining raters. Of two that differ, it is
    unknown which one is wrong, so two always remain.

    Args:
      agreement_dsc: (n, n) result of `pairwise_dsc`.
      least_dsc: smallest agreement of a rater that is not excluded.

    Returns:
      Numbers of the remaining raters, ascending.
    """
    kept = list(range(len(agreement_dsc)))
    while len(kept) > 2:
        among = agreement_dsc[np.ix_(kept, kept)]
        means = (among.sum(axis=0) - among.diagonal()) / (len(kept) - 1)
        if means.min() >= least_dsc:
            break
        del kept[int(means.argmin())]
    return tuple(kept)


def local_similarity(
    image: Float32[np.ndarray, "i j k"], other: Float32[np.ndarray, "i j k"], *, window: int = 7
) -> Float32[np.ndarray, "i j k"]:
    """Returns the squared correlation of two images in the cube around each voxel, (i, j, k) from 0 to 1.

    Contrast may be reversed. Where one of the images is even, or nearly so against its whole range, it is near 0.

    Args:
      image: (i, j, k) first image.
      other: (i, j, k) second image on the same grid.
      window: voxels along each edge of the cube; beyond the grid its outermost voxels are repeated.

    Raises:
      GeometryError: two shapes.
    """
    if image.shape != other.shape:
        raise GeometryError(f"images of shapes {image.shape} and {other.shape}; resample them to the same grid first")
    a = np.asarray(image - image.mean(dtype=np.float64), np.float32)
    b = np.asarray(other - other.mean(dtype=np.float64), np.float32)

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(ndimage.uniform_filter(values, window, mode="nearest"), np.float32)

    mean_a, mean_b = mean(a), mean(b)
    shared = mean(a * b) - mean_a * mean_b
    spread = np.maximum(mean(a * a) - mean_a**2, 0) * np.maximum(mean(b * b) - mean_b**2, 0)
    least = np.float32(1e-4) * np.float32(a.var()) * np.float32(b.var())
    return np.asarray(np.clip(shared**2 / (spread + least + np.float32(1e-30)), 0, 1), np.float32)


def _checked(occupancies: NDArray[np.float32], *, least: int) -> NDArray[np.float32]:
    votes = np.asarray(occupancies, np.float32)
    if votes.ndim != 4 or votes.shape[0] < least:
        raise InputError(f"expected the votes of at least {least} raters on a grid, (n, i, j, k), got {votes.shape}")
    if votes.size and not (votes.min() >= 0 and votes.max() <= 1):
        raise InputError(f"votes must be fractions from 0 to 1, got {votes.min():g} to {votes.max():g}")
    return votes
