"""What people come for: models with ``fit``, ``save`` and ``load``."""

from ._conversation import Conversation
from ._edits import edit_distance
from ._load import load
from ._score import Score
from ._sequences import SequenceModel
from .classifier import SequenceClassifier, SequenceTagger
from .language_model import LanguageModel
from .regressor import SequenceRegressor
from .seq2seq import Seq2Seq

__all__ = [
    "Conversation",
    "LanguageModel",
    "Score",
    "Seq2Seq",
    "SequenceClassifier",
    "SequenceModel",
    "SequenceRegressor",
    "SequenceTagger",
    "edit_distance",
    "load",
]
