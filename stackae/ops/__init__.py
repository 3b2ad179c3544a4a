"""The public ops: ``stackae.ops.dense_act`` and the others. First use loads the compiled extension.

The differentiable ops have twins of the same name, signature and meaning in ``stackae.ops.reference``, in plain torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackae.lazy import lazily

if TYPE_CHECKING:
    from stackae.ops.compiled import DenseLayer as DenseLayer
    from stackae.ops.compiled import FusedReplicas as FusedReplicas
    from stackae.ops.compiled import FusedStep as FusedStep
    from stackae.ops.compiled import Training as Training
    from stackae.ops.compiled import bare_product as bare_product
    from stackae.ops.compiled import build_info as build_info
    from stackae.ops.compiled import corrupt as corrupt
    from stackae.ops.compiled import dense_act as dense_act
    from stackae.ops.compiled import products as products
    from stackae.ops.compiled import sparsity_kl as sparsity_kl
    from stackae.ops.compiled import train_step as train_step
    from stackae.ops.compiled import train_together as train_together
    from stackae.ops.compiled import training as training


__getattr__, __dir__ = lazily(__name__, __file__)
