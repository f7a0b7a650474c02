"""Every installed image generator, by class name.

`from limbeck.image_generators import …` imports only the plugin that has it.
"""

from ._registry.namespace import lazy_namespace

__getattr__, __dir__ = lazy_namespace("image_generator", __name__)
