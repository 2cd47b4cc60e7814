"""Keys do not leave: providers echo them in error texts, so every such text passes through `mask`.

- The literal secrets handed in go first, whatever they look like; shorter than four characters they
  are no secrets and would only ruin the text.
- Then the shapes of known keys (``sk-…``, ``gsk_…``, ``AIza…``, ``Bearer …`` and so on), also partly
  starred out as providers print them; of these the prefix stays, so that a reader sees what it was.
- Then any long run of key characters with a digit in it that follows the word key, token or secret.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_STARS = "***"

_SHAPES = re.compile(
    r"""
    (?<![A-Za-z0-9])(?P<prefix>
        (?:sk|pk|rk|csk|xai|pplx|nvapi|dsk)-      # OpenAI, Anthropic, OpenRouter, DeepSeek; Cerebras, xAI …
      | (?:gsk|hf|r8|fw|tgp_v1)_                  # Groq, Hugging Face, Replicate, Fireworks, Together
      | AIza | ya29\. | eyJ(?=[\w-]+\.[\w-]+\.)   # Google keys and tokens, JSON web tokens
    )[\w.*-]{8,}
    """,
    re.VERBOSE,
)
_BEARER = re.compile(r"(?P<prefix>\bBearer\s+)[\w.~+/=*-]{8,}", re.IGNORECASE)
_NAMED = re.compile(
    r"""
    (?P<prefix>(?:key|token|secret)["']?(?:\s*[:=]\s*|\s+(?:(?:provided|is|was)\b:?\s*)?)["'`(]?)
    (?=[A-Za-z+/_*-]*\d)[\w+/*-]{20,}={0,2}
    """,
    re.IGNORECASE | re.VERBOSE,
)


def mask(text: str, secrets: Sequence[str] = ()) -> str:
    """The text with every key in it starred out."""
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, _STARS)
    for pattern in (_BEARER, _SHAPES, _NAMED):
        text = pattern.sub(rf"\g<prefix>{_STARS}", text)
    return text


def mask_bytes(data: bytes, secrets: Sequence[str] = ()) -> bytes:
    """As `mask`, for a body in any encoding: bytes that belong to no key stay as they came."""
    plain = [secret.encode().decode("latin-1") for secret in secrets]
    return mask(data.decode("latin-1"), plain).encode("latin-1")
