"""Every installed task, by class name: `from limbeck.tasks import …` imports only the plugin that has it."""

from ._registry.namespace import lazy_namespace

__getattr__, __dir__ = lazy_namespace("task", __name__)
