"""The judge: what it learns, what it remembers, what it refuses; negatives with and without machines."""

import functools
import re
import sys

import numpy as np
import pytest
import torch

from rbmbook.lab import container
from rbmlib.mnist import negatives
from rbmlib.mnist.judge import Fit, Judge, Judgement, accuracy, cross_fit, folds, train_judge
from rbmlib.pruning import prune
from rbmlib.rbm import RBM
from rbmlib.training import train

SHAPE = (12, 12)
FIT = Fit(n_updates=150, batch_size=64, learning_rate=5e-3)


def over_pruned(images, seed):
    """Images of a quickly trained machine that has lost 95 % of its weights."""
    start = RBM.random(144, 20, seed, 0.01)
    means = np.clip(images.train.mean(axis=0), 0.01, 0.99)
    start = start.replace(visible_bias=np.log(means / (1 - means)))
    machine = train(start, images.train, n_epochs=8, learning_rate=0.1, seed=seed, k=1, n_chains=50).rbm
    pruned = prune(machine, machine.n_weights // 20)
    return pruned.sample(60, seed, 50)


@pytest.fixture(scope="module")
def machines(images):
    return [over_pruned(images, seed) for seed in range(6)]


@pytest.fixture(scope="module")
def judge(images, machines):
    return train_judge(
        images.train,
        images.train_labels,
        machines[:4],
        shape=SHAPE,
        seed=3,
        fit=FIT,
        about={"recipe": "over-pruned"},
    )


def test_a_judge_knows_digits_their_classes_and_machines_that_it_has_not_seen(images, machines, judge):
    found = accuracy(judge, images.test, images.test_labels, machines[4:])
    assert found.digits > 0.9
    assert found.kinds > 0.9
    assert found.machines.shape == (2,)
    assert (found.machines > 0.8).all()


def test_equal_seeds_give_equal_judges_and_leave_torch_as_it_was(images, machines):
    torch.manual_seed(7)
    before = torch.random.get_rng_state(), torch.get_num_threads()
    short = {"shape": SHAPE, "fit": Fit(n_updates=5)}
    one, same, other = (
        train_judge(images.train, images.train_labels, machines[:2], seed=seed, **short) for seed in (1, 1, 2)
    )
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1] == torch.get_num_threads()
    assert all(np.array_equal(one.parameters[name], same.parameters[name]) for name in one.parameters)
    assert not np.array_equal(one.parameters["dense.weight"], other.parameters["dense.weight"])


def test_a_judge_is_kept_without_pickles_under_a_checksum_with_its_origin(images, judge, tmp_path):
    content = container.encode(judge.to_dataset(), "0" * 64, {"experiment": "quality_judge"})
    _, variables = container.decode(tmp_path, content)
    again = Judge.from_dataset(container.assemble(tmp_path, *container.decode(tmp_path, content)))
    assert not any(variable.dtype == object for variable in variables.values())
    assert np.array_equal(again.judge(images.test).probability, judge.judge(images.test).probability)
    assert again.about == judge.about
    assert again.about["recipe"] == "over-pruned"
    assert (again.about["n_machines"], again.about["n_negatives"], again.about["seed"]) == (4, 240, 3)
    assert repr(again) == "Judge(12 x 12, 3 classes)"


def test_a_judge_trained_for_another_size_says_so(judge):
    for images in (np.zeros((3, 784)), np.zeros((3, 28, 28))):
        size = " x ".join(str(side) for side in images.shape[1:])
        sentence = (
            f"images have {size} pixels, and this judge was trained for 12 x 12; train one for their size"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            judge.judge(images)
    with pytest.raises(ValueError, match="images must hold 0 and 1 only, not 2"):
        judge.judge(np.full((3, 144), 2))
    with pytest.raises(ValueError, match="images must hold at least one image; it is empty"):
        judge.judge(np.zeros((0, 144)))


def test_without_torch_one_sentence_says_what_to_install(images, judge, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    sentence = r"^the judge needs the package torch: pip install 'rbmlib\[torch\]'$"
    with pytest.raises(ModuleNotFoundError, match=sentence):
        judge.judge(images.test)
    with pytest.raises(ModuleNotFoundError, match=sentence):
        train_judge(images.train, images.train_labels, [images.test], shape=SHAPE, seed=0)


def test_what_is_no_judge_is_not_taken_for_one(judge):
    dataset = judge.to_dataset()
    with pytest.raises(ValueError, match="dataset must hold about to be a judge"):
        Judge.from_dataset(dataset.drop_vars("about"))
    with pytest.raises(
        ValueError, match=r"parameters must be those of a judge of 12 x 12 images in 3 classes; digit\.bias "
    ):
        Judge.from_dataset(dataset.drop_vars("digit.bias"))
    with pytest.raises(ValueError, match=r"images in 3 classes; dense\.weight differ"):
        Judge(SHAPE, 3, {**judge.parameters, "dense.weight": np.zeros((64, 3))})
    with pytest.raises(ValueError, match="parameters must be finite"):
        Judge(SHAPE, 3, {**judge.parameters, "digit.bias": np.full(1, np.nan)})


def test_quality_and_classes_follow_from_what_was_accepted():
    found = Judgement(np.array([0.9, 0.5, 0.2, 0.6], np.float32), np.array([2, 0, 1, 2], np.uint8), 4)
    assert found.accepted.tolist() == [True, True, False, True]
    assert found.quality.value == 0.75
    assert found.quality.standard_error == pytest.approx(np.sqrt(0.75 * 0.25 / 4))
    assert found.confidence.value == pytest.approx(0.55)
    assert found.confidence.standard_error == pytest.approx(np.std([0.9, 0.5, 0.2, 0.6], ddof=1) / 2)
    assert found.counts.tolist() == [1, 0, 2, 0]


# --- by machine ---


def test_a_judge_of_a_fold_is_the_one_trained_on_the_other_machines(images, machines):
    fold = folds(6, 3)
    assert fold.tolist() == [0, 1, 2, 0, 1, 2]
    short = {"shape": SHAPE, "seed": 5, "fit": Fit(n_updates=3)}
    judges = cross_fit(images.train, images.train_labels, machines, fold, **short, about={"recipe": "a"})
    assert [one.about["fold"] for one in judges] == [0, 1, 2]
    assert {one.about["n_machines"] for one in judges} == {4}
    assert {one.about["recipe"] for one in judges} == {"a"}
    # What a fold holds has no influence on the judge that will judge it.
    changed = [images.test if its == 1 else one for one, its in zip(machines, fold, strict=True)]
    again = cross_fit(images.train, images.train_labels, changed, fold, **short)
    same = [
        np.array_equal(a.parameters["dense.weight"], b.parameters["dense.weight"])
        for a, b in zip(judges, again, strict=True)
    ]
    assert same == [False, True, False]


def test_every_machine_counts_equally_however_many_images_it_gave(images):
    seen = []

    class Watched(np.ndarray):
        def __getitem__(self, index):
            if isinstance(index, np.ndarray):
                seen.append(np.asarray(index))
            return super().__getitem__(index)

    from rbmlib.mnist import network

    rows = np.zeros((1010, 144), np.uint8).view(Watched)
    machine = np.repeat([0, 1], [1000, 10])
    network.train(images.train, images.train_labels, rows, machine, SHAPE, 3, Fit(n_updates=40), 1)
    drawn = np.concatenate(seen)
    assert abs((drawn >= 1000).mean() - 0.5) < 5 * 0.5 / np.sqrt(len(drawn))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda i, m: folds(4, 5), "n_folds must be from 2 to n_machines = 4, not 5"),
        (lambda i, m: folds(4, 1), "n_folds must be from 2 to n_machines = 4, not 1"),
        (
            lambda i, m: cross_fit(i.train, i.train_labels, m, [0, 1], shape=SHAPE, seed=0),
            "fold must be 6 integers >= 0, one a machine",
        ),
        (
            lambda i, m: cross_fit(i.train, i.train_labels, m, [0] * 6, shape=SHAPE, seed=0),
            "fold must leave machines to train on; all of them are in fold 0",
        ),
        (
            lambda i, m: train_judge(i.train, i.train_labels, [], shape=SHAPE, seed=0),
            "negatives must hold the images of at least one machine; it is empty",
        ),
        (
            lambda i, m: train_judge(i.train, i.train_labels, [np.zeros((2, 9))], shape=SHAPE, seed=0),
            "negatives[0] must have the shape (n_images, 144)",
        ),
        (
            lambda i, m: train_judge(i.train, i.train_labels[:5], m, shape=SHAPE, seed=0),
            "labels must be 600 integers, one a positive",
        ),
        (
            lambda i, m: train_judge(i.train, i.train_labels * 2, m, shape=SHAPE, seed=0),
            "labels must be 0 ... n_classes - 1, each at least once",
        ),
        (
            lambda i, m: train_judge(i.train, i.train_labels, m, shape=(3, 48), seed=0),
            "shape must have sides of 4 pixels or more, not (3, 48)",
        ),
        (
            lambda i, m: train_judge(i.train, i.train_labels, m, shape=SHAPE, seed=-1),
            "seed must be an integer in [0, 2**64), not -1",
        ),
        (lambda i, m: Fit(n_updates=0), "n_updates must be an integer >= 1, not 0"),
        (lambda i, m: Fit(batch_size=1), "batch_size must be an integer >= 2, not 1"),
        (lambda i, m: Fit(learning_rate=0), "learning_rate must be a positive number, not 0"),
    ],
)
def test_what_cannot_be_trained_gets_one_sentence(images, machines, call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        call(images, machines)


# --- negatives without machines ---


@pytest.mark.parametrize("name", negatives.FAMILIES)
def test_a_family_of_negatives_follows_from_its_seed_and_is_no_digit(images, name):
    make = negatives.FAMILIES[name]
    if name in ("shuffled blocks", "patchwork"):
        make = functools.partial(make, side=3)
    made = make(images.train, SHAPE, 4)
    assert (made.shape, made.dtype) == (images.train.shape, np.uint8)
    assert set(np.unique(made)) == {0, 1}
    assert np.array_equal(made, make(images.train, SHAPE, 4))
    assert not np.array_equal(made, make(images.train, SHAPE, 5))
    ink, before = made.sum(axis=1), images.train.sum(axis=1)
    if name in ("noise of equal ink", "shuffled blocks"):
        assert np.array_equal(ink, before)
    elif name == "fragments":
        assert (made <= images.train).all()
        assert 0.15 < ink.sum() / before.sum() < 0.6
    elif name == "superposed digits":
        assert (made >= images.train).all()
    else:
        means = images.train.mean(axis=0)
        error = np.sqrt(means * (1 - means) / len(made))
        assert (np.abs(made.mean(axis=0) - means) <= 5 * error + 1 / len(made)).all()
    assert (made == images.train).all(axis=1).mean() < 0.1


def test_pixels_that_come_from_different_images_are_independent_and_blocks_stay_whole(images):
    noise = negatives.independent_pixels(np.tile(images.train, (10, 1)), SHAPE, 1)
    correlation = np.corrcoef(noise[:, [40, 41, 52, 77]].T)
    assert (np.abs(correlation - np.eye(4)) < 5 / np.sqrt(len(noise))).all()
    pieces = negatives.patchwork(images.train, SHAPE, 1, side=4).reshape(-1, 12, 12)
    known = images.train.reshape(-1, 12, 12)
    for y in (0, 4, 8):
        for x in (0, 4, 8):
            there = {one.tobytes() for one in known[:, y : y + 4, x : x + 4]}
            assert {one.tobytes() for one in pieces[:, y : y + 4, x : x + 4]} <= there


def test_blocks_move_as_wholes(images):
    made = negatives.shuffled_blocks(images.train[:20], SHAPE, 1, side=4)

    def blocks(rows):
        return [
            sorted(image[y : y + 4, x : x + 4].tobytes() for y in (0, 4, 8) for x in (0, 4, 8))
            for image in rows.reshape(-1, 12, 12)
        ]

    assert blocks(made) == blocks(images.train[:20])
    with pytest.raises(ValueError, match="side must divide 12 and 12, not 7"):
        negatives.shuffled_blocks(images.train, SHAPE, 1)


@pytest.mark.parametrize(("shape", "side"), [((12, 12), 3), ((28, 28), 7), ((8, 12), 2), ((7, 13), 1)])
def test_blocks_of_a_family_are_a_quarter_of_the_side_or_the_next_smaller_that_fit(shape, side):
    images = np.random.default_rng(1).integers(0, 2, (20, shape[0] * shape[1]), dtype=np.uint8)
    for name, family in (
        ("patchwork", negatives.patchwork),
        ("shuffled blocks", negatives.shuffled_blocks),
    ):
        assert np.array_equal(negatives.make(name, images, shape, 3), family(images, shape, 3, side=side))
    fragments = negatives.fragments(images, shape, 3)
    assert np.array_equal(negatives.make("fragments", images, shape, 3), fragments)


def test_a_family_that_does_not_exist_is_refused(images):
    with pytest.raises(ValueError, match=r"^name must be one of noise of equal ink, .*, not 'clouds'$"):
        negatives.make("clouds", images.train, SHAPE, 1)
