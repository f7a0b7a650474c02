"""Every installed embedder, by class name: `from limbeck.embedders import …` imports only the plugin that has it."""

from ._registry.namespace import lazy_namespace

__getattr__, __dir__ = lazy_namespace("embedder", __name__)
