"""What people come for: models with ``fit``, ``save`` and ``load``."""

from ._conversation import Conversation
from ._load import load
from ._score import Score
from ._sequences import SequenceModel
from .classifier import SequenceClassifier, SequenceTagger
from .language_model import LanguageModel
from .regressor import SequenceRegressor

__all__ = [
    "Conversation",
    "LanguageModel",
    "Score",
    "SequenceClassifier",
    "SequenceModel",
    "SequenceRegressor",
    "SequenceTagger",
    "load",
]
