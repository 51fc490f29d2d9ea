"""Looking inside recurrent layers: how far gradients reach back, which inputs matter, what gates do.

Nothing here changes a layer, and what is shown is inference: no dropout acts. A frozen layer stays frozen.
Results are kept by layer and direction, ``result.layer(0)``, ``result.layer(1, reverse=True)``, their arrays
time first whatever ``batch_first`` is, and without the axis of the batch where x had none. `fastrnn.plot`
draws them.
"""

from ._activations import Activations, activations, text_activations
from ._gradients import GradientNorms, Trend, gradient_norms, input_influence
from ._saturation import Saturation, Shares, saturation
from ._weights import SpectralRadius, spectral_radius

__all__ = [
    "Activations",
    "GradientNorms",
    "Saturation",
    "Shares",
    "SpectralRadius",
    "Trend",
    "activations",
    "gradient_norms",
    "input_influence",
    "saturation",
    "spectral_radius",
    "text_activations",
]
