"""``stackae.load`` and ``stackae.load_run``: what was saved, or what a run folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import overload

from stackae.api.model import FinetunedModel
from stackae.api.saving import history_of
from stackae.api.stack import PretrainedStack
from stackae.config import FinetuneConfig
from stackae.config.heads import HeadName
from stackae.config.values import EngineName
from stackae.models.files import layer_name
from stackae.runs import Run, open_run
from stackae.runs.kept_data import known_of


def load_run(path: str | Path | None = None) -> Run:
    """Open a run folder: its settings (``config``), records (``metrics``), stack, heads and detector (``load_...``).

    Args:
        path: the folder; None is the newest run that was completed, runs/latest.

    Raises:
        RunError: there is no run, or a folder of several.
    """
    return open_run(None if path is None else Path(path))


@overload
def load(path: str | Path | Run | None, head: HeadName, *, engine: EngineName = "auto") -> FinetunedModel: ...
@overload
def load(
    path: str | Path | Run | None = None, head: None = None, *, engine: EngineName = "auto"
) -> PretrainedStack | FinetunedModel: ...
def load(
    path: str | Path | Run | None = None, head: HeadName | None = None, *, engine: EngineName = "auto"
) -> PretrainedStack | FinetunedModel:
    """Read what ``save`` wrote, or what a command trained, with scaling, names and settings; nothing is unpickled.

    Args:
        path: a folder or an open run; None is runs/latest.
        head: which one; None is that of the last fine-tuning, and the stack alone where there was none.
        engine: auto, fused or eager.

    Raises:
        RunError: no such folder or head, or files that are damaged or not what the settings describe.
    """
    run = path if isinstance(path, Run) else load_run(path)
    config = run.config
    stages = [layer_name(number) for number in range(1, len(config.pretrain.layers) + 1)]
    network = run.load_stack(engine).eval()
    stack = PretrainedStack(
        network, run.load_scaling(), config.pretrain, history_of(run, stages), known_of(run).pretraining
    )
    settings = config.finetune
    if head is None:
        if settings is None or not run.has_head(settings.head):
            return stack
        head = settings.head
    if settings is None or settings.head != head:
        settings = FinetuneConfig(head=head)
    network, names = run.load_head(head, engine)
    learned = config.finetune_data if config.finetune is settings else None
    column = None if learned is None else learned.target
    return FinetunedModel(network.eval(), names, stack, settings, history_of(run, [head]), column)
