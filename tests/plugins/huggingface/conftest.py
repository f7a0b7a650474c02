from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from .server import HuggingFaceServer, huggingface_server
from .tiny_model import save_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Local weights need torch, gigabytes that only the `transformers` extra asks for: these tests
# run wherever it is installed, in CI in the environment of this plugin.
collect_ignore = [] if find_spec("torch") else ["test_transformers_llm.py", "test_transformers_contract.py"]


@pytest.fixture(autouse=True)
def _no_saved_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key from the machine that the tests run on."""
    from huggingface_hub import constants

    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    # Which coding agents there are, the SDK asks the Hub once a process: of whichever test comes first.
    monkeypatch.setattr("huggingface_hub.utils._detect_agent._registry", {"standardEnvVars": [], "harnesses": {}})


@pytest.fixture
def tgi() -> Iterator[HuggingFaceServer]:
    with huggingface_server() as server:
        yield server


@pytest.fixture
def openai_like() -> Iterator[HuggingFaceServer]:
    with huggingface_server(kind="openai") as server:
        yield server


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return str(folder)
