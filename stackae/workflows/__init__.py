"""Workflows: one function per command, for Python too. They print nothing, report by callbacks, and return records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackae.lazy import lazily

if TYPE_CHECKING:
    from stackae.workflows.callbacks import Callbacks as Callbacks
    from stackae.workflows.checks import check_data as check_data
    from stackae.workflows.comparing import CompareResult as CompareResult
    from stackae.workflows.comparing import compare as compare
    from stackae.workflows.doctor import examine_installation as examine_installation
    from stackae.workflows.doctor import verify_installation as verify_installation
    from stackae.workflows.encode import EncodeResult as EncodeResult
    from stackae.workflows.encode import encode_run as encode_run
    from stackae.workflows.evaluate import EvaluateResult as EvaluateResult
    from stackae.workflows.evaluate import evaluate_run as evaluate_run
    from stackae.workflows.exporting.running import ExportResult as ExportResult
    from stackae.workflows.exporting.running import export_run as export_run
    from stackae.workflows.finetune import FinetunedRun as FinetunedRun
    from stackae.workflows.finetune import finetune_run as finetune_run
    from stackae.workflows.inputs import DataRequest as DataRequest
    from stackae.workflows.inputs import finetune_settings as finetune_settings
    from stackae.workflows.inputs import is_per_feature as is_per_feature
    from stackae.workflows.inputs import run_settings as run_settings
    from stackae.workflows.predict import PredictResult as PredictResult
    from stackae.workflows.predict import predict_run as predict_run
    from stackae.workflows.pretrain import plan_run as plan_run
    from stackae.workflows.pretrain import pretrain_run as pretrain_run
    from stackae.workflows.recipes import RecipeResult as RecipeResult
    from stackae.workflows.recipes import recipes as recipes
    from stackae.workflows.recipes import run_recipe as run_recipe
    from stackae.workflows.reconstruct import ReconstructResult as ReconstructResult
    from stackae.workflows.reconstruct import reconstruct_run as reconstruct_run
    from stackae.workflows.reporting.writing import ReportResult as ReportResult
    from stackae.workflows.reporting.writing import report_runs as report_runs
    from stackae.workflows.resume import Moved as Moved
    from stackae.workflows.resume import Resumed as Resumed
    from stackae.workflows.resume import resume_run as resume_run
    from stackae.workflows.runs import compare_runs as compare_runs
    from stackae.workflows.runs import list_runs as list_runs
    from stackae.workflows.runs import show_run as show_run
    from stackae.workflows.runs import verify_runs as verify_runs
    from stackae.workflows.sample import SampleResult as SampleResult
    from stackae.workflows.sample import sample_run as sample_run
    from stackae.workflows.scoring import ScoreResult as ScoreResult
    from stackae.workflows.scoring import score as score
    from stackae.workflows.stacks import PretrainedRun as PretrainedRun
    from stackae.workflows.summary import Plan as Plan
    from stackae.workflows.sweeping import SweepResult as SweepResult
    from stackae.workflows.sweeping import sweep as sweep

__getattr__, __dir__ = lazily(__name__, __file__)
