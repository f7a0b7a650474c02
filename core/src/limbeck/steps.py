"""Every installed step, by class name: `from limbeck.steps import …` imports only the plugin that has it."""

from ._registry.namespace import lazy_namespace

__getattr__, __dir__ = lazy_namespace("step", __name__)
