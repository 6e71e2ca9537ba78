"""Claim: the widths of our intervals agree within 10 % with the posterior density that a long-run sampler draws.

    pip install 'blackjax>=1.7'
    python benchmarks/uncertainty_posterior.py --json benchmarks/results/uncertainty_posterior.json

Five small treatments (uncertainty_posterior_model.py) have 21 unknowns: the translation of the image, eight
displacements of each contour, and two concentrations. For each, the posterior density given one image is computed by

- blackjax's NUTS: four chains from dispersed starts, each with its own warm-up; R-hat and the effective sample size are
  printed;
- Laplace: the inverse of the second derivatives at the maximum, drawn through the dose by `uncertainty.propagate`;
- bootstrap: images and contours simulated at the maximum and fitted again, `uncertainty.centred_interval`.

Compared are standard deviations of the translation (registration) and of the mean outward displacement of the lesion's
contour (mask), and the widths of 90 % intervals of the logarithms of the mean doses of lesion and normal liver.

Predicted before measuring: agreement within 10 % for translation and liver; a few percent less for a small lesion,
whose dose bends within the uncertainty of its contour.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax

jax.config.update("jax_enable_x64", True)

import blackjax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from uncertainty_posterior_model import (  # noqa: E402
    BOUNDARY_MM,
    CASES,
    LESION,
    SHAPE,
    SHIFT,
    SHIFT_MM,
    UNKNOWNS,
    Case,
    Numbers,
    coloured,
    expected_spectrum,
    log_doses,
    numbers_of,
    residuals,
)

from sirtjax import uncertainty  # noqa: E402

CHAINS, WARM_UP, DRAWS = 4, 300, 1500
# Widths agree if they differ by no more than this.
TOLERANCE = 0.10
LONGEST_R_HAT = 1.01


def log_density(unknowns: jax.Array, spectrum: jax.Array, case: Numbers) -> jax.Array:
    return -0.5 * jnp.sum(residuals(unknowns, spectrum, jnp.zeros(UNKNOWNS), case) ** 2)


@jax.jit
def fit(spectrum: jax.Array, expected: jax.Array, case: Numbers) -> jax.Array:
    """The maximum of the posterior density, by Levenberg-Marquardt steps from the expected values."""

    def cost(at: jax.Array) -> jax.Array:
        return jnp.sum(residuals(at, spectrum, expected, case) ** 2)

    def step(state: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple[jax.Array, jax.Array], None]:
        at, damping = state
        away = residuals(at, spectrum, expected, case)
        slopes = jax.jacfwd(residuals)(at, spectrum, expected, case)
        tried = at - jnp.linalg.solve(slopes.T @ slopes + damping * jnp.eye(UNKNOWNS), slopes.T @ away)
        better = cost(tried) < jnp.sum(away**2)
        return (jnp.where(better, tried, at), jnp.where(better, 0.2 * damping, 10.0 * damping)), None

    (found, _), _ = jax.lax.scan(step, (expected, jnp.asarray(0.1)), None, length=15)
    return found


@jax.jit
def curvature(at: jax.Array, spectrum: jax.Array, case: Numbers) -> jax.Array:
    return -jax.hessian(log_density)(at, spectrum, case)


@partial(jax.jit, static_argnames=("draws", "warm_up"))
def sample(
    key: jax.Array,
    starts: jax.Array,
    middle: jax.Array,
    root: jax.Array,
    spectrum: jax.Array,
    case: Numbers,
    *,
    draws: int,
    warm_up: int,
) -> tuple[jax.Array, jax.Array]:
    """NUTS from each start: positions (chains, draws, unknowns) and the number of divergent transitions."""

    def density(scaled: jax.Array) -> jax.Array:
        return log_density(middle + root @ scaled, spectrum, case)

    def chain(key: jax.Array, start: jax.Array) -> tuple[jax.Array, jax.Array]:
        first, second = jax.random.split(key)
        adapt = blackjax.window_adaptation(blackjax.nuts, density)
        (state, parameters), _ = adapt.run(first, start, num_steps=warm_up)
        move = blackjax.nuts(density, **parameters).step

        def step(state: Any, key: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array]]:
            state, info = move(key, state)
            return state, (state.position, info.is_divergent)

        _, (positions, divergent) = jax.lax.scan(step, state, jax.random.split(second, draws))
        return middle + positions @ root.T, jnp.sum(divergent)

    return jax.vmap(chain)(jax.random.split(key, len(starts)), starts)


def doses_of_laplace(values: dict[str, jax.Array], best: jax.Array, root: jax.Array, case: Numbers) -> jax.Array:
    return jnp.stack(log_doses(best + root @ values["posterior"], case))


@jax.jit
def simulated_ratio(drawn: jax.Array, white: jax.Array, best: jax.Array, case: Numbers) -> jax.Array:
    """Estimate over truth (logarithm) of one simulated measurement: new noise, and contours drawn anew."""
    # Contours and expected concentrations that differ from the truth, as their standard deviations say.
    spectrum, expected = expected_spectrum(best, case) + coloured(white, case), best + drawn
    found = fit(spectrum, expected, case)
    return jnp.stack(log_doses(found, case)) - jnp.stack(log_doses(best, case))


def bootstrap(best: jax.Array, case: Numbers, seed: int, count: int) -> NDArray[np.float64]:
    drawn, white = (
        jax.random.normal(key, (count, *shape))
        for key, shape in zip(jax.random.split(jax.random.key(seed)), ((UNKNOWNS,), SHAPE), strict=True)
    )
    return np.stack([np.asarray(simulated_ratio(d, w, best, case)) for d, w in zip(drawn, white, strict=True)])


def compare(case: Case, *, draws: int, warm_up: int, simulations: int) -> dict[str, Any]:
    """All three methods on one case."""
    random, numbers = np.random.default_rng(case.seed), numbers_of(case)
    truth = random.standard_normal(UNKNOWNS)
    truth[-2:] = 0.0
    noise = coloured(jnp.asarray(random.standard_normal(SHAPE)), numbers)
    spectrum = expected_spectrum(jnp.asarray(truth), numbers) + noise
    best = fit(spectrum, jnp.zeros(UNKNOWNS), numbers)
    covariance = jnp.linalg.inv(curvature(best, spectrum, numbers))
    began = time.perf_counter()
    # Dispersed starts, two standard deviations wide. The curvature only sets the scale of the steps of the sampler.
    root = jnp.linalg.cholesky(covariance)
    starts = jnp.asarray(2.0 * random.standard_normal((CHAINS, UNKNOWNS)))
    positions, divergent = jax.block_until_ready(
        sample(jax.random.key(case.seed), starts, best, root, spectrum, numbers, draws=draws, warm_up=warm_up)
    )
    seconds = time.perf_counter() - began
    logs = jax.vmap(jax.vmap(lambda unknowns: jnp.stack(log_doses(unknowns, numbers))))(positions)
    outward = BOUNDARY_MM * jnp.mean(positions[..., LESION], axis=-1, keepdims=True)
    followed = jnp.concatenate([positions, logs, outward], axis=-1)
    r_hat = blackjax.diagnostics.rhat(followed, chain_axis=0, sample_axis=1)
    effective = blackjax.diagnostics.effective_sample_size(followed, chain_axis=0, sample_axis=1)
    drawn = np.asarray(followed).reshape(-1, followed.shape[-1])

    source = uncertainty.Source(
        name="posterior", centre=np.zeros(UNKNOWNS), size=1.0, origin="second derivatives", evidence="measured"
    )
    laplace = uncertainty.propagate(
        doses_of_laplace, [source], jax.random.key(case.seed), args=(best, root, numbers),
        count=1024, budget_count=None,
    )  # fmt: skip
    ratios = bootstrap(best, numbers, case.seed, simulations)
    estimate = np.exp(np.stack([np.asarray(one) for one in log_doses(best, numbers)]))
    interval = uncertainty.centred_interval(estimate, np.exp(ratios))
    sd = np.sqrt(np.diag(np.asarray(covariance)))
    mean_outward = np.zeros(UNKNOWNS)
    mean_outward[LESION] = BOUNDARY_MM / 8
    nuts_mm = SHIFT_MM * drawn[:, SHIFT].std(axis=0)
    low, high = np.quantile(drawn[:, UNKNOWNS : UNKNOWNS + 2], [0.05, 0.95], axis=0)
    found = {
        "case": case.name,
        "divergent": int(divergent.sum()),
        "r_hat": float(jnp.max(r_hat)),
        "effective_sample_size": float(jnp.min(effective)),
        "seconds_nuts": seconds,
        "translation_sd_mm": {"nuts": nuts_mm.tolist(), "laplace": (SHIFT_MM * sd[SHIFT]).tolist()},
        "contour_sd_mm": {
            "nuts": float(drawn[:, -1].std()),
            "laplace": float(np.sqrt(mean_outward @ np.asarray(covariance) @ mean_outward)),
            "before the image": BOUNDARY_MM / np.sqrt(8),
        },
    }
    widths = {
        "nuts": high - low,
        "laplace": np.diff(laplace.sampled.interval, axis=0)[0],
        "linear": 2 * 1.6449 * laplace.linear.standard_deviation,
        "bootstrap": np.log(interval.upper / interval.lower),
    }
    for index, voi in enumerate(("lesion", "normal liver")):
        found[f"{voi}, width of the log of the mean dose"] = {name: float(w[index]) for name, w in widths.items()}
    truth_log = np.stack([np.asarray(one) for one in log_doses(jnp.asarray(truth), numbers)])
    found["truth within the interval of NUTS"] = ((low <= truth_log) & (truth_log <= high)).tolist()
    return found


def ratios_of(found: dict[str, Any]) -> dict[str, float]:
    """The ratio of each width to that of NUTS."""
    ratios = {}
    for axis, (a, b) in enumerate(zip(*found["translation_sd_mm"].values(), strict=True)):
        ratios[f"translation {'xyz'[axis]}, laplace"] = b / a
    ratios["contour, laplace"] = found["contour_sd_mm"]["laplace"] / found["contour_sd_mm"]["nuts"]
    for voi in ("lesion", "normal liver"):
        widths = found[f"{voi}, width of the log of the mean dose"]
        for method in ("laplace", "linear", "bootstrap"):
            ratios[f"{voi}, {method}"] = widths[method] / widths["nuts"]
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--cases", type=int, nargs="+", default=list(range(len(CASES))))
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--warm-up", type=int, default=WARM_UP)
    parser.add_argument("--simulations", type=int, default=512)
    options = parser.parse_args()
    results = []
    for number in options.cases:
        found = compare(CASES[number], draws=options.draws, warm_up=options.warm_up, simulations=options.simulations)
        found["ratio to nuts"] = ratios_of(found)
        results.append(found)
        print(json.dumps(found, indent=1), flush=True)
        if options.json:
            options.json.write_text(json.dumps({"cases": results, "blackjax": blackjax.__version__}, indent=1) + "\n")
    converged = all(one["r_hat"] < LONGEST_R_HAT for one in results)
    worst = max((abs(ratio - 1.0), name) for one in results for name, ratio in one["ratio to nuts"].items())
    print(
        f"converged: {converged}; largest difference {100 * worst[0]:.1f} % ({worst[1]}), limit {100 * TOLERANCE:.0f} %"
    )


if __name__ == "__main__":
    main()
