"""Providers by name: one table.

1. An alias carries a wire format, a base URL, the variable its key is usually in, and whether the
   backend knows ``stream_options.include_usage`` (asked for only where it does).
2. An alias's key goes to the alias's own host alone. A profile with a base URL of its own names its
   own key, or none is sent: nobody else's host is ever given, say, ``OPENAI_API_KEY``.
3. A wire format is an alias too, with the public address of whoever defined it.

Base URLs and variables are those of each provider's own documentation, linked in `homepage`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit


class WireFormat(StrEnum):
    """The languages that backends speak."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    OPENAI_RESPONSES = "openai-responses"


@dataclass(frozen=True, slots=True)
class Alias:
    """One provider. `base_url` None: every customer has an address of their own.

    `key_variable` None: the backend asks for no key. `own_hosts`: domains whose every host is the
    provider's, besides the base URL. `continuation` are the fields that make it go on with the assistant's
    last message instead of answering it.
    """

    name: str
    base_url: str | None
    key_variable: str | None
    homepage: str
    wire_format: WireFormat = WireFormat.OPENAI
    knows_stream_usage: bool = True
    own_hosts: tuple[str, ...] = ()
    continuation: Mapping[str, Any] = field(default_factory=dict)

    def owns(self, base_url: str) -> bool:
        """Is this address the provider's own, so that its usual key may be sent there (rule 2)?"""
        if base_url == self.base_url:
            return True
        parts = urlsplit(base_url)
        host = parts.hostname or ""
        return parts.scheme == "https" and any(host.endswith(f".{domain}") for domain in self.own_hosts)


_TABLE = (
    Alias(
        "openai",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        "https://platform.openai.com/docs/api-reference/chat",
    ),
    Alias(
        "openai-responses",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        "https://platform.openai.com/docs/api-reference/responses",
        WireFormat.OPENAI_RESPONSES,
        knows_stream_usage=False,
    ),
    Alias(
        "anthropic",
        "https://api.anthropic.com/v1",
        "ANTHROPIC_API_KEY",
        "https://docs.claude.com/en/api/messages",
        WireFormat.ANTHROPIC,
        knows_stream_usage=False,
    ),
    Alias(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta",
        "GEMINI_API_KEY",
        "https://ai.google.dev/api/generate-content",
        WireFormat.GEMINI,
        knows_stream_usage=False,
    ),
    Alias(
        "gemini-openai",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
        "https://ai.google.dev/gemini-api/docs/openai",
    ),
    Alias(
        "azure-openai",
        None,
        "AZURE_OPENAI_API_KEY",
        "https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle",
        own_hosts=("openai.azure.com", "services.ai.azure.com", "cognitiveservices.azure.com"),
    ),
    Alias("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", "https://console.groq.com/docs/openai"),
    Alias(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        "https://openrouter.ai/docs/quickstart",
    ),
    # Answers 422 "extra_forbidden" to stream_options, and sends usage unasked.
    Alias(
        "mistral",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        "https://docs.mistral.ai/api",
        knows_stream_usage=False,
    ),
    Alias("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", "https://api-docs.deepseek.com"),
    Alias("xai", "https://api.x.ai/v1", "XAI_API_KEY", "https://docs.x.ai/docs/api-reference"),
    Alias(
        "together",
        "https://api.together.ai/v1",
        "TOGETHER_API_KEY",
        "https://docs.together.ai/docs/inference/openai-compatibility",
    ),
    Alias(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        "https://docs.fireworks.ai/tools-sdks/openai-compatibility",
    ),
    Alias(
        "cerebras",
        "https://api.cerebras.ai/v1",
        "CEREBRAS_API_KEY",
        "https://inference-docs.cerebras.ai/resources/openai",
    ),
    Alias(
        "synthetic",
        "https://api.synthetic.new/openai/v1",
        "SYNTHETIC_API_KEY",
        "https://dev.synthetic.new/docs/api/overview",
    ),
    Alias("chutes", "https://llm.chutes.ai/v1", "CHUTES_API_KEY", "https://chutes.ai/docs"),
    # Sends usage with every chunk, unasked.
    Alias(
        "perplexity",
        "https://api.perplexity.ai",
        "PERPLEXITY_API_KEY",
        "https://docs.perplexity.ai/api-reference/chat-completions-post",
        knows_stream_usage=False,
    ),
    Alias(
        "moonshot",
        "https://api.moonshot.ai/v1",
        "MOONSHOT_API_KEY",
        "https://platform.moonshot.ai/docs/api/chat",
    ),
    Alias(
        "zai", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY", "https://docs.z.ai/guides/develop/openai/python"
    ),
    Alias(
        "nvidia",
        "https://integrate.api.nvidia.com/v1",
        "NVIDIA_API_KEY",
        "https://docs.api.nvidia.com/nim/reference/llm-apis",
    ),
    Alias(
        "sambanova",
        "https://api.sambanova.ai/v1",
        "SAMBANOVA_API_KEY",
        "https://docs.sambanova.ai/docs/en/features/openai-compatibility",
    ),
    Alias(
        "deepinfra",
        "https://api.deepinfra.com/v1/openai",
        "DEEPINFRA_API_KEY",
        "https://deepinfra.com/docs/openai_api",
    ),
    Alias(
        "huggingface",
        "https://router.huggingface.co/v1",
        "HF_TOKEN",
        "https://huggingface.co/docs/inference-providers",
    ),
    Alias("ollama", "http://localhost:11434/v1", None, "https://docs.ollama.com/api/openai-compatibility"),
    Alias(
        "vllm",
        "http://localhost:8000/v1",
        None,
        "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
        continuation={"add_generation_prompt": False, "continue_final_message": True},
    ),
    Alias("lm-studio", "http://localhost:1234/v1", None, "https://lmstudio.ai/docs/app/api/endpoints/openai"),
    Alias(
        "llama.cpp",
        "http://localhost:8080/v1",
        None,
        "https://github.com/ggml-org/llama.cpp/tree/master/tools/server",
    ),
)

ALIASES: dict[str, Alias] = {alias.name: alias for alias in _TABLE}
