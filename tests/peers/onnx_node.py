"""Models of one node, run by ONNX Runtime."""

import onnx
import onnxruntime


def run(kind, inputs, outputs, **attributes):
    """The outputs of a node by name; inputs and attributes that are None are left out."""
    given = {name: array for name, array in inputs.items() if array is not None}
    types = {name: onnx.helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in given.items()}
    node = onnx.helper.make_node(
        kind,
        [name if name in given else "" for name in inputs],
        outputs,
        **{name: value for name, value in attributes.items() if value is not None},
    )
    graph = onnx.helper.make_graph(
        [node],
        "one_node",
        [onnx.helper.make_tensor_value_info(name, kind, None) for name, kind in types.items()],
        [onnx.helper.make_tensor_value_info(name, types["x"], None) for name in outputs],
    )
    opset = [onnx.helper.make_opsetid("", 14)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the matrices are small
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(outputs, given), strict=True))


def activations(given):
    """The attributes for a list of activations: alpha and beta are those of the functions that take them."""
    alpha = [a.alpha for a in given if a.alpha is not None]
    beta = [a.beta for a in given if a.beta is not None]
    return {
        "activations": [a.name.title().replace("_", "") for a in given],  # LeakyRelu
        "activation_alpha": alpha or None,
        "activation_beta": beta or None,
    }
