"""The machine: exact sums against brute force, files, and what is refused."""

import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbmlib.kernels.initialisation import derived_seed
from rbmlib.rbm import RBM, ModelFileError


def states_of(n):
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(np.uint8)


def machine(n_visible, n_hidden, seed=0, scale=1.0, share_kept=0.8):
    rng = np.random.default_rng(seed)
    mask = rng.random((n_visible, n_hidden)) < share_kept
    return RBM(
        scale * rng.normal(size=(n_visible, n_hidden)),
        scale * rng.normal(size=n_visible),
        rng.normal(size=n_hidden),
        mask,
    )


def boltzmann(rbm):
    """-E(v, h) of all pairs of states, (2**n_visible, 2**n_hidden), in extended precision and straight from the definition."""
    v, h = states_of(rbm.n_visible).astype(np.longdouble), states_of(rbm.n_hidden).astype(np.longdouble)
    w, b, c = (x.astype(np.longdouble) for x in (rbm.weights, rbm.visible_bias, rbm.hidden_bias))
    return np.einsum("vi,ij,hj->vh", v, w, h) + (v * b).sum(axis=1)[:, None] + (h * c).sum(axis=1)


def log_sum(x, axis=None):
    top = x.max(axis=axis, keepdims=True)
    return np.squeeze(top, axis=axis) + np.log(np.exp(x - top).sum(axis=axis))


sizes = st.tuples(st.integers(1, 8), st.integers(1, 8))


@settings(max_examples=60)
@given(sizes, st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, 1.0, 5.0]))
def test_exact_sums_are_those_of_brute_force(size, seed, scale):
    rbm = machine(*size, seed, scale)
    minus_energy = boltzmann(rbm)
    log_z = log_sum(minus_energy)
    log_weights = log_sum(minus_energy, axis=1)
    assert rbm.log_partition() == pytest.approx(float(log_z), rel=1e-13, abs=1e-12)
    np.testing.assert_allclose(
        rbm.log_probabilities(), (log_weights - log_z).astype(float), rtol=1e-12, atol=1e-11
    )
    np.testing.assert_allclose(rbm.probabilities(), np.exp(log_weights - log_z).astype(float), rtol=1e-11)
    np.testing.assert_allclose(
        rbm.free_energy(states_of(size[0])), -log_weights.astype(float), rtol=1e-12, atol=1e-12
    )


@settings(max_examples=30)
@given(sizes, st.integers(0, 2**32 - 1))
def test_conditionals_are_ratios_of_boltzmann_weights(size, seed):
    rbm = machine(*size, seed)
    joint = np.exp(boltzmann(rbm))
    v, h = states_of(size[0]), states_of(size[1])
    hidden = (joint[:, :, None] * h).sum(axis=1) / joint.sum(axis=1)[:, None]
    visible = (joint[:, :, None] * v[:, None, :]).sum(axis=0) / joint.sum(axis=0)[:, None]
    np.testing.assert_allclose(rbm.hidden_probabilities(v), hidden.astype(float), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(rbm.visible_probabilities(h), visible.astype(float), rtol=1e-9, atol=1e-14)


def test_the_energy_is_the_definition():
    rbm = machine(4, 3)
    v, h = states_of(4).repeat(8, axis=0), np.tile(states_of(3), (16, 1))
    np.testing.assert_allclose(
        rbm.energy(v, h), -boltzmann(rbm).ravel().astype(float), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize(("n_visible", "n_hidden"), [(12, 3), (3, 12), (9, 9), (1, 14), (14, 1)])
def test_log_z_does_not_depend_on_which_layer_is_summed(n_visible, n_hidden):
    rbm = machine(n_visible, n_hidden, 5, 2.0)
    assert rbm.log_partition() == pytest.approx(rbm.transposed().log_partition(), rel=1e-13)
    assert np.logaddexp.reduce(-rbm.free_energy(states_of(n_visible))) == pytest.approx(
        rbm.log_partition(), rel=1e-12
    )


def test_eighteen_by_nine_adds_up_to_one():
    rbm = machine(18, 9, 6)
    probabilities = rbm.probabilities()
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-11)
    some = np.random.default_rng(1).integers(0, 2**18, 100)
    np.testing.assert_allclose(
        np.log(probabilities[some]), -rbm.free_energy(states_of(18)[some]) - rbm.log_partition(), rtol=1e-11
    )


def test_large_fields_are_split_into_safe_products():
    """Fields whose product of factors overflows a float64: exp(4 * 300)."""
    rbm = RBM(np.full((4, 6), 70.0), np.full(4, -200.0), np.full(6, 15.0))
    exact = log_sum(boltzmann(rbm))
    assert rbm.log_partition() == pytest.approx(float(exact), rel=1e-13)
    assert rbm.probabilities().sum() == pytest.approx(1.0, abs=1e-12)


def test_fields_beyond_what_enumeration_handles_are_refused():
    rbm = RBM(np.full((3, 3), 250.0), np.zeros(3), np.zeros(3))
    for call in (rbm.probabilities, rbm.log_probabilities, rbm.log_partition):
        with pytest.raises(ValueError, match=r"weights give fields up to 750; .* up to 600"):
            call()
    assert np.isfinite(rbm.free_energy(states_of(3))).all()


def test_layers_too_large_to_enumerate_are_refused_with_what_to_do():
    with pytest.raises(
        ValueError, match=r"at most 24 visible units, not 25; use sample\(\) and free_energy\(\)"
    ):
        RBM.random(25, 2, 0).probabilities()
    with pytest.raises(
        ValueError, match="at most 28 units, not 29; estimate log Z by annealed importance sampling"
    ):
        RBM.random(29, 30, 0).log_partition()
    assert np.isfinite(RBM.random(29, 3, 0).log_partition())
    assert np.isfinite(RBM.random(3, 29, 0).log_partition())


# --- masks and immutability ---


def test_masked_weights_are_exactly_zero_and_stay_so():
    mask = np.array([[True, False], [False, True], [True, True]])
    rbm = RBM(np.full((3, 2), -0.5), np.zeros(3), np.zeros(2), mask)
    assert rbm.weights[~mask].tolist() == [0.0, 0.0]
    assert not np.signbit(rbm.weights[~mask]).any()
    assert rbm.n_weights == 4
    replaced = rbm.replace(weights=np.ones((3, 2)))
    assert (replaced.weights == mask).all()
    assert (rbm.transposed().mask == mask.T).all()
    assert (RBM.random(3, 2, 1, mask=mask).weights != 0).tolist() == mask.tolist()


def test_a_machine_cannot_be_changed_and_keeps_no_hold_on_what_it_was_given():
    weights = np.ones((2, 2), np.float32)
    rbm = RBM(weights, np.zeros(2), np.zeros(2))
    weights[0, 0] = 5
    assert rbm.weights[0, 0] == 1
    for name in ("weights", "visible_bias", "hidden_bias", "mask"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(rbm, name)[...] = 0
        with pytest.raises(AttributeError):
            setattr(rbm, name, None)
    assert rbm.weights.dtype == rbm.visible_bias.dtype == rbm.hidden_bias.dtype == np.float32
    assert rbm.weights.flags.c_contiguous
    assert RBM(np.asfortranarray(np.ones((3, 2))), np.zeros(3), np.zeros(2)).weights.flags.c_contiguous
    assert repr(rbm) == "RBM(2 visible, 2 hidden, 4 of 4 weights)"


# --- files ---


def same(a, b):
    return all(
        np.array_equal(getattr(a, n), getattr(b, n))
        for n in ("weights", "visible_bias", "hidden_bias", "mask")
    )


@pytest.mark.parametrize(("n_visible", "n_hidden"), [(1, 1), (7, 3), (50, 25)])
def test_a_saved_machine_is_read_back_with_the_same_bits(tmp_path, n_visible, n_hidden):
    rbm = machine(n_visible, n_hidden)
    rbm.save(tmp_path / "machine.npz")
    assert same(RBM.load(tmp_path / "machine.npz"), rbm)
    RBM.random(2, 2, 0).save(tmp_path / "machine.npz")
    assert RBM.load(tmp_path / "machine.npz").n_visible == 2
    assert [path.name for path in tmp_path.iterdir()] == ["machine.npz"]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    rbm = machine(3, 2)
    rbm.save(tmp_path / "machine.npz")
    before = (tmp_path / "machine.npz").read_bytes()

    def full(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="disk full"):
        machine(4, 4).save(tmp_path / "machine.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["machine.npz"]
    assert (tmp_path / "machine.npz").read_bytes() == before
    with pytest.raises(FileNotFoundError):
        RBM.load(tmp_path / "missing.npz")


class Bomb:
    def __reduce__(self):
        return exec, ("import pathlib; pathlib.Path('ran').touch()",)


def write(path, kind):
    good = {
        "weights": np.ones((2, 2)),
        "visible_bias": np.zeros(2),
        "hidden_bias": np.zeros(2),
        "mask": np.ones((2, 2), bool),
    }
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    elif kind == "array of objects":
        np.savez(path, **{**good, "weights": np.array([Bomb()], dtype=object)})
    elif kind == "pickle inside":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("weights.npy", pickle.dumps(Bomb()))
    elif kind == "one array":
        with path.open("wb") as file:
            np.save(file, np.ones((2, 2)))
    elif kind == "missing":
        np.savez(path, weights=good["weights"])
    elif kind == "shapes":
        np.savez(path, **{**good, "visible_bias": np.zeros(3)})
    elif kind == "not a number":
        np.savez(path, **{**good, "weights": np.full((2, 2), np.nan)})
    elif kind == "text array":
        np.savez(path, **{**good, "weights": np.full((2, 2), "a")})
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("weights")


FOREIGN = (
    "pickle", "array of objects", "pickle inside", "one array", "missing", "shapes", "not a number", "text array", "empty", "text",
)  # fmt: skip


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_refused_by_name_and_nothing_in_it_runs(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "machine.npz"
    write(path, kind)
    with pytest.raises(ModelFileError, match=r"machine\.npz is not a complete RBM file"):
        RBM.load(path)
    assert not (tmp_path / "ran").exists()


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "machine.npz"
    machine(9, 5).save(path)
    whole = path.read_bytes()
    for n_bytes in range(0, len(whole), 97):
        path.write_bytes(whole[:n_bytes])
        with pytest.raises(ModelFileError, match="not a complete RBM file"):
            RBM.load(path)
    start = whole.index(np.ascontiguousarray(machine(9, 5).weights).tobytes())
    flipped = bytearray(whole)
    flipped[start + 10] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(ModelFileError, match="CRC"):
        RBM.load(path)


# --- what is refused ---

GOOD = {"weights": np.zeros((3, 2)), "visible_bias": np.zeros(3), "hidden_bias": np.zeros(2)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"weights": np.zeros(3)},
            r"weights must have the shape \(n_visible, n_hidden\), both positive, not \(3,\)",
        ),
        ({"weights": np.zeros((0, 2))}, r"weights must have the shape .* not \(0, 2\)"),
        (
            {"visible_bias": np.zeros(2)},
            r"visible_bias must have the shape \(3,\) to fit weights, not \(2,\)",
        ),
        (
            {"hidden_bias": np.zeros((2, 1))},
            r"hidden_bias must have the shape \(2,\) to fit weights, not \(2, 1\)",
        ),
        ({"weights": np.full((3, 2), np.inf)}, "weights must be finite"),
        ({"hidden_bias": [0.0, np.nan]}, "hidden_bias must be finite"),
        ({"mask": np.ones((2, 3), bool)}, r"mask must have the shape of weights, \(3, 2\), not \(2, 3\)"),
        ({"mask": np.full((3, 2), 0.5)}, "mask must be boolean, not float64"),
    ],
)
def test_arrays_that_do_not_make_a_machine_are_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        RBM(**{**GOOD, **change})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rbm: rbm.free_energy([0, 1, 0]), r"visible must have the shape \(n_samples, 3\), not \(3,\)"),
        (
            lambda rbm: rbm.free_energy([[0, 1]]),
            r"visible must have the shape \(n_samples, 3\), not \(1, 2\)",
        ),
        (lambda rbm: rbm.free_energy([[0, 1, 2]]), "visible must hold 0 and 1 only, not 2"),
        (lambda rbm: rbm.free_energy([[0, 1, np.nan]]), "visible must hold 0 and 1 only, not nan"),
        (
            lambda rbm: rbm.hidden_probabilities([["a", "b", "c"]]),
            "visible must hold the numbers 0 and 1, not <U1",
        ),
        (
            lambda rbm: rbm.energy([[0, 1, 1]], [[0, 1], [1, 1]]),
            "hidden must have as many rows as visible, 1, not 2",
        ),
        (lambda rbm: rbm.sample(0, 1), "n_samples must be an integer >= 1, not 0"),
        (lambda rbm: rbm.sample(2, 1, n_steps=-1), "n_steps must be an integer >= 0, not -1"),
        (lambda rbm: rbm.sample(2, 1, first_chain=0.5), r"first_chain must be an integer >= 0, not 0\.5"),
        (lambda rbm: rbm.sample(2, -1), r"seed must be an integer in \[0, 2\*\*64\), not -1"),
        (lambda rbm: rbm.sample(2, 2**64), "seed must be an integer"),
        (lambda rbm: rbm.sample(2, True), "seed must be an integer"),
        (
            lambda rbm: rbm.sample(2, 1, initial=np.zeros((3, 3))),
            "initial must have n_samples = 2 rows, not 3",
        ),
        (lambda rbm: RBM.random(0, 2, 1), "n_visible must be a positive integer, not 0"),
        (lambda rbm: RBM.random(2, 2.0, 1), r"n_hidden must be a positive integer, not 2\.0"),
        (lambda rbm: RBM.random(2, 2, 1, scale=-1), "scale must be a finite number >= 0, not -1"),
        (lambda rbm: RBM.random(2, 2, "a"), "seed must be an integer"),
    ],
)
def test_a_bad_argument_is_named_with_what_was_given(call, message):
    with pytest.raises(ValueError, match=message):
        call(RBM(**GOOD))


def test_an_unknown_field_is_refused():
    with pytest.raises(TypeError, match="weights, visible_bias, hidden_bias, mask, not bias"):
        RBM(**GOOD).replace(bias=1)


# --- initial weights ---


def moment_scores(seed):
    """Standard scores of the first four moments and two correlations of 40,000 initial weights."""
    x = RBM.random(200, 200, seed, scale=1.0).weights.astype(np.float64)
    n = x.size
    even, odd = x.ravel()[0::2], x.ravel()[1::2]
    return np.array(
        [
            x.mean() * np.sqrt(n),
            ((x**2).mean() - 1) / np.sqrt(2 / n),
            (x**3).mean() / np.sqrt(15 / n),
            ((x**4).mean() - 3) / np.sqrt(96 / n),
            (even * odd).mean() / np.sqrt(2 / n),
            (even[1:] * odd[:-1]).mean() / np.sqrt(2 / n),
        ]
    )


def test_initial_weights_have_the_moments_of_a_normal_distribution():
    assert np.abs(moment_scores(1)).max() < 5


def test_initial_weights_are_scaled_by_the_visible_layer_and_biases_are_zero():
    rbm = RBM.random(16, 8, 5)
    np.testing.assert_allclose(rbm.weights, RBM.random(16, 8, 5, scale=1.0).weights / 4, rtol=1e-7)
    assert not rbm.visible_bias.any()
    assert not rbm.hidden_bias.any()


def test_an_initial_weight_depends_on_the_seed_and_its_place_in_the_row_major_order_alone():
    small, large = RBM.random(4, 5, 9, scale=1.0), RBM.random(30, 40, 9, scale=1.0)
    np.testing.assert_array_equal(small.weights.ravel(), large.weights.ravel()[:20])
    assert (RBM.random(3, 5, 9, scale=1.0).weights == small.weights[:3]).all()
    assert not np.isin(RBM.random(4, 5, 10, scale=1.0).weights, small.weights).any()
    mask = np.eye(4, 5, dtype=bool)
    np.testing.assert_array_equal(
        RBM.random(4, 5, 9, mask=mask).weights[mask], RBM.random(4, 5, 9).weights[mask]
    )


def test_derived_seeds_do_not_collide():
    seeds = {
        int(derived_seed(np.uint64(s), a, b)) for s in (0, 1, 2**64 - 1) for a in range(30) for b in range(30)
    }
    assert len(seeds) == 2700
    assert all(0 <= seed < 2**64 for seed in seeds)
