"""Run folders: settings and results of a training on disk, written so that a crash at any moment loses nothing."""

from stackae.runs.beginning import check_free, new_runs
from stackae.runs.checkpointer import DiskCheckpointer, Requests
from stackae.runs.checkpoints import Checkpoint, latest
from stackae.runs.durable import write_whole
from stackae.runs.folder import Folder
from stackae.runs.places import default_path, open_run, seed_runs
from stackae.runs.pointer import LATEST, RUNS
from stackae.runs.run import Run
from stackae.runs.state import Work

__all__ = [
    "LATEST",
    "RUNS",
    "Checkpoint",
    "DiskCheckpointer",
    "Folder",
    "Requests",
    "Run",
    "Work",
    "check_free",
    "default_path",
    "latest",
    "new_runs",
    "open_run",
    "seed_runs",
    "write_whole",
]
