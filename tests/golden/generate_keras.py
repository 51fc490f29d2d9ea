"""Make the files of tests/golden/keras with Keras 3: the model of docs/recipes/keras.md, in every format.

Run by hand (``KERAS_BACKEND=torch python tests/golden/generate_keras.py``); tests/test_io_keras.py reads them
without Keras.
"""

import re
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent / "keras"
RECIPE = Path(__file__).parents[2] / "docs" / "recipes" / "keras.md"

(program,) = re.findall(r"^```py\n(.*?)^```$", RECIPE.read_text(encoding="utf-8"), re.M | re.S)
found: dict = {}
exec(program.replace('model.save("model.keras")', ""), found)
model = found["model"]
rng = np.random.default_rng(0)
model.set_weights([rng.normal(0, 0.4, w.shape) for w in model.get_weights()])
model.optimizer.build(model.trainable_variables)  # the file has what an optimiser keeps, too
HERE.mkdir(exist_ok=True)
model.save(HERE / "model.keras")
model.save(HERE / "model.h5")
model.save_weights(HERE / "model.weights.h5")
ids = rng.integers(0, 20, (6, 9))
ids[:3, 5:] = 0
np.savez(HERE / "expected.npz", ids=ids, y=np.asarray(model(ids).detach()))
