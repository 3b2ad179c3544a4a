"""What the commands do, for Python too: no printing, progress by callbacks, results as records."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Callbacks": "callbacks",
    "DataRequest": "inputs",
    "EncodeResult": "encode",
    "EvaluateResult": "evaluate",
    "FinetunedRun": "finetune",
    "Moved": "resume",
    "Plan": "summary",
    "PredictResult": "predicting",
    "PretrainedRun": "stacks",
    "ReconstructResult": "reconstruct",
    "Resumed": "resume",
    "SampleResult": "sample",
    "ScoreResult": "scoring",
    "SweepResult": "sweeping",
    "check_data": "checks",
    "compare_runs": "runs",
    "encode_run": "encode",
    "evaluate_run": "evaluate",
    "examine_installation": "doctor",
    "finetune_run": "finetune",
    "finetune_settings": "settings",
    "list_runs": "runs",
    "plan_run": "pretrain",
    "predict_run": "predicting",
    "pretrain_run": "pretrain",
    "reconstruct_run": "reconstruct",
    "resume_run": "resume",
    "run_settings": "settings",
    "sample_run": "sample",
    "score": "scoring",
    "show_run": "runs",
    "sweep": "sweeping",
    "verify_installation": "doctor",
    "verify_runs": "runs",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'stackae.workflows' has no attribute {name!r}")
    return getattr(import_module(f"stackae.workflows.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
