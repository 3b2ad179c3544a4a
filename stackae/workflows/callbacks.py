"""What a workflow tells its caller while it works. The command line shows it; callers override what they want."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from stackae.training.callbacks import Callback, NoCallback

if TYPE_CHECKING:
    from stackae.workflows.finetune import FinetunedRun
    from stackae.workflows.stacks import PretrainedRun

Progress = Callable[[float], None]


class Callbacks:
    """Every method does nothing: override those whose events are wanted.

    ```
    class Printing(Callbacks):
        def note(self, *lines: str) -> None:
            print(*lines, sep="\\n")

    stackae.workflows.score("runs/seeds", data="new.csv", callbacks=Printing())
    ```
    """

    command = ""
    """What the log of a run folder names as the command that writes to it; "" is the workflow's name."""

    def note(self, *lines: str) -> None:
        """Lines that a person should read, such as rows that were left out and why."""

    def busy(self, step: str) -> None:
        """A step that takes a moment begins; ``step`` names it, as in "drawing pictures"."""

    def progress(self, step: str) -> AbstractContextManager[Progress]:
        """Enter a step whose progress is known: the function is called with the share that is done, 0 to 1."""
        return _ignored()

    def training(self, networks: int) -> AbstractContextManager[Callback]:
        """Enter the training of so many networks together: the callback hears of its stages, batches and epochs."""
        return nullcontext(NoCallback())

    def writing(self, kept: Callable[[], str]) -> AbstractContextManager[None]:
        """Enter the writing of a run folder: ``kept`` says what is kept of it, should the process end meanwhile
        without an exception; "" is nothing."""
        return nullcontext()

    def pretrained(self, outcome: PretrainedRun, last: bool) -> None:
        """Stacks are trained, and their files are written; ``last`` unless a head is trained next."""

    def finetuned(self, outcome: FinetunedRun) -> None:
        """A head is trained, and its files are written."""


@contextmanager
def _ignored() -> Iterator[Progress]:
    yield lambda share: None
