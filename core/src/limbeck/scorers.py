"""Every installed scorer, by class name: `from limbeck.scorers import …` imports only the plugin that has it."""

from ._registry.namespace import lazy_namespace

__getattr__, __dir__ = lazy_namespace("scorer", __name__)
