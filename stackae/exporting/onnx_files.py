"""Graphs as ONNX: torch traces and translates them, columns of texts are put before and names of classes after them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stackae.exporting.columns import ML, cells_of, nodes_of
from stackae.exporting.described import KEY, Described
from stackae.exporting.programs import Runs, traced
from stackae.exporting.quiet import quiet

ML_VERSION = 3
CORE = "core_"


def pack(one: Described, int8: bool = False) -> bytes:
    """The content of an .onnx file; with ``int8``, matrices of weights are 8-bit integers."""
    import onnx

    with quiet():
        program = torch.onnx.export(traced(one.part), dynamo=True, verbose=False)
    assert program is not None, "of dynamo"
    model = program.model_proto
    _name_batch(model)
    _rename(model, one)
    model = onnx.compose.add_prefix(model, CORE, rename_inputs=False, rename_outputs=False)
    _put_columns_before(model, one)
    _put_names_after(model, one)
    if int8:
        model = _quantised(model)
    onnx.helper.set_model_props(model, {KEY: one.text()})
    model.producer_name = KEY
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def opened(content: bytes, one: Described) -> Runs:
    """Open the content of an .onnx file by onnxruntime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    dtype = np.float64 if one.part.dtype == torch.float64 else np.float32

    def run(x: np.ndarray) -> list[np.ndarray]:
        cells = cells_of(one.inputs, x) if one.by_column else {one.inputs[0].name: x}
        fed = {name: each if each.dtype == object else each.astype(dtype) for name, each in cells.items()}
        found: list[np.ndarray] = session.run([each.name for each in one.part.outputs], fed)
        return found

    return run


def _name_batch(model: Any) -> None:
    """Call the free dimension of inputs and outputs batch; shapes between them are inferred by whoever needs them."""
    del model.graph.value_info[:]
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = "batch"


def _rename(model: Any, one: Described) -> None:
    """Name input and outputs; what columns become, and the number of a class, stay inside under names of their own."""
    from onnx import helper

    graph, new = model.graph, {model.graph.input[0].name: "features" if one.by_column else one.inputs[0].name}
    made = {name for node in graph.node for name in node.output}
    for value, output in zip(graph.output, one.part.outputs, strict=True):
        name = f"{output.name}_number" if output.choice else output.name
        if value.name not in made:  # a constant, as the threshold is
            graph.node.append(helper.make_node("Identity", [value.name], [name]))
            value.name = name
        else:
            new[value.name] = name
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = new.get(value.name, value.name)


def _put_columns_before(model: Any, one: Described) -> None:
    from onnx import TensorProto, helper

    if not one.by_column:
        return
    double = one.part.dtype == torch.float64
    nodes = [*nodes_of(one.inputs, "features", double), *model.graph.node]
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend(nodes)
    number = TensorProto.DOUBLE if double else TensorProto.FLOAT
    for each in one.inputs:
        kind = TensorProto.STRING if each.texts else number
        model.graph.input.append(helper.make_tensor_value_info(each.name, kind, ["batch", each.width]))
    _add_domain(model)


def _put_names_after(model: Any, one: Described) -> None:
    """The name of the class for its number."""
    from onnx import TensorProto, helper

    for place, output in enumerate(one.part.outputs):
        if output.choice:
            number, keys = f"{output.name}_number", list(range(len(output.names)))
            names: dict[str, Any] = {"keys_int64s": keys, "values_strings": list(output.names)}
            model.graph.node.append(helper.make_node("LabelEncoder", [number], [output.name], domain=ML, **names))
            named = helper.make_tensor_value_info(output.name, TensorProto.STRING, ["batch"])
            model.graph.output[place].CopyFrom(named)
            _add_domain(model)


def _add_domain(model: Any) -> None:
    from onnx import helper

    if not any(each.domain == ML for each in model.opset_import):
        model.opset_import.append(helper.make_opsetid(ML, ML_VERSION))


def _quantised(model: Any) -> Any:
    """With weights of 8 bits and activations that are quantised as they come, by onnxruntime."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder, quiet():
        written = Path(folder) / "int8.onnx"
        quantize_dynamic(model, written, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
        return onnx.load(written)
