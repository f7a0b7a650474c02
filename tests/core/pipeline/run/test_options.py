"""What `run` is told that cannot be, and names that are no file names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from limbeck import Pipeline, step
from limbeck.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


@step()
def keep(row: Any) -> Any:
    return row


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"durability": "ful"}, "`durability` is 'ful'; it is 'normal' or 'full'"),
        ({"ledger_requests": "none"}, "`ledger_requests` is 'none'; it is 'full' or 'hash'"),
        ({"run_dir": ""}, "`run_dir` is '', which names no directory"),
        ({"max_failed": -1}, "`max_failed` is -1; it is a count, or a fraction below 1"),
        ({"max_failed": "5%"}, "`max_failed` is '5%'; it is a count, or a fraction below 1"),
        ({"ordered": "no"}, "`ordered` is 'no'; it is True or False"),
        ({"overwrite": "yes"}, "`overwrite` is 'yes'; it is True or False"),
        ({"observers": object()}, r"write `observers=\[observer\]`"),
    ],
)
def test_an_option_with_no_such_value_is_an_error_before_anything_runs(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Pipeline([{"n": 1}], keep()).run(**{"run_dir": tmp_path / "run", **options})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["acme/keep", "../../keep", "..", "keep\\it", "höher als 3"])
def test_the_rows_of_a_leaf_stay_in_the_run_directory_whatever_it_is_called(name: str, tmp_path: Path) -> None:
    result = Pipeline([{"n": 1}], keep(name=name)).run(run_dir=tmp_path / "run")
    assert list(result[name]) == [{"n": 1}]
    assert len(list((tmp_path / "run" / "outputs").iterdir())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
