"""help() answers: public names have docstrings, and the examples in them run as printed."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import fastrnn

MODULES = [m.name for m in pkgutil.walk_packages(fastrnn.__path__, "fastrnn.") if "__main__" not in m.name]
PUBLIC = [
    fastrnn,
    fastrnn.cells,
    fastrnn.functional,
    fastrnn.inspect,
    fastrnn.io,
    fastrnn.losses,
    fastrnn.models,
    fastrnn.nn,
    fastrnn.nn.init,
    fastrnn.optim,
    fastrnn.plot,
    fastrnn.train,
]


# What the examples of some modules need.
NEEDS = {
    "fastrnn.io.onnx": "onnx",
    "fastrnn.plot": "matplotlib",
    "fastrnn.sklearn": "sklearn",
    "fastrnn.torch": "torch",
}


@pytest.mark.parametrize("name", ["fastrnn", *MODULES])
def test_examples_run_as_printed(name):
    for needing, package in NEEDS.items():
        if name.startswith(needing):
            pytest.importorskip(package)
    module = importlib.import_module(name)
    assert doctest.testmod(module, raise_on_error=False).failed == 0


def public_objects():
    for module in PUBLIC:
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, str):  # __version__
                continue
            yield f"{module.__name__}.{name}", value
            if inspect.isclass(value):
                for method, function in inspect.getmembers(value, inspect.isfunction):
                    if not method.startswith("_"):
                        yield f"{module.__name__}.{name}.{method}", function


OBJECTS = dict(public_objects())


@pytest.mark.parametrize("name", OBJECTS)
def test_public_names_have_docstrings(name):
    value = OBJECTS[name]
    assert value.__doc__ if inspect.isclass(value) else inspect.getdoc(value)  # a method may have its base's


@pytest.mark.parametrize("module", PUBLIC, ids=lambda m: m.__name__)
def test_all_names_what_there_is(module):
    assert len(set(module.__all__)) == len(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)
