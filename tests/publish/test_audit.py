"""What the command says of published results that are fresh, stale, gone, damaged or not needed any more."""

import importlib
import json
import sys

import pytest
from click.testing import CliRunner, Result

from rbmlib.cli import cli
from rbmlib.lab import container, fingerprint
from rbmlib.lab.sweep import fill
from rbmlib.publish.audit import audit, cells_by_profile
from rbmlib.publish.project import Project


def call(project: Project, *arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), obj=project, prog_name="rbmlib")


def publish(project: Project, profile: str = "book") -> None:
    fill(
        cells_by_profile(project)["counting", profile],
        project.store(),
        workers=1,
        publish=True,
        progress=False,
    )


def reload(package: str) -> None:
    """Forget a package whose source has changed."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
    fingerprint._known.clear()
    importlib.invalidate_caches()


@pytest.fixture
def published(workshop, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    publish(workshop.project)
    yield workshop
    reload(workshop.package)


def results(project: Project) -> dict[str, int]:
    (one,) = (one for one in audit(project).results if one.profile == "book")
    return {"fresh": one.fresh, **one.reasons}


def files(project: Project) -> list[str]:
    return sorted(path.name for path in project.results.rglob("*.npz"))


def test_nothing_published_is_missing(workshop) -> None:
    assert results(workshop.project) == {"fresh": 0, "missing: never computed": 2}
    output = call(workshop.project, "status").output
    assert "counting  missing: it was never executed" in output
    assert "counting  profile book: 0 of 2 fresh; 2 missing: never computed" in output


def test_what_is_only_in_the_cache_is_not_published(workshop) -> None:
    cells = cells_by_profile(workshop.project)["counting", "book"]
    fill(cells, workshop.project.store(), workers=1, progress=False)
    assert results(workshop.project) == {"fresh": 0, "missing: computed but not published": 2}


def test_published_results_are_fresh_and_nothing_is_superseded(published) -> None:
    assert results(published.project) == {"fresh": 2}
    assert audit(published.project).superseded == ()
    assert call(published.project, "status").exit_code == 0
    assert call(published.project, "status", "--strict").exit_code == 1  # its notebooks were never executed


def test_changed_code_makes_results_stale_and_keeps_them_until_replaced(published) -> None:
    old = files(published.project)
    published.edit_code("counting.py", "n_items * field)})", "field * n_items)})")
    reload(published.package)
    assert results(published.project) == {"fresh": 0, "stale: the code that computes it changed": 2}
    assert [one.replaced for one in audit(published.project).superseded] == [False, False]
    assert call(published.project, "status", "--prune").exit_code == 0
    assert files(published.project) == old
    publish(published.project)
    assert results(published.project) == {"fresh": 2}
    output = call(published.project, "status").output
    assert "Superseded results: 2; rbmlib status --prune deletes 2 of them" in output
    assert output.count("a fresh result has replaced it") == 2
    assert len(files(published.project)) == 4  # asking deletes nothing
    output = call(published.project, "status", "--prune").output
    assert output.count("deleted book/results/counting/") == 2
    assert len(files(published.project)) == 2
    assert not set(files(published.project)) & set(old)
    assert results(published.project) == {"fresh": 2}


def test_results_of_parameters_that_no_profile_has_can_go_and_other_profiles_stay(published) -> None:
    publish(published.project, "quick")
    published.edit_code(
        "counting.py", '"n_items": 3, "fields": (1.0, 2.0)', '"n_items": 3, "fields": (2.0, 5.0)'
    )
    reload(published.package)
    assert results(published.project) == {"fresh": 1, "missing: never computed": 1}
    found = json.loads(call(published.project, "status", "--json").output)
    assert [one["reason"] for one in found["superseded"]] == ["no study has these parameters"]
    assert {one["profile"] for one in found["results"]} == {"quick", "book"}
    call(published.project, "status", "--prune")
    assert len(files(published.project)) == 2


def test_other_library_versions_are_told(published) -> None:
    path = next(published.project.results.rglob("*.npz"))
    meta, variables = container.decode(path, path.read_bytes())
    meta["origin"]["versions"]["numpy"] = "1.0"
    path.write_bytes(container.pack(meta, variables))
    assert "computed with numpy 1.0, here" in call(published.project, "status").output


def test_a_damaged_result_is_named(published) -> None:
    path = next(published.project.results.rglob("*.npz"))
    path.write_bytes(path.read_bytes()[:-1])
    result = call(published.project, "status")
    assert f"{path} is damaged" in result.output
    assert call(published.project, "status", "--strict").exit_code == 1


def test_verification_passes_on_what_was_published(published) -> None:
    for arguments in ((), ("--all",), ("counting",), ("--cells", "1", "--seed", "3", "counting")):
        result = call(published.project, "verify", "--workers", "1", *arguments)
        assert result.exit_code == 0, result.output
        assert "0 failed" in result.output


def test_verification_of_a_wrong_byte_ends_with_code_one_and_names_the_file(published) -> None:
    path = next(published.project.results.rglob("*.npz"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))
    result = call(published.project, "verify", "--cells", "1", "--workers", "1")
    assert result.exit_code == 1
    assert f"damaged  counting/{path.name}" in result.output
    assert "Error: 1 published results are not what their origin computes" in result.output
    assert call(published.project, "verify", "--workers", "1", "counting").exit_code == 1


def test_verification_of_an_altered_result_ends_with_code_one_and_says_how_far_off(published) -> None:
    path = next(published.project.results.rglob("*.npz"))
    meta, variables = container.decode(path, path.read_bytes())
    dataset = container.assemble(path, meta, variables)
    path.write_bytes(container.encode(dataset + 0.25, meta["key"], meta["origin"]))
    result = call(published.project, "verify", "--all", "--workers", "1", "counting")
    assert result.exit_code == 1
    assert "2.5e-01 off" in result.output
    assert "stored" in result.output


def test_a_verification_that_looks_at_nothing_does_not_pass(workshop) -> None:
    result = call(workshop.project, "verify")
    assert result.exit_code == 1
    assert "nothing could be recomputed" in result.output
    assert call(workshop.project, "verify", "contin").exit_code == 2
    assert call(workshop.project, "verify", "--all", "--cells", "3").exit_code == 2
