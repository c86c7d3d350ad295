"""KL divergence, fidelity and log Z from samples, against sums over all configurations."""

import numpy as np
import pytest

from rbmlib.quantum.errors import infidelity, kullback_leibler
from rbmlib.quantum.sampled_divergences import (
    bridged_log_partition,
    sampled_kl_divergence,
    sampled_log_fidelity,
)

LOG_Z = 37.5


def pair(deviation, seed=0):
    """An exact distribution p and a model q over 64 configurations."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(64, 2.0))
    q = p * np.exp(deviation * rng.normal(size=64))
    return p, q / q.sum()


def ratios(p, q, of, n, seed):
    """log q~ - log p at samples of p or q."""
    drawn = np.random.default_rng(seed).choice(len(p), n, p=of)
    return np.log(q[drawn]) + LOG_Z - np.log(p[drawn])


def scores(seed, deviation=0.5):
    p, q = pair(deviation)
    at_p, at_q = ratios(p, q, p, 4000, seed), ratios(p, q, q, 3000, seed + 1000)
    kl = sampled_kl_divergence(at_p, LOG_Z)
    fidelity = sampled_log_fidelity(at_p, at_q, LOG_Z)
    bridge = bridged_log_partition(at_p, at_q)
    return np.array(
        [
            (kl.value - kullback_leibler(p, q)) / kl.standard_error,
            (fidelity.value - np.log(1 - infidelity(q, p))) / fidelity.standard_error,
            (bridge.value - LOG_Z) / bridge.standard_error,
        ]
    )


@pytest.mark.parametrize("deviation", [0.02, 0.5, 1.5])
def test_estimates_lie_within_five_standard_errors(deviation):
    assert np.abs(scores(1, deviation)).max() < 5


def test_standard_errors_are_those_of_repeated_runs():
    spread = np.std([scores(seed) for seed in range(200)], axis=0)
    assert ((spread > 0.8) & (spread < 1.2)).all()


def test_close_to_the_exact_state_control_variates_remove_the_noise():
    p, q = pair(0.02)
    at_p, at_q = ratios(p, q, p, 2000, 1), ratios(p, q, q, 2000, 2)
    plain = at_p.std() / np.sqrt(2000)
    assert sampled_kl_divergence(at_p, LOG_Z).standard_error < 0.05 * plain
    assert sampled_log_fidelity(at_p, at_q, LOG_Z).standard_error < 0.05 * plain


def test_the_error_of_log_z_counts_in_full_only_far_from_the_exact_state():
    near, far = (
        sampled_kl_divergence(ratios(*pair(d), pair(d)[0], 4000, 1), LOG_Z, 0.3) for d in (0.02, 4.0)
    )
    assert near.standard_error < 0.03
    assert far.standard_error > 0.1


def test_a_wrong_log_z_moves_the_fidelity_to_second_order_only():
    p, q = pair(0.5)
    at_p, at_q = ratios(p, q, p, 20_000, 1), ratios(p, q, q, 20_000, 2)
    found = [sampled_log_fidelity(at_p, at_q, LOG_Z + shift).value for shift in (-0.02, 0.0, 0.02)]
    assert np.ptp(found) < 0.002


def test_equal_distributions_have_no_distance():
    ratio = np.full(10, LOG_Z)
    assert sampled_kl_divergence(ratio, LOG_Z).value == pytest.approx(0)
    assert sampled_log_fidelity(ratio, ratio, LOG_Z).value == pytest.approx(0)
    assert bridged_log_partition(ratio, ratio).value == pytest.approx(LOG_Z)
    assert sampled_kl_divergence(ratio, LOG_Z).effective_share == pytest.approx(1)


def test_ratios_beyond_the_range_of_numbers_do_not_overflow():
    logs = np.array([0.0, -5.0, 2000.0, 1.0])
    assert np.isfinite(sampled_kl_divergence(logs, 0.0).value)
    assert np.isfinite(sampled_log_fidelity(logs, -logs, 0.0).value)
    assert sampled_kl_divergence(logs, 0.0).effective_share == pytest.approx(0.25)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="log_ratios must be a row of at least two finite numbers"):
        sampled_kl_divergence([1.0], 0.0)
    with pytest.raises(ValueError, match="model_log_ratios must be a row"):
        sampled_log_fidelity([1.0, 2.0], [1.0, np.inf], 0.0)
    with pytest.raises(ValueError, match="log_partition must be a finite number"):
        sampled_kl_divergence([1.0, 2.0], np.nan)
