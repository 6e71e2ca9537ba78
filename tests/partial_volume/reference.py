"""Definitions of PETPVC in NumPy and SciPy, and spheres computed on a finer grid. No code of the package is used."""

import numpy as np
from scipy import ndimage

SIGMA_PER_FWHM = 1 / (2 * np.sqrt(2 * np.log(2)))


def blur(image, spacing_mm, fwhm_mm):
    sigma = np.broadcast_to(fwhm_mm, 3) * SIGMA_PER_FWHM / np.asarray(spacing_mm)
    return ndimage.gaussian_filter(np.asarray(image, float), sigma, mode="reflect", truncate=8)


def transfer_matrix(masks, spacing_mm, fwhm_mm):
    spread = [blur(mask, spacing_mm, fwhm_mm) for mask in masks]
    return np.array([[(m * s).sum() / m.sum() for s in spread] for m in np.asarray(masks, float)])


def gtm(image, masks, spacing_mm, fwhm_mm):
    measured = [(m * image).sum() / m.sum() for m in np.asarray(masks, float)]
    return np.linalg.inv(transfer_matrix(masks, spacing_mm, fwhm_mm)) @ measured


def rbv(image, masks, spacing_mm, fwhm_mm):
    synthetic = sum(t * m for t, m in zip(gtm(image, masks, spacing_mm, fwhm_mm), masks, strict=True))
    return image * synthetic / blur(synthetic, spacing_mm, fwhm_mm)


def richardson_lucy(image, spacing_mm, fwhm_mm, iterations):
    measured = np.where(image < 0, 0.0, image)
    estimate = measured.copy()
    for _ in range(iterations):
        estimate = estimate * blur(measured / blur(estimate, spacing_mm, fwhm_mm), spacing_mm, fwhm_mm)
    return estimate


def voxel_means(fine, factors):
    i, j, k = (n // f for n, f in zip(fine.shape, factors, strict=True))
    return fine.reshape(i, factors[0], j, factors[1], k, factors[2]).mean(axis=(1, 3, 5))


def fine_sphere(shape, spacing_mm, factors, *, radius_mm, offset_mm=(0.0, 0.0, 0.0)):
    """A sphere on the grid divided by `factors`, and the spacing of the finer grid."""
    fine_mm = np.asarray(spacing_mm) / factors
    axes = [
        (np.arange(n * f) + 0.5) * step - n * f * step / 2 - o
        for n, f, step, o in zip(shape, factors, fine_mm, offset_mm, strict=True)
    ]
    squared = sum(a**2 for a in np.meshgrid(*axes, indexing="ij", sparse=True))
    return (squared <= radius_mm**2).astype(float), fine_mm
