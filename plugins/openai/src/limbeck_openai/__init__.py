"""OpenAI, Azure OpenAI and every OpenAI-compatible server, as backends of Limbeck.

The `openai` SDK is imported when a backend first needs it, not by this module.
"""

from .azure import AzureOpenAILLM
from .embedder import OpenAIEmbedder
from .image_generator import OpenAIImageGenerator
from .openai import OpenAILLM

__all__ = ["AzureOpenAILLM", "OpenAIEmbedder", "OpenAIImageGenerator", "OpenAILLM"]
