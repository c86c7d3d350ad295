"""Machines of other programs mean the same distribution here; what cannot be read is called by its name."""

import pickle
import zipfile

import numpy as np
import pytest

from rbmlib import RBM, interchange
from rbmlib.rbm import ModelFileError

N_VISIBLE, N_HIDDEN = 5, 3
STATES = (np.arange(2**N_VISIBLE)[:, None] >> np.arange(N_VISIBLE) & 1).astype(np.uint8)


def softplus(x):
    return np.logaddexp(0.0, x)


def parameters(n_visible=N_VISIBLE, n_hidden=N_HIDDEN):
    """Weights (visible x hidden) and biases of a machine, as float32 numbers."""
    random = np.random.default_rng(7)
    shapes = (n_visible, n_hidden), n_visible, n_hidden
    return [random.normal(size=shape).astype(np.float32).astype(float) for shape in shapes]


def energies_of(weights, visible_bias, hidden_bias, states=STATES):
    return -(states @ visible_bias) - softplus(states @ weights + hidden_bias).sum(axis=1)


def qucumbers_effective_energy(weights, visible_bias, hidden_bias, states=STATES):
    """As `BinaryRBM.effective_energy` of QuCumber 1.3.3, whose weights are hidden x visible."""
    return -(states @ visible_bias + softplus(states @ weights.T + hidden_bias).sum(-1))


@pytest.fixture
def qucumber(tmp_path):
    weights, visible_bias, hidden_bias = parameters()
    path = tmp_path / "pos.npz"
    np.savez(path, weights=weights.T, visible_bias=visible_bias, hidden_bias=hidden_bias)
    return path


def test_a_positive_wave_function_of_qucumber_has_its_free_energies(qucumber):
    machine = interchange.read_qucumber(qucumber)
    assert (machine.n_visible, machine.n_hidden, machine.n_weights) == (5, 3, 15)
    with np.load(qucumber) as stored:
        np.testing.assert_allclose(
            machine.free_energy(STATES), qucumbers_effective_energy(**stored), rtol=1e-12
        )


def test_a_square_one_is_not_taken_the_wrong_way_round(tmp_path):
    weights, visible_bias, hidden_bias = parameters(5, 5)
    np.savez(tmp_path / "a.npz", weights=weights.T, visible_bias=visible_bias, hidden_bias=hidden_bias)
    found = interchange.read_qucumber(tmp_path / "a.npz").free_energy(STATES)
    np.testing.assert_allclose(found, energies_of(weights, visible_bias, hidden_bias), rtol=1e-12)


def test_a_complex_wave_function_of_qucumber_has_two_machines(tmp_path):
    path, both = tmp_path / "complex.npz", {}
    for network in ("am", "ph"):
        weights, visible_bias, hidden_bias = parameters()
        scale = 1.0 if network == "am" else 0.5
        both[f"{network}_weights"] = scale * weights.T
        both[f"{network}_visible_bias"], both[f"{network}_hidden_bias"] = visible_bias, hidden_bias
    np.savez(path, **both)
    for network in ("am", "ph"):
        own = [both[f"{network}_{name}"] for name in ("weights", "visible_bias", "hidden_bias")]
        found = interchange.read_qucumber(path, network).free_energy(STATES)
        np.testing.assert_allclose(found, qucumbers_effective_energy(*own), rtol=1e-12)
    with pytest.raises(ModelFileError, match=r'complex wave function: name one by network="am"'):
        interchange.read_qucumber(path)
    with pytest.raises(ValueError, match=r'network must be "am", "ph" or None, not \'phase\''):
        interchange.read_qucumber(path, "phase")


def torch_like(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")


FOREIGN = {
    "empty": lambda path: path.write_bytes(b""),
    "a pickle, which could run code": lambda path: path.write_bytes(pickle.dumps({"weights": [1]})),
    "a file of torch.save, whose pickle could run code": torch_like,
    "an HDF5 file, such as read_rbms reads": lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)),
    "a single array": lambda path: np.save(path.open("wb"), np.zeros(3)),
    "of another kind": lambda path: path.write_bytes(b"some text"),
    "it has no weights and no hidden_bias, only visible_bias, w": lambda path: np.savez(
        path, visible_bias=np.zeros(5), w=np.zeros((3, 5))
    ),
    "it was written by RBM.save: read it by RBM.load": lambda path: RBM.random(5, 3, 1).save(path),
    "a density operator's machine": lambda path: np.savez(path, weights_W=np.zeros((3, 5))),
    "weights must hold real numbers, not complex128": lambda path: np.savez(
        path, weights=np.zeros((3, 5), complex), visible_bias=np.zeros(5), hidden_bias=np.zeros(3)
    ),
    "visible_bias must have the shape": lambda path: np.savez(
        path, weights=np.zeros((3, 5)), visible_bias=np.zeros(3), hidden_bias=np.zeros(5)
    ),
    "cannot be loaded": lambda path: np.savez(
        path, weights=np.array([None]), visible_bias=np.zeros(5), hidden_bias=np.zeros(3)
    ),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("words", FOREIGN)
def test_what_qucumber_did_not_write_is_named(tmp_path, words):
    path = tmp_path / "a.npz"
    FOREIGN[words](path)
    with pytest.raises(ModelFileError, match=words) as caught:
        interchange.read_qucumber(path)
    assert str(path) in str(caught.value)


def test_no_file_is_no_file(tmp_path):
    for read in (interchange.read_qucumber, interchange.read_rbms):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")


# rbms


def write_rbms(path, updates=(1, 10), kind="BBRBM", nested=True, leave_out=()):
    """A file as `rbms.io.save_model` of rbms 0.5.0 leaves it, the machine of update N scaled by N."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "a") as file:
        for update in updates:
            checkpoint = file.create_group(f"update_{update}")
            group = checkpoint.create_group("params") if nested else checkpoint
            for name, values in zip(("weight_matrix", "vbias", "hbias"), parameters(), strict=True):
                if name not in leave_out:
                    group[name] = (update * values).astype(np.float32)
                    if nested:
                        checkpoint[name] = group[name]
            checkpoint["time"] = 1.5
            checkpoint["numpy_rng_arg0"] = "MT19937"
            checkpoint.create_group("flags")["checkpoint"] = True
        file["parallel_chains"] = np.zeros((4, N_VISIBLE), np.float32)
        if kind is not None:
            file["model_type"] = kind
    return path


@pytest.mark.parametrize(("update", "scale"), [(None, 10), (1, 1)])
@pytest.mark.parametrize("nested", [True, False])
def test_a_machine_of_rbms_has_its_free_energies(tmp_path, update, scale, nested):
    machine = interchange.read_rbms(write_rbms(tmp_path / "a.h5", nested=nested), update)
    expected = energies_of(*(np.float32(scale * values).astype(float) for values in parameters()))
    np.testing.assert_allclose(machine.free_energy(STATES), expected, rtol=1e-6)


def test_what_rbms_did_not_write_is_named(tmp_path):
    pytest.importorskip("h5py")
    numbers = iter(range(9))

    def refused(words, write=None, update=None, **options):
        path = tmp_path / f"{next(numbers)}.h5"
        write(path) if write else write_rbms(path, **options)
        with pytest.raises(ModelFileError, match=words):
            interchange.read_rbms(path, update)

    refused("it holds a PBRBM, a machine of Potts variables", kind="PBRBM")
    refused("it has no update 3, only 1, 10", update=3)
    refused("it has no groups update_N, only model_type, parallel_chains", updates=())
    refused("it has no hbias in update 1", updates=(1,), leave_out=("hbias",))
    refused("it is a zip archive", write=RBM.random(5, 3, 1).save)
    refused("it is empty", write=lambda path: path.write_bytes(b""))
    whole = write_rbms(tmp_path / "whole.h5").read_bytes()
    refused("is not an HDF5 file of rbms", write=lambda path: path.write_bytes(whole[: len(whole) // 2]))


def test_without_h5py_it_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99))
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(ModuleNotFoundError, match="pip install h5py"):
        interchange.read_rbms(path)


# scikit-learn


def test_a_machine_goes_to_scikit_learn_and_back_with_its_free_energies():
    pytest.importorskip("sklearn")
    weights, visible_bias, hidden_bias = parameters()
    machine = RBM(weights, visible_bias, hidden_bias, np.random.default_rng(1).random(weights.shape) < 0.7)
    model = interchange.to_sklearn(machine, random_state=3)
    np.testing.assert_allclose(
        model._free_energy(STATES.astype(float)), machine.free_energy(STATES), rtol=1e-12
    )
    np.testing.assert_allclose(model.transform(STATES), machine.hidden_probabilities(STATES), rtol=1e-12)
    back = interchange.from_sklearn(model)
    np.testing.assert_array_equal(back.free_energy(STATES), machine.free_energy(STATES))
    model.partial_fit(STATES)
    assert model.components_.shape == (N_HIDDEN, N_VISIBLE)


def test_one_that_scikit_learn_has_trained_has_its_free_energies():
    neural_network = pytest.importorskip("sklearn.neural_network")
    model = neural_network.BernoulliRBM(n_components=3, n_iter=2, random_state=0)
    with pytest.raises(
        ValueError, match="model must be a fitted BernoulliRBM, not BernoulliRBM without components_"
    ):
        interchange.from_sklearn(model)
    model.fit(STATES)
    machine = interchange.from_sklearn(model)
    np.testing.assert_allclose(
        machine.free_energy(STATES), model._free_energy(STATES.astype(float)), rtol=1e-6
    )
