"""Files as Keras and tf.keras write them, made by h5py alone, and what Keras's layers compute, in NumPy.

The layouts are those that Keras documents: the names of a tf.keras model, ``lstm/lstm_cell/kernel:0``, in
groups by layer with the attributes layer_names and weight_names, and the counts of Keras 3.
"""

import json
import zipfile
from dataclasses import dataclass, field

import h5py
import numpy as np

GATES = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}


@dataclass
class Layer:
    """One recurrent layer, or with `backward` Bidirectional."""

    kind: str
    name: str
    units: int
    inputs: int
    reset_after: bool = True
    use_bias: bool = True
    config: dict = field(default_factory=dict)
    both: bool = False
    seed: int = 0

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        rows = GATES[self.kind] * self.units
        bias = (2, rows) if self.kind == "GRU" and self.reset_after else (rows,)
        shapes = {"kernel": (self.inputs, rows), "recurrent_kernel": (self.units, rows), "bias": bias}
        if not self.use_bias:
            del shapes["bias"]
        self.ways = [
            {role: rng.normal(0, 0.5, shape).astype(np.float32) for role, shape in shapes.items()}
            for _ in range(1 + self.both)
        ]

    def entry(self):
        """The layer in a configuration of Keras 2."""
        config = {
            "name": self.name, "units": self.units, "use_bias": self.use_bias, "activation": "tanh",
            "return_sequences": True, **self.config,
        }  # fmt: skip
        if self.kind != "SimpleRNN":
            config.setdefault("recurrent_activation", "sigmoid")
        if self.kind == "GRU":
            config["reset_after"] = self.reset_after
        inner = {"class_name": self.kind, "config": config}
        if not self.both:
            return inner
        return {"class_name": "Bidirectional", "config": {"name": f"both_{self.name}", "layer": inner}}

    @property
    def title(self):
        return f"both_{self.name}" if self.both else self.name


def model_config(layers, more=()):
    return {
        "class_name": "Sequential",
        "config": {"name": "m", "layers": [e.entry() for e in layers] + list(more)},
    }


def write_named(path, layers, version="2.15.0", whole=True, cells=True):
    """Write the ``.h5`` file of tf.keras; of Keras before there are no folders for the `cells`."""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole else file
        if whole:
            file.attrs["keras_version"] = version.encode()
            file.attrs["backend"] = b"tensorflow"
            file.attrs["model_config"] = json.dumps(model_config(layers)).encode()
            root.create_group("top_level_model_weights").attrs["weight_names"] = np.zeros(0)
        root.attrs["layer_names"] = [layer.title.encode() for layer in layers]
        root.attrs["backend"] = b"tensorflow"
        root.attrs["keras_version"] = version.encode()
        for layer in layers:
            group, names = root.create_group(layer.title), []
            for way, arrays in zip(("forward", "backward"), layer.ways, strict=False):
                inner = f"{way}_{layer.name}" if layer.both else layer.name
                folders = [layer.title] * layer.both + [inner]
                folders += [{"SimpleRNN": "simple_rnn"}.get(layer.kind, layer.kind.lower()) + "_cell"] * cells
                for role, array in arrays.items():
                    names.append(f"{'/'.join(folders)}/{role}:0")
                    group[names[-1]] = array
            group.attrs["weight_names"] = [name.encode() for name in names]


def write_counted(path, layers, container="layers", named=True):
    """Write the ``.weights.h5`` file of Keras 3; the last of Keras 2 call the `container` otherwise."""
    counts = {}
    with h5py.File(path, "w") as file:
        file.create_group("vars")
        for layer in layers:
            kind = (
                "bidirectional"
                if layer.both
                else {"SimpleRNN": "simple_rnn"}.get(layer.kind, layer.kind.lower())
            )
            number = counts[kind] = counts.get(kind, -1) + 1
            base = f"{container}/{kind}_{number}" if number else f"{container}/{kind}"
            group = file.create_group(f"{base}/vars")
            if named:
                group.attrs["name"] = layer.title
            for way, arrays in zip(("forward_layer/", "backward_layer/"), layer.ways, strict=False):
                for k, array in enumerate(arrays.values()):
                    file[f"{base}/{way if layer.both else ''}cell/vars/{k}"] = array


def write_keras(path, layers, weights, config=None, version="3.5.0"):
    """Write a ``.keras`` file around a ``.weights.h5`` file."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(config or model_config(layers)))
        archive.write(weights, "model.weights.h5")


# ---- what Keras computes ----


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def hard_sigmoid(version):
    slope = 0.2 if version == 2 else 1 / 6
    return lambda z: np.clip(slope * z + 0.5, 0, 1)


def run(layer, x, way=0, gate=sigmoid, act=np.tanh):
    """The outputs (B, T, H) of one direction of a layer, in the order of computation, in float64."""
    arrays = {role: a.astype(float) for role, a in layer.ways[way].items()}
    kernel, recurrent = arrays["kernel"], arrays["recurrent_kernel"]
    bias = arrays.get("bias", np.zeros(kernel.shape[1]))
    given, inner = bias if bias.ndim == 2 else (bias, 0 * bias)
    h = c = np.zeros((len(x), layer.units))
    ys = []
    for t in range(x.shape[1]) if not way else reversed(range(x.shape[1])):
        a, b = x[:, t] @ kernel + given, h @ recurrent + inner
        if layer.kind == "SimpleRNN":
            h = act(a + b)
        elif layer.kind == "LSTM":
            i, f, g, o = np.split(a + b, 4, axis=1)
            c = gate(f) * c + gate(i) * act(g)
            h = gate(o) * act(c)
        else:
            (az, ar, ah), (bz, br, bh) = np.split(a, 3, axis=1), np.split(b, 3, axis=1)
            z, r = gate(az + bz), gate(ar + br)
            if layer.reset_after:
                n = act(ah + r * bh)
            else:
                n = act(ah + (r * h) @ recurrent[:, 2 * layer.units :])
            h = z * h + (1 - z) * n
        ys.append(h)
    return np.stack(ys, axis=1)


def expected(layer, x, **functions):
    """What the layer returns with return_sequences, of Bidirectional with concat."""
    y = run(layer, x, **functions)
    if layer.both:
        y = np.concatenate([y, run(layer, x, 1, **functions)[:, ::-1]], axis=-1)
    return y
