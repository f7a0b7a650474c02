"""The code of the plugin's README runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

README = Path(__file__).parents[3] / "plugins" / "mcp" / "README.md"


def test_the_readmes_code_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(block, str(README), "exec"), names)
    assert names["agent"].tools[0].name == "npx -y @acme/files /data"
