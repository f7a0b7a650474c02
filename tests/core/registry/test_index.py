"""The scan: which names the installed distributions declare, read as data."""

from __future__ import annotations

import tomllib
import zipfile
from importlib.metadata import Distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck._registry.index import GROUPS, Disabled, Entry, Index, installed_version, known_pack, malformed_metadata
from limbeck._registry.problems import LoadReport
from limbeck.errors import LimbeckWarning, RegistryError
from support.packs import write_pack

if TYPE_CHECKING:
    from limbeck._registry.problems import Problem

_REPOSITORY = Path(__file__).parents[3]


def scan(*folders: Path) -> tuple[Index, list[Problem]]:
    report = LoadReport()
    return Index(report, path=[str(folder) for folder in folders]), report.all()


def declared(*folders: Path) -> dict[str, str]:
    """Qualified name to target, of everything usable in `folders`."""
    index, _ = scan(*folders)
    found = [(entry.qualified, entry.target) for entries in index.entries.values() for entry in entries]
    assert len(dict(found)) == len(found)
    return dict(found)


# What is read


def test_the_names_of_every_group_are_read_in_one_pass(tmp_path: Path) -> None:
    groups = [*GROUPS.values(), "limbeck.plugins", "limbeck.commands"]
    write_pack(tmp_path, "acme", "".join(f"[{group}]\nnamed = acme:Thing\n" for group in groups))

    index, problems = scan(tmp_path)

    for group in groups:
        assert [entry.name for entry in index.entries[group]] == ["named"]
    assert problems == []


def test_reading_the_names_imports_nothing(tmp_path: Path) -> None:
    write_pack(tmp_path, "acme", "[limbeck.tasks]\njudge = there_is_no_such_module:Judge\n")

    assert declared(tmp_path) == {"acme/judge": "there_is_no_such_module:Judge"}


def test_a_namespace_is_the_normalised_name_of_the_distribution(tmp_path: Path) -> None:
    write_pack(tmp_path, "Acme_Judges.Extra", "[limbeck.tasks]\njudge = acme:Judge\n")

    assert list(declared(tmp_path)) == ["acme-judges-extra/judge"]


def test_an_entry_knows_its_version_summary_and_requirements(tmp_path: Path) -> None:
    write_pack(
        tmp_path,
        "acme",
        "[limbeck.tasks]\njudge = acme:Judge\n",
        version="2.1rc1",
        requires=("limbeck-core>=9", "httpx"),
    )

    (entry,) = scan(tmp_path)[0].find("task", "judge")

    assert (entry.version, entry.summary, entry.requirements) == (
        "2.1rc1",
        "The pack acme.",
        ["limbeck-core>=9", "httpx"],
    )


def test_groups_that_are_unknown_are_left_alone(tmp_path: Path) -> None:
    write_pack(tmp_path, "acme", "[limbeck.samplers]\nbert = acme:Bert\n[limbeck.tasks]\njudge = acme:Judge\n")

    assert list(declared(tmp_path)) == ["acme/judge"]


def test_comments_spaces_and_extras_are_no_part_of_a_target(tmp_path: Path) -> None:
    write_pack(tmp_path, "acme", "# ours\n\n[ limbeck.tasks ]\n; old\n  judge   =   acme:Judge  [extra]  \n")

    assert declared(tmp_path) == {"acme/judge": "acme:Judge"}


def test_the_metadata_of_other_programs_is_not_read(tmp_path: Path) -> None:
    info = write_pack(tmp_path, "tool", "[console_scripts]\ntool = tool:main\n")
    (info / "METADATA").write_bytes(b"\xff\xfe not text")

    assert scan(tmp_path)[1] == []


def test_an_older_egg_info_folder_is_read_too(tmp_path: Path) -> None:
    info = tmp_path / "acme.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: acme\nVersion: 0.9\n")
    (info / "entry_points.txt").write_text("[limbeck.llms]\ngateway = acme:Gateway\n")

    (entry,) = scan(tmp_path)[0].find("llm", "gateway")

    assert (entry.distribution, entry.version) == ("acme", "0.9")


def test_a_zip_on_the_path_is_read_too(tmp_path: Path) -> None:
    archive = tmp_path / "packs.zip"
    with zipfile.ZipFile(archive, "w") as packs:
        packs.writestr("acme-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
        packs.writestr("acme-1.0.dist-info/entry_points.txt", "[limbeck.tasks]\njudge = acme:Judge\n")

    assert declared(archive) == {"acme/judge": "acme:Judge"}


_parts = st.lists(st.text("abz09", min_size=1, max_size=3), min_size=1, max_size=3)
_names = st.builds(lambda parts, joint: joint.join(parts), _parts, st.sampled_from("-."))
_targets = st.builds(lambda parts, name: f"{'.'.join(parts)}:{name}", _parts, st.text("ABab", min_size=1, max_size=4))
_blank = st.sampled_from(["", " ", "\t"])


@given(st.dictionaries(st.sampled_from(sorted(GROUPS.values())), st.dictionaries(_names, _targets)), _blank, _blank)
def test_a_well_formed_file_means_what_it_means_to_the_standard_library(
    groups: dict[str, dict[str, str]], before: str, after: str
) -> None:
    sections = [
        f"[{group}]\n" + "".join(f"{before}{name}{after}={target}\n" for name, target in names.items())
        for group, names in groups.items()
    ]
    with TemporaryDirectory() as folder:
        info = write_pack(Path(folder), "acme", "\n".join(sections))
        index, problems = scan(Path(folder))
        points = Distribution.at(info).entry_points

    ours = {(entry.group, entry.name, entry.target) for entries in index.entries.values() for entry in entries}
    assert ours == {(point.group, point.name, point.value) for point in points}
    assert problems == []


# Which distribution counts


def test_an_earlier_place_on_the_path_shadows_a_later_one(tmp_path: Path) -> None:
    write_pack(tmp_path / "first", "acme", "[limbeck.tasks]\njudge = acme:New\n", version="2.0")
    write_pack(tmp_path / "second", "acme", "[limbeck.tasks]\njudge = acme:Old\nolder = acme:Older\n", version="1.0")

    assert declared(tmp_path / "first", tmp_path / "second") == {"acme/judge": "acme:New"}


def test_a_distribution_that_no_longer_declares_names_shadows_its_older_self(tmp_path: Path) -> None:
    write_pack(tmp_path / "first", "acme", version="2.0")
    write_pack(tmp_path / "second", "acme", "[limbeck.tasks]\njudge = acme:Judge\n", version="1.0")

    assert declared(tmp_path / "first", tmp_path / "second") == {}


def test_the_remains_of_an_uninstalled_distribution_shadow_nothing(tmp_path: Path) -> None:
    (tmp_path / "first" / "acme-0.1.dist-info").mkdir(parents=True)
    write_pack(tmp_path / "second", "acme", "[limbeck.tasks]\njudge = acme:Judge\n")

    assert declared(tmp_path / "first", tmp_path / "second") == {"acme/judge": "acme:Judge"}


# What one distribution does wrong costs only that


@pytest.fixture
def beside_a_good_one(tmp_path: Path) -> Path:
    write_pack(tmp_path, "good", "[limbeck.tasks]\njudge = good:Judge\n")
    return tmp_path


def test_a_malformed_line_costs_only_itself_and_is_reported_with_its_place(beside_a_good_one: Path) -> None:
    info = write_pack(
        beside_a_good_one, "bad", "[limbeck.tasks]\nbroken bad:Broken\nwhole = bad:Whole\n", version="3.2"
    )

    assert declared(beside_a_good_one) == {"good/judge": "good:Judge", "bad/whole": "bad:Whole"}
    (problem,) = scan(beside_a_good_one)[1]
    assert str(problem) == (
        f"bad 3.2: {info / 'entry_points.txt'} line 2: 'broken bad:Broken' is not of the form `name = module:object`"
    )


@pytest.mark.parametrize("line", ["judge =", "= bad:Judge", "judge", "[limbeck.tasks"])
def test_a_line_that_lacks_a_part_is_malformed(beside_a_good_one: Path, line: str) -> None:
    write_pack(beside_a_good_one, "bad", f"[limbeck.tasks]\n{line}\n")

    assert [problem.kind for problem in scan(beside_a_good_one)[1]] == ["metadata"]
    assert list(declared(beside_a_good_one)) == ["good/judge"]


def test_entry_points_that_are_not_text_are_reported(beside_a_good_one: Path) -> None:
    write_pack(beside_a_good_one, "bad", b"[limbeck.tasks]\nj\xff = bad:Judge\n")

    (problem,) = scan(beside_a_good_one)[1]
    assert (problem.kind, problem.distribution, problem.version) == ("metadata", "bad", "1.0")
    assert "UnicodeDecodeError" in problem.message
    assert list(declared(beside_a_good_one)) == ["good/judge"]


def test_a_distribution_without_a_name_is_reported_by_its_folder(beside_a_good_one: Path) -> None:
    info = write_pack(beside_a_good_one, "bad", "[limbeck.tasks]\njudge = bad:Judge\n", metadata="")

    (problem,) = scan(beside_a_good_one)[1]
    assert problem.distribution == ""
    assert str(problem).startswith(f"an unnamed distribution: {info / 'entry_points.txt'}: its metadata cannot be read")
    assert list(declared(beside_a_good_one)) == ["good/judge"]


@pytest.mark.parametrize(
    "name", ["Judge", "pairwise_judge", "-judge", "judge-", "pair--wise", "größe", "a/b", "two words"]
)
def test_a_name_that_is_not_lower_case_words_is_reported_and_not_offered(tmp_path: Path, name: str) -> None:
    write_pack(tmp_path, "acme", f"[limbeck.tasks]\n{name} = acme:Judge\n")

    assert declared(tmp_path) == {}
    (problem,) = scan(tmp_path)[1]
    assert (problem.kind, problem.subject) == ("name", f"limbeck.tasks: {name!r}")


def test_of_a_name_declared_twice_the_first_is_used_and_it_is_reported(tmp_path: Path) -> None:
    write_pack(tmp_path, "acme", "[limbeck.tasks]\njudge = acme:One\njudge = acme:Two\n")

    assert declared(tmp_path) == {"acme/judge": "acme:One"}
    assert [problem.kind for problem in scan(tmp_path)[1]] == ["duplicate"]


def test_a_listing_of_broken_metadata_has_no_summary_and_no_requirements() -> None:
    entry = Entry("limbeck.tasks", "judge", "acme:Judge", "acme", "1.0", metadata=object())

    assert (entry.summary, entry.requirements) == ("", [])


def test_strictness_makes_the_first_problem_an_error(beside_a_good_one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pack(beside_a_good_one, "bad", "[limbeck.tasks]\nbroken\n")
    monkeypatch.setenv("LIMBECK_STRICT_PLUGINS", "1")
    report = LoadReport()

    with pytest.raises(RegistryError) as caught:
        Index(report, path=[str(beside_a_good_one)])

    (problem,) = report.all()
    assert str(caught.value) == f"{problem} (raised because LIMBECK_STRICT_PLUGINS is set)"
    assert problem.message == "'broken' is not of the form `name = module:object`"


def test_the_malformed_files_of_every_package_can_be_listed(tmp_path: Path) -> None:
    write_pack(tmp_path, "tool", "[console_scripts]\ntool\n")
    write_pack(tmp_path, "good", "[console_scripts]\ngood = good:main\n")
    write_pack(tmp_path, "noise", b"\xff")

    assert sorted(problem.distribution for problem in malformed_metadata([str(tmp_path)])) == ["noise", "tool"]


# What the environment keeps out


def entry(distribution: str, name: str) -> Entry:
    return Entry("limbeck.tasks", name, "module:Class", distribution, "1.0")


@pytest.mark.parametrize("token", ["acme-judges", "Acme_Judges", "acme.judges", "acme-judges/judge", "judge"])
def test_a_distribution_a_qualified_name_and_a_short_name_can_be_disabled(token: str) -> None:
    rules = Disabled.from_environment({"LIMBECK_DISABLE_PLUGINS": f"other, {token}"})

    assert rules.reason(entry("acme-judges", "judge")) == "LIMBECK_DISABLE_PLUGINS"
    assert rules.reason(entry("acme-llms", "gateway")) is None


@pytest.mark.parametrize("token", ["acme-judges", "acme-judges/judge", "judge"])
def test_only_the_named_plugins_and_the_core_are_left(token: str) -> None:
    rules = Disabled.from_environment({"LIMBECK_ONLY_PLUGINS": token})

    assert rules.reason(entry("acme-judges", "judge")) is None
    assert rules.reason(entry("limbeck-core", "offline")) is None
    assert rules.reason(entry("limbeck-tasks", "text-generation")) == "LIMBECK_ONLY_PLUGINS"


def test_disabling_wins_over_only() -> None:
    rules = Disabled.from_environment({"LIMBECK_ONLY_PLUGINS": "acme", "LIMBECK_DISABLE_PLUGINS": "acme/judge"})

    assert rules.reason(entry("acme", "judge")) == "LIMBECK_DISABLE_PLUGINS"
    assert rules.reason(entry("acme", "ranker")) is None


def test_empty_variables_disable_nothing() -> None:
    rules = Disabled.from_environment({"LIMBECK_ONLY_PLUGINS": " ", "LIMBECK_DISABLE_PLUGINS": ","})

    assert rules.reason(entry("acme", "judge")) is None


def test_disabled_entries_are_kept_apart_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pack(tmp_path, "acme", "[limbeck.tasks]\njudge = acme:Judge\n[limbeck.plugins]\nhooks = acme\n")
    monkeypatch.setenv("LIMBECK_DISABLE_PLUGINS", "acme")

    index, _ = scan(tmp_path)

    assert {entry.qualified: reason for entry, reason in index.disabled} == {
        "acme/judge": "LIMBECK_DISABLE_PLUGINS",
        "acme/hooks": "LIMBECK_DISABLE_PLUGINS",
    }
    assert not any(index.entries.values())


def test_a_token_that_names_nothing_installed_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pack(tmp_path, "acme", "[limbeck.tasks]\njudge = acme:Judge\n")
    monkeypatch.setenv("LIMBECK_DISABLE_PLUGINS", "acmee acme")

    with pytest.warns(LimbeckWarning, match="names 'acmee', which no installed plugin has") as warned:
        scan(tmp_path)
    assert len(warned) == 1


def test_what_is_wrong_with_a_disabled_distribution_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pack(tmp_path, "bad", "[limbeck.tasks]\nbroken\n")
    monkeypatch.setenv("LIMBECK_STRICT_PLUGINS", "1")
    monkeypatch.setenv("LIMBECK_DISABLE_PLUGINS", "bad")

    assert [problem.kind for problem in scan(tmp_path)[1]] == ["metadata"]


# What the official packs offer


def test_every_name_of_the_official_packs_is_known_with_its_class_and_its_pack() -> None:
    for manifest in sorted(_REPOSITORY.glob("plugins/*/pyproject.toml")):
        project = tomllib.loads(manifest.read_text())["project"]
        for kind, group in GROUPS.items():
            for name, target in project.get("entry-points", {}).get(group, {}).items():
                for asked in (name, target.rpartition(":")[2], f"{project['name']}/{name}"):
                    assert known_pack(kind, asked) == project["name"], asked


def test_the_version_of_what_is_not_installed_is_none() -> None:
    assert installed_version("there-is-no-such-distribution") is None
