"""Anthropic models as a backend of Limbeck.

The `anthropic` SDK is imported when the backend first needs it, not by this module.
"""

from .anthropic import AnthropicLLM

__all__ = ["AnthropicLLM"]
