"""stackae: greedy layer-wise pretraining with autoencoders, and fine-tuning of the stack.

``pretrain``, ``finetune``, ``evaluate``, ``load`` and the objects that they return take rows in the data's own units,
as any array-like. Names are imported on first use, so that importing the package costs nothing and does not import
torch; type checkers and ``lazily`` read them from the block below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackae.lazy import lazily

__version__ = "0.1.0"

if TYPE_CHECKING:
    from stackae.analysis.comparison.verdict import Comparison as Comparison
    from stackae.analysis.detector import Detector as Detector
    from stackae.api.comparing import compare as compare
    from stackae.api.evaluation import Report as Report
    from stackae.api.evaluation import evaluate as evaluate
    from stackae.api.exporting import export as export
    from stackae.api.loading import load as load
    from stackae.api.loading import load_run as load_run
    from stackae.api.model import FinetunedModel as FinetunedModel
    from stackae.api.model import finetune as finetune
    from stackae.api.stack import PerLayer as PerLayer
    from stackae.api.stack import PretrainedStack as PretrainedStack
    from stackae.api.stack import pretrain as pretrain
    from stackae.autoencoders.conv import ConvolutionalAutoencoder as ConvolutionalAutoencoder
    from stackae.autoencoders.dense import Autoencoder as Autoencoder
    from stackae.autoencoders.marginalized import MarginalizedAutoencoder as MarginalizedAutoencoder
    from stackae.autoencoders.variational import VariationalAutoencoder as VariationalAutoencoder
    from stackae.config import CorruptionConfig as CorruptionConfig
    from stackae.config import DataConfig as DataConfig
    from stackae.config import DropoutConfig as DropoutConfig
    from stackae.config import EmphasisConfig as EmphasisConfig
    from stackae.config import FinetuneConfig as FinetuneConfig
    from stackae.config import LayerConfig as LayerConfig
    from stackae.config import PretrainConfig as PretrainConfig
    from stackae.config import ReviveConfig as ReviveConfig
    from stackae.config import RunConfig as RunConfig
    from stackae.config import SparsityConfig as SparsityConfig
    from stackae.data import ByteRows as ByteRows
    from stackae.data import Dataset as Dataset
    from stackae.data import Part as Part
    from stackae.data import Scaling as Scaling
    from stackae.data import load_data as load_data
    from stackae.data.arraylike import ArrayLike as ArrayLike
    from stackae.errors import BrokenExtensionError as BrokenExtensionError
    from stackae.errors import ConfigError as ConfigError
    from stackae.errors import DataError as DataError
    from stackae.errors import DataWarning as DataWarning
    from stackae.errors import DiskError as DiskError
    from stackae.errors import DivergedError as DivergedError
    from stackae.errors import RecipeError as RecipeError
    from stackae.errors import RunError as RunError
    from stackae.errors import SetupError as SetupError
    from stackae.errors import StackaeError as StackaeError
    from stackae.errors import StoppedError as StoppedError
    from stackae.errors import VerificationError as VerificationError
    from stackae.exporting.verified import Verified as Verified
    from stackae.metrics import ClassifierReport as ClassifierReport
    from stackae.models.evaluation import ReconstructionReport as ReconstructionReport
    from stackae.models.heads.classifier import Classifier as Classifier
    from stackae.models.heads.multilabel import LabelReport as LabelReport
    from stackae.models.heads.multilabel import MultilabelClassifier as MultilabelClassifier
    from stackae.models.heads.multilabel import MultilabelReport as MultilabelReport
    from stackae.models.heads.reconstruction import DeepAutoencoder as DeepAutoencoder
    from stackae.models.heads.regressor import Regressor as Regressor
    from stackae.models.heads.regressor import TargetReport as TargetReport
    from stackae.models.stack import StackedAutoencoder as StackedAutoencoder
    from stackae.runs import Run as Run
    from stackae.training.callbacks import Callback as Callback
    from stackae.training.callbacks import EpochRecord as EpochRecord
    from stackae.workflows.predict import Prediction as Prediction


__getattr__, __dir__ = lazily(__name__, __file__)
