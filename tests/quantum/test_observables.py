"""Observables and errors against plain enumeration, from probabilities and from samples."""

import math
import subprocess
import sys

import numpy as np
import pytest

from rbmlib.quantum import (
    all_states,
    center_site,
    correlation_from_samples,
    correlation_mse,
    divergences,
    empirical_distribution,
    energy_from_samples,
    exact_correlation,
    exact_diagonalization,
    exact_energy,
    exact_observables,
    free_fermions,
    infidelity,
    kullback_leibler,
    magnetization_estimates,
    occurrence_ratio,
    relative_error,
    relative_observable_error,
    sampled_observables,
    up_spin_distribution,
)


def random_distribution(n_spins, seed, zeros=0):
    p = np.random.default_rng(seed).dirichlet(np.full(2**n_spins, 0.7))
    p[np.random.default_rng(seed + 1).permutation(p.size)[:zeros]] = 0.0
    return p / p.sum()


def slow_local_energies(p, field):
    n_spins = p.size.bit_length() - 1
    sigma = 2.0 * all_states(n_spins) - 1.0
    result = np.zeros(p.size)
    for code in range(p.size):
        if p[code] > 0:
            flips = sum(math.sqrt(p[code ^ (1 << site)] / p[code]) for site in range(n_spins))
            result[code] = -(sigma[code, 1:] * sigma[code, :-1]).sum() - field * flips
    return result


def slow_correlation(p):
    n_spins = p.size.bit_length() - 1
    sigma, center = 2.0 * all_states(n_spins) - 1.0, center_site(n_spins)
    means = p @ sigma
    products = (sigma * sigma[:, [center]] * p[:, None]).sum(axis=0)
    return (products - means[center] * means)[center:]


@pytest.mark.parametrize("zeros", [0, 2])
@pytest.mark.parametrize("n_spins", [2, 3, 4, 5, 8, 13])
def test_enumerated_observables_agree_with_their_slow_twins(n_spins, zeros):
    p, field = random_distribution(n_spins, n_spins, zeros), 1.3
    sigma = 2.0 * all_states(n_spins) - 1.0
    observables = exact_observables(p, field)
    local, m = slow_local_energies(p, field), sigma.mean(axis=1)
    for estimate, values in (
        (observables.energy, local),
        (observables.magnetization, m),
        (observables.absolute_magnetization, np.abs(m)),
    ):
        mean = p @ values
        assert estimate.mean == pytest.approx(mean, abs=1e-11)
        assert estimate.std == pytest.approx(math.sqrt(p @ (values - mean) ** 2), abs=1e-10)
    ups = np.bincount(all_states(n_spins).sum(axis=1), weights=p)
    assert np.abs(observables.up_spins - ups).max() < 1e-13
    assert np.abs(observables.correlation - slow_correlation(p)).max() < 1e-13
    assert observables.correlation.shape == (n_spins // 2 + 1,)
    assert np.array_equal(exact_correlation(p), observables.correlation)
    assert exact_energy(p, field) == observables.energy


@pytest.mark.parametrize(("n_spins", "mean"), [(10, 0.56097737), (18, 0.51555210)])
def test_the_exact_ground_state_has_its_known_observables_and_no_spread_of_energy(n_spins, mean):
    exact = exact_diagonalization.ground_state(n_spins, 1.0)
    observables = exact_observables(exact.amplitudes**2, 1.0)
    assert observables.energy.mean == pytest.approx(exact.energy, abs=1e-10)
    assert observables.energy.std < 1e-5
    assert observables.absolute_magnetization.mean == pytest.approx(mean, abs=1e-8)
    assert abs(observables.magnetization.mean) < 1e-12
    known = free_fermions.correlation_from_center(n_spins, 1.0)
    assert np.abs(observables.correlation - known).max() < 1e-10


@pytest.mark.parametrize("n_spins", [2, 7])
def test_samples_with_exact_frequencies_give_the_enumerated_observables(n_spins):
    counts = np.random.default_rng(n_spins).integers(1, 60, 2**n_spins)
    samples = np.random.default_rng(0).permutation(np.repeat(all_states(n_spins), counts, axis=0))
    p, field = counts / counts.sum(), 0.8
    weights = 2 ** np.arange(n_spins)
    drawn = sampled_observables(samples, lambda v: 3.0 - np.log(p[v @ weights]), field)
    exact = exact_observables(p, field)
    for name in ("energy", "magnetization", "absolute_magnetization"):
        assert getattr(drawn, name) == pytest.approx(getattr(exact, name), abs=1e-11)
    assert np.abs(drawn.up_spins - exact.up_spins).max() < 1e-13
    assert np.abs(drawn.correlation - exact.correlation).max() < 1e-13
    assert np.abs(empirical_distribution(samples) - p).max() < 1e-15


def test_energies_from_many_samples_do_not_depend_on_the_chunks(chain):
    state = chain(10, 2.0)
    samples = state.sample(40_000, 5)
    whole = energy_from_samples(samples, lambda v: -state.log_probability(v), 2.0)
    parts = [
        energy_from_samples(part, lambda v: -state.log_probability(v), 2.0) for part in np.split(samples, 4)
    ]
    assert whole.mean == pytest.approx(np.mean([part.mean for part in parts]), abs=1e-10)
    # The ground state's local energy is constant.
    assert whole.mean == pytest.approx(state.energy, abs=1e-6)
    assert whole.std < 1e-5


def test_energy_from_samples_leaves_the_samples_as_they_were():
    samples = np.random.default_rng(1).integers(0, 2, (50, 4), dtype=np.uint8)
    before = samples.copy()

    def greedy(states):
        energies = states.sum(axis=1) * 0.1
        states[:] = 1
        return energies

    energy_from_samples(samples, greedy, 1.0)
    assert np.array_equal(samples, before)


def test_samples_of_the_ground_state_have_its_correlations(chain):
    n_samples = 200_000
    samples = chain(10, 1.0).sample(n_samples, 12)
    exact = free_fermions.correlation_from_center(10, 1.0)
    errors = np.abs(correlation_from_samples(samples) - exact)
    assert (errors < 6 * np.sqrt((1 - exact**2) / n_samples) + 1e-4).all()


def test_kullback_leibler_and_infidelity_agree_with_plain_sums():
    q, p = random_distribution(9, 1), random_distribution(9, 5)
    assert kullback_leibler(q, p) == pytest.approx((q * np.log(q / p)).sum(), abs=1e-12)
    assert infidelity(q, p) == pytest.approx(1.0 - np.sqrt(q * p).sum() ** 2, abs=1e-12)
    assert kullback_leibler(q, q) == 0.0
    assert infidelity(q, q) == 0.0


def test_zero_probabilities_count_nothing_in_the_target_and_infinitely_in_the_model():
    with_zeros, full = random_distribution(4, 2, zeros=5), random_distribution(4, 3)
    seen = with_zeros > 0
    expected = (with_zeros[seen] * np.log(with_zeros[seen] / full[seen])).sum()
    assert kullback_leibler(with_zeros, full) == pytest.approx(expected, abs=1e-13)
    assert kullback_leibler(full, with_zeros) == math.inf
    assert kullback_leibler(with_zeros, with_zeros) == 0.0


def test_a_tiny_infidelity_is_not_lost_to_rounding():
    q = random_distribution(8, 4)
    shift = np.zeros_like(q)
    a, b = np.argsort(q)[-2:]
    shift[[a, b]] = 1e-9, -1e-9
    exact = (shift**2 / (4 * q)).sum()
    assert infidelity(q, q + shift) == pytest.approx(exact, rel=1e-4)


def test_the_divergences_tell_the_exact_state_from_the_data():
    exact, model = random_distribution(6, 7), random_distribution(6, 8)
    data = np.random.default_rng(9).multinomial(500, exact) / 500
    together = divergences(model, exact, data)
    assert together.kl == kullback_leibler(exact, model)
    assert together.kl_data == kullback_leibler(data, model)
    assert together.infidelity == infidelity(exact, model)
    assert together.kl != together.kl_data


def test_relative_observable_error_is_the_worse_end_of_the_confidence_interval():
    mean, std, exact, n = -9.8, 0.7, -10.0, 400
    ends = [abs((exact - (mean + sign * 2.576 * std / math.sqrt(n))) / exact) for sign in (-1, 1)]
    assert relative_observable_error(mean, std, exact, n) == pytest.approx(max(ends), abs=1e-15)
    assert relative_error(mean, exact) == pytest.approx(0.02)


def test_correlation_mse_is_a_mean_of_squares():
    assert correlation_mse([1.0, 0.5, 0.2], [1.0, 0.4, 0.4]) == pytest.approx((0.01 + 0.04) / 3)


def test_magnetization_follows_from_the_number_of_up_spins():
    samples = [[1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]]
    ups = up_spin_distribution(samples)
    assert ups.tolist() == [0.25, 0.25, 0.0, 0.0, 0.5]
    m, absolute = magnetization_estimates(ups)
    values = np.array([1.0, -1.0, -0.5, 1.0])
    assert m == pytest.approx((values.mean(), values.std()))
    assert absolute == pytest.approx((np.abs(values).mean(), np.abs(values).std()))


def test_the_occurrence_ratio_counts_pairs_of_mirror_images():
    v, w, rare = [1, 0, 0], [1, 1, 0], [0, 1, 0]
    mirrored = [[1 - unit for unit in configuration] for configuration in (v, w, rare)]
    samples = [v] * 8 + [mirrored[0]] * 4 + [w] * 5 + [mirrored[1]] * 5 + [rare]
    ratio = occurrence_ratio(samples, min_count=5)
    assert ratio == pytest.approx((1.5, 0.5, 2))
    assert occurrence_ratio(samples, min_count=6) == pytest.approx((2.0, 0.0, 1))
    assert occurrence_ratio([v] * 4, min_count=2).mean == math.inf
    assert math.isnan(occurrence_ratio(samples, min_count=100).mean)


def test_the_occurrence_ratio_of_a_symmetric_state_is_about_one_at_any_length(chain):
    ratio = occurrence_ratio(chain(10, 1.0).sample(100_000, 2), min_count=50)
    assert abs(ratio.mean - 1.0) < 5 * ratio.std / math.sqrt(ratio.n_pairs) + 0.02
    long = np.repeat([[0] * 70, [1] * 70], [10, 20], axis=0)
    assert occurrence_ratio(long, min_count=1) == (0.5, 0.0, 1)


def test_a_hundred_thousand_samples_of_a_hundred_spins_stay_under_a_gibibyte():
    script = """
import numpy as np
from rbmlib.quantum import MatrixProductState, occurrence_ratio, sampled_observables
rng = np.random.default_rng(0)
bonds = [min(2**i, 2 ** (100 - i), 16) for i in range(101)]
turns = [np.linalg.qr(rng.normal(size=(2 * b, a)))[0].T for a, b in zip(bonds, bonds[1:])]
state = MatrixProductState(tuple(turn.reshape(len(turn), 2, -1) for turn in turns))
samples = state.sample(100_000, 1)
sampled_observables(samples, lambda v: v @ np.linspace(-1.0, 1.0, 100), 1.0)
occurrence_ratio(samples, min_count=1)
state.log_probability(samples)
# Not ru_maxrss, which a process inherits from the one that starts it.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 2**30


UNIFORM = np.full(8, 0.125)
ONES = np.ones((2, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: exact_observables(np.full(6, 1 / 6), 1.0),
            ValueError,
            r"must have the shape \(2\*\*n_spins,\)",
        ),
        (lambda: exact_observables([0.5, 0.5], 1.0), ValueError, "n_spins at least 2"),
        (lambda: exact_observables(UNIFORM[None], 1.0), ValueError, "must have the shape"),
        (
            lambda: exact_observables(2 * UNIFORM, 1.0),
            ValueError,
            "probabilities must sum to 1, but sum to 2",
        ),
        (
            lambda: exact_observables(np.r_[UNIFORM[:7], math.nan], 1.0),
            ValueError,
            "must sum to 1, but sum to nan",
        ),
        (
            lambda: exact_observables([-0.5, 0.5, 0.5, 0.5], 1.0),
            ValueError,
            "must not be negative, but hold -0.5",
        ),
        (lambda: exact_observables(UNIFORM, -1.0), ValueError, "field must be positive"),
        (lambda: kullback_leibler(UNIFORM, [0.25] * 4), ValueError, "equally many spins, not 3 and 2"),
        (
            lambda: divergences(UNIFORM, [0.25] * 4, UNIFORM),
            ValueError,
            "over equally many spins, not over 3, 2 and 3",
        ),
        (
            lambda: empirical_distribution(np.zeros((1, 25))),
            ValueError,
            "at most 24 spins .* compare observables",
        ),
        (lambda: empirical_distribution(np.zeros((0, 5))), ValueError, "at least one configuration"),
        (lambda: up_spin_distribution([[0, 3]]), ValueError, "samples must hold only 0 .* but holds 3"),
        (lambda: up_spin_distribution([[0], [1]]), ValueError, "at least 2 columns"),
        (lambda: correlation_from_samples(np.zeros((0, 4))), ValueError, "at least one configuration"),
        (
            lambda: energy_from_samples(ONES, lambda v: v, 1.0),
            ValueError,
            "free_energy must return the shape",
        ),
        (lambda: energy_from_samples(ONES, lambda v: [math.nan] * 2, 1.0), ValueError, "must return finite"),
        (lambda: magnetization_estimates([1.0]), ValueError, "up_spins must have the shape"),
        (lambda: occurrence_ratio(ONES, min_count=0), ValueError, "min_count must be at least 1"),
        (lambda: correlation_mse([1.0], [1.0, 2.0]), ValueError, "rows of equal length"),
        (lambda: relative_error(1.0, 0.0), ValueError, "exact must be finite and not zero"),
        (lambda: relative_error(math.nan, 1.0), ValueError, "must be finite, not nan"),
        (
            lambda: relative_observable_error(1.0, -1.0, 1.0, 5),
            ValueError,
            "std must be finite and not negative",
        ),
        (lambda: relative_observable_error(1.0, 1.0, 1.0, 0), ValueError, "n must be at least 1"),
    ],
)
def test_bad_input_gets_one_clear_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call()
