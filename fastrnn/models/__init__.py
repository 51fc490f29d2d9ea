"""What people come for: models with ``fit``, ``save`` and ``load``."""

from .language_model import LanguageModel

__all__ = ["LanguageModel"]
