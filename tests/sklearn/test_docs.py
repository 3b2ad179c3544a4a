"""The example of docs/sklearn.md does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "sklearn.md"


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    quick = block.replace("random_state=0)", "random_state=0, epochs=2)").replace("n_jobs=2", "n_jobs=1")
    quick = quick.replace("train_test_split(X, y, random_state=0, epochs=2)", "train_test_split(X, y, random_state=0)")
    exec(quick, {})
    said = dict(re.findall(r"^(accuracy|typical 0 to 7|typical 8 or 9) (\S+)$", capsys.readouterr().out, re.MULTILINE))
    assert float(said["accuracy"]) > 0.9 and float(said["typical 0 to 7"]) > float(said["typical 8 or 9"])
    assert (tmp_path / "digits-run" / "config.toml").exists()
