"""What people come for: models with ``fit``, ``save`` and ``load``."""

from ._sequences import SequenceModel
from .classifier import SequenceClassifier, SequenceTagger
from .language_model import LanguageModel
from .regressor import SequenceRegressor

__all__ = ["LanguageModel", "SequenceClassifier", "SequenceModel", "SequenceRegressor", "SequenceTagger"]
