"""What the commands do, for Python too: no printing, progress by callbacks, results as records."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Callbacks": "callbacks",
    "DataRequest": "inputs",
    "EncodeResult": "encode",
    "EvaluateResult": "evaluate",
    "FinetunedRun": "heads",
    "Moved": "resume",
    "Plan": "summary",
    "PredictResult": "predicting",
    "PretrainedRun": "stacks",
    "Resumed": "resume",
    "SampleResult": "sample",
    "ScoreResult": "scoring",
    "check_data": "checks",
    "encode_run": "encode",
    "evaluate_run": "evaluate",
    "examine_installation": "doctor",
    "finetune_run": "finetune",
    "finetune_settings": "settings",
    "plan_run": "pretrain",
    "predict_run": "predicting",
    "pretrain_run": "pretrain",
    "resume_run": "resume",
    "run_settings": "settings",
    "sample_run": "sample",
    "score": "scoring",
    "verify_installation": "doctor",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'stackae.workflows' has no attribute {name!r}")
    return getattr(import_module(f"stackae.workflows.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
