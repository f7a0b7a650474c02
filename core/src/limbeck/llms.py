"""Every installed backend, by class name: `from limbeck.llms import …` imports only the plugin that has it."""

from ._registry.namespace import lazy_namespace

__getattr__, __dir__ = lazy_namespace("llm", __name__)
