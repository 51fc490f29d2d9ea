"""Models of one node, and models run by ONNX Runtime."""

import onnx
import onnxruntime


def build(kind, inputs, outputs, constants=(), opset=14, **attributes):
    """A model of one node; inputs and attributes that are None are left out.

    `constants` names the inputs whose values stand in the model.
    """
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
        [
            onnx.helper.make_tensor_value_info(name, kind, given[name].shape)
            for name, kind in types.items()
            if name not in constants
        ],
        [
            onnx.helper.make_tensor_value_info(name, types["x"], [None] * (4 if name == "y" else 3))
            for name in outputs
        ],
        [onnx.numpy_helper.from_array(array, name) for name, array in given.items() if name in constants],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)


def run_model(model, inputs):
    """The outputs of a model by name, of ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the matrices are small
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    return dict(zip(outputs, session.run(outputs, inputs), strict=True))


def run(kind, inputs, outputs, **attributes):
    """The outputs of a node by name."""
    model = build(kind, inputs, outputs, **attributes)
    return run_model(model, {name: array for name, array in inputs.items() if array is not None})


def activations(given):
    """The attributes for a list of activations: alpha and beta are those of the functions that take them."""
    alpha = [a.alpha for a in given if a.alpha is not None]
    beta = [a.beta for a in given if a.beta is not None]
    return {
        "activations": [a.name.title().replace("_", "") for a in given],  # LeakyRelu
        "activation_alpha": alpha or None,
        "activation_beta": beta or None,
    }
