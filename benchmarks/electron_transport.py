"""Electron transport in tissue for 90Y: a condensed-history Monte Carlo in NumPy that shares no code with the package.

Each beta is followed in steps of at most 12 % of its remaining range, or 1 mm. Within a step it loses energy
continuously, with straggling, and is deflected once at a random point of the step (random hinge).

- Spectrum: first-forbidden unique decay of 90Y, with the Coulomb functions of Behrens and Jänecke at the radius of the
  nucleus of Zr, and screening.
- Energy loss: collision stopping power of water (Berger and Seltzer, ICRU Report 37; density effect of Sternheimer,
  Berger and Seltzer, At Data Nucl Data Tables 30:261, 1984). Bremsstrahlung is not counted.
- Straggling: a gamma distribution with the variance of Møller's cross section. Delta electrons are not followed.
- Deflection: the first two moments of the Goudsmit-Saunderson distribution with Molière's screening and the spin
  factor of McKinley and Feshbach, drawn from the two-step distribution of PENELOPE (Salvat et al., OECD/NEA 2001).

Tissue is water with 0.991 electrons per gram, scaled by density; so is lung. `dose_electrons.py` validates and uses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gamma as gamma_function

Array = NDArray[np.float64]

ELECTRON_MEV = 0.51099895
FINE_STRUCTURE = 7.2973525693e-3
RADIUS_CM = 2.8179403e-13
AVOGADRO = 6.02214076e23
END_POINT_MEV, DAUGHTER_Z, NUCLEUS_CM = 2.2798, 40, 1.2e-13 * 90 ** (1 / 3)
# Water: electrons and molar mass, mean excitation energy and the parameters of its density effect.
ELECTRONS, MOLAR_G, EXCITATION_MEV = 10, 18.01528, 75e-6
DENSITY_EFFECT = {"c": 3.5017, "x0": 0.2400, "x1": 2.8004, "a": 0.09116, "k": 3.4773}
ELEMENTS = ((1, 2), (8, 1))  # atomic number and atoms per molecule
TISSUE_ELECTRONS_PER_WATER = 0.991
STOP_G_PER_CM2 = 0.003
MOLLER = 0.153537  # 2 pi N r^2 m c^2, MeV cm2/mol


def relativistic(mev: Array) -> tuple[Array, Array, Array]:
    """Returns kinetic energy over rest energy, beta squared and beta gamma."""
    tau = np.asarray(mev / ELECTRON_MEV)
    gamma = tau + 1
    return tau, 1 - 1 / gamma**2, np.sqrt(gamma**2 - 1)


def stopping_power(mev: Array) -> Array:
    """Computes the collision stopping power of water, MeV cm2/g."""
    tau, beta2, momentum = relativistic(mev)
    x = np.log10(momentum)
    p = DENSITY_EFFECT
    delta = np.where(x > p["x0"], 2 * np.log(10) * x - p["c"] + p["a"] * np.maximum(p["x1"] - x, 0) ** p["k"], 0)
    shape = (1 - beta2) * (1 + tau**2 / 8 - (2 * tau + 1) * np.log(2))
    bracket = 2 * np.log(mev / EXCITATION_MEV) + np.log1p(tau / 2) + shape - np.maximum(delta, 0)
    result: Array = MOLLER * ELECTRONS / MOLAR_G / beta2 * bracket
    return result


def straggling(mev: Array) -> Array:
    """Computes the variance of the energy loss per mass thickness, MeV^2 cm2/g, from Møller's cross section."""
    tau, beta2, _ = relativistic(mev)
    integral = 0.6137 + (tau / (tau + 1)) ** 2 / 24 - 0.1931 * (2 * tau + 1) / (tau + 1) ** 2
    result: Array = MOLLER * ELECTRONS / MOLAR_G / beta2 * mev * integral
    return result


def deflection(mev: Array) -> tuple[Array, Array]:
    """Computes the decay of the first and second Legendre moment of the direction per mass thickness, cm2/g.

    Nuclei scatter by Rutherford's cross section with screening, times the spin factor of McKinley and Feshbach.
    Electrons do so up to the angle at which both have the same energy.
    """
    tau, beta2, momentum = (values[:, None] for values in relativistic(mev))
    # Nodes of 1 - cos, evenly spaced in its logarithm.
    edges = np.geomspace(1e-12, 2.0, 2001)
    x, width = np.sqrt(edges[1:] * edges[:-1])[None], np.diff(edges)[None]
    half = np.sqrt(x / 2)
    moments = x, 1.5 * x * (2 - x)
    largest = 1 - np.sqrt(1 - 2 / (tau + 4))
    sums = []
    for moment in moments:
        total = np.zeros(len(mev))
        for z, atoms in ELEMENTS:
            charge = FINE_STRUCTURE * z
            screening = (FINE_STRUCTURE * z ** (1 / 3) / (2 * 0.88534 * momentum)) ** 2
            screening = screening * (1.13 + 3.76 * charge**2 / beta2)
            spin = 1 - beta2 * half**2 + np.pi * charge * np.sqrt(beta2) * half * (1 - half)
            scattered = z**2 * spin + z * (x < largest)
            area = atoms * AVOGADRO / MOLAR_G * 2 * np.pi * RADIUS_CM**2 / (momentum**2 * beta2)
            total += (area * scattered * moment / (x + 2 * screening) ** 2 * width).sum(axis=1)
        sums.append(total)
    return sums[0], sums[1]


def spectrum(mev: Array) -> Array:
    """Computes the number of betas per energy, not normalised."""
    tau, _, _ = relativistic(mev)
    w, w0 = tau + 1, END_POINT_MEV / ELECTRON_MEV + 1
    q = np.maximum(w0 - w, 0)
    charge = FINE_STRUCTURE * DAUGHTER_Z
    # The screening of the atom: the beta starts with less energy than it has outside.
    inner = np.maximum(w - 1.13 * FINE_STRUCTURE**2 * DAUGHTER_Z ** (4 / 3), 1 + 1e-6)
    p_inner = np.sqrt(inner**2 - 1)
    eta = charge * inner / p_inner
    near = 2 * p_inner * NUCLEUS_CM * FINE_STRUCTURE / RADIUS_CM
    one, two = np.sqrt(1 - charge**2), np.sqrt(4 - charge**2)
    fermi = near ** (2 * one - 2) * np.exp(np.pi * eta) * np.abs(gamma_function(one + 1j * eta)) ** 2
    ratio = 144 * near ** (2 * (two - one - 1)) * (2 + two) / (2 * (1 + one))
    ratio *= np.abs(gamma_function(two + 1j * eta) / gamma_function(one + 1j * eta)) ** 2
    ratio *= (gamma_function(1 + 2 * one) / gamma_function(1 + 2 * two)) ** 2
    result: Array = fermi * p_inner * inner * q**2 * (ratio * p_inner**2 + q**2)
    return result


@dataclass(frozen=True)
class Tables:
    """Physics by energy (MeV): CSDA range (g/cm2), straggling, deflection, and the quantiles of the spectrum."""

    mev: Array
    range_g_per_cm2: Array
    straggling: Array
    first: Array
    second: Array
    quantiles: Array
    mean_mev: float


@cache
def tables() -> Tables:
    """Returns the tables, on 600 energies from 1 keV to above the end point."""
    mev = np.geomspace(1e-3, 2.4, 600)
    slowing = 1 / stopping_power(mev)
    steps = np.diff(mev) * (slowing[1:] + slowing[:-1]) / 2
    first, second = deflection(mev)
    fine = (np.arange(4000) + 0.5) / 4000 * END_POINT_MEV
    number = spectrum(fine)
    cumulative = np.concatenate([[0.0], np.cumsum(number)]) / number.sum()
    edges = np.linspace(0, END_POINT_MEV, 4001)
    return Tables(
        mev=mev,
        # Below the first energy the range is 2e-6 g/cm2.
        range_g_per_cm2=np.concatenate([[0.0], np.cumsum(steps)]) + mev[0] * slowing[0],
        straggling=straggling(mev),
        first=first,
        second=second,
        quantiles=np.interp(np.linspace(0, 1, 20001), cumulative, edges),
        mean_mev=float(fine @ number / number.sum()),
    )


def turned(along: Array, cosine: Array, azimuth: Array) -> Array:
    """Returns directions turned by polar angles and azimuths around themselves."""
    sine = np.sqrt(np.maximum(1 - cosine**2, 0))
    x, y, z = along.T
    across = np.sqrt(np.maximum(1 - z**2, 1e-12))
    u, v = sine * np.cos(azimuth), sine * np.sin(azimuth)
    turned_x = cosine * x + (u * x * z - v * y) / across
    turned_y = cosine * y + (u * y * z + v * x) / across
    result: Array = np.stack([turned_x, turned_y, cosine * z - u * across], axis=-1)
    return result / np.linalg.norm(result, axis=1, keepdims=True)


def transport_electrons(
    activity: Array,
    case: Any,
    decays: int,
    *,
    seed: int,
    fraction: float = 0.12,
    longest_mm: float = 1.0,
    batch: int = 100_000,
) -> Array:
    """Computes the MBq whose energy ends in each voxel; the arguments are those of `dose_cone.transport`.

    Args:
      activity: MBq per voxel.
      case: `density` (g/mL per voxel) and `spacing_mm`.
      decays: number of betas.
      seed: seed of the random numbers.
      fraction: longest step, as a fraction of the remaining range.
      longest_mm: longest step.
      batch: betas that are followed together.
    """
    physics = tables()
    rng = np.random.default_rng(seed)
    shape, spacing = np.array(activity.shape), np.array(case.spacing_mm)
    # Water-equivalent mass per area and mm.
    thickness = case.density.ravel() * TISSUE_ELECTRONS_PER_WATER / 10
    sources = np.cumsum(activity.ravel()) / activity.sum()
    deposited = np.zeros(activity.size + 1)

    def voxel(points: Array) -> NDArray[np.int64]:
        """The voxel of each point; one behind the last outside the grid."""
        index = np.floor(points / spacing).astype(np.int64)
        within = ((index >= 0) & (index < shape)).all(axis=1)
        i, j, k = index.T
        return np.where(within, (i * shape[1] + j) * shape[2] + k, activity.size)

    heavy = np.append(thickness, 0.0)
    for start in range(0, decays, batch):
        count = min(batch, decays - start)
        drawn = (np.arange(start, start + count) + rng.random(count)) / decays
        source = np.searchsorted(sources, drawn).clip(max=sources.size - 1)
        place = (np.stack(np.unravel_index(source, activity.shape), axis=-1) + rng.random((count, 3))) * spacing
        cosine, azimuth = rng.uniform(-1, 1, count), rng.uniform(0, 2 * np.pi, count)
        sine = np.sqrt(1 - cosine**2)
        along = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=-1)
        mev = np.interp(rng.random(count), np.linspace(0, 1, 20001), physics.quantiles)
        while mev.size:
            here = voxel(place)
            left = np.interp(mev, physics.mev, physics.range_g_per_cm2)
            ends = left < STOP_G_PER_CM2
            deposited += np.bincount(here[ends], mev[ends], deposited.size)
            keep = ~ends & (here < activity.size)
            place, along, mev, left, here = place[keep], along[keep], mev[keep], left[keep], here[keep]
            if not mev.size:
                break
            length = np.minimum(np.maximum(fraction * left, STOP_G_PER_CM2) / heavy[here], longest_mm)
            hinge = rng.random(mev.size)
            before, after = hinge * length, (1 - hinge) * length
            # Half-way: the tissue of each part of the step.
            near = voxel(place + along * (before / 2)[:, None])
            first_part = heavy[near] * before
            turn = place + along * before[:, None]
            middle = np.interp(left - first_part, physics.range_g_per_cm2, physics.mev)
            # The deflection of the step, by its density before the turn and half of its energy.
            there = voxel(turn)
            mass = first_part + heavy[there] * after
            k1, k2 = (np.interp(middle, physics.mev, table) * mass for table in (physics.first, physics.second))
            mean = -np.expm1(-k1) / 2
            square = mean + np.expm1(-k2) / 6
            edge = np.clip((2 * mean - 3 * square) / np.maximum(1 - 2 * mean, 1e-9), 0, 1)
            below = 1 - 2 * mean + edge
            chance, part = rng.random(mev.size), rng.random(mev.size)
            angle = np.where(chance < below, edge * part, edge + (1 - edge) * part)
            along = turned(along, 1 - 2 * angle, rng.uniform(0, 2 * np.pi, mev.size))
            far = voxel(turn + along * (after / 2)[:, None])
            second_part = heavy[far] * after
            mass = first_part + second_part
            lost = mev - np.where(
                mass < left, np.interp(left - mass, physics.range_g_per_cm2, physics.mev, left=0.0), 0.0
            )
            variance = np.interp(mev, physics.mev, physics.straggling) * mass
            variance = np.maximum(variance, 1e-12)
            lost = np.minimum(
                rng.gamma(np.maximum(lost, 1e-9) ** 2 / variance) * variance / np.maximum(lost, 1e-9), mev
            )
            share = np.divide(first_part, mass, out=np.ones_like(mass), where=mass > 0)
            # Each part leaves its energy at a random point of it.
            at = voxel(place + (turn - place) * rng.random((mev.size, 1)))
            deposited += np.bincount(at, lost * share, deposited.size)
            at = voxel(turn + along * (after * rng.random(mev.size))[:, None])
            deposited += np.bincount(at, lost * (1 - share), deposited.size)
            place, mev = turn + along * after[:, None], mev - lost
    result: Array = (deposited[:-1] * activity.sum() / (decays * physics.mean_mev)).reshape(activity.shape)
    return result
