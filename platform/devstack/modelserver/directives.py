"""How a prompt asks the demo server to behave: words such as `!delay=0.1`, anywhere in the last message.

| directive | effect |
|---|---|
| `!words=N` | the answer is `word1 word2 … wordN` |
| `!huge=BYTES` | the answer is one word of that many bytes |
| `!hang=SECONDS` | nothing is sent for so long, not even the status |
| `!delay=SECONDS` | pause before each streamed chunk |
| `!status=CODE` | that HTTP status with OpenAI's error body (429 with `retry-after: 1`) |
| `!garbage` | status 200 and a body that is not JSON; streamed: data lines that are not JSON |
| `!cut=CHUNKS` | the connection is closed after so many streamed chunks; not streamed: in the middle of the body |
| `!error=CHUNKS` | after so many chunks an error object comes in the stream, then the end |
| `!endless` | the stream never ends |
| `!nousage` | no usage is reported |
| `!usage=PROMPT,COMPLETION` | these counts are reported instead of the true ones |
| `!cached=N` | of the prompt's tokens, so many are reported as cached |
| `!pictures=N` | so many pictures come with each answer of a chat; without it one where the model is `demo-image` |
| `!fail` | a response ends as failed |
| `!looks=N` | a response in the background, or a video, has ended after it was looked at so often; 2 |
| `!reasoning=N` | so many reasoning tokens come on top of the answer's, and are part of `completion_tokens` |

The words count as tokens like all others. `POST /_control/behave {"say": "!status=500", "times": 2}` makes the next
two requests behave so whatever they say. `GET /_control/requests` lists what was received, newest last; DELETE forgets
it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Directives:
    """What one request asked for."""

    words: int | None = None
    huge: int | None = None
    hang: float = 0
    delay: float = 0
    status: int = 200
    garbage: bool = False
    cut: int | None = None
    error: int | None = None
    endless: bool = False
    nousage: bool = False
    usage: tuple[int, int] | None = None
    cached: int | None = None
    reasoning: int = 0
    pictures: int | None = None
    fail: bool = False
    looks: int = 2

    @classmethod
    def parse(cls, text: str) -> "Directives":
        """Read the directives in a text; words that aren't any are left alone."""
        found: dict[str, object] = {}
        for word in text.split():
            name, _, value = word[1:].partition("=")
            if word.startswith("!") and name in PARSERS:
                try:
                    found[name] = PARSERS[name](value)
                except ValueError:
                    continue
        return cls(**found)  # type: ignore[arg-type]  # each parser returns its field's type


@dataclass
class Behaviour:
    """What the control endpoint ordered for the next requests."""

    say: str = ""
    times: int = field(default=0)

    def next(self, text: str) -> Directives:
        if self.times > 0:
            self.times -= 1
            return Directives.parse(self.say)
        return Directives.parse(text)


def _pair(value: str) -> tuple[int, int]:
    first, second = value.split(",")
    return int(first), int(second)


def _flag(value: str) -> bool:
    return True


PARSERS: dict[str, Callable[[str], object]] = {
    "words": int,
    "huge": int,
    "hang": float,
    "delay": float,
    "status": int,
    "garbage": _flag,
    "cut": int,
    "error": int,
    "endless": _flag,
    "nousage": _flag,
    "usage": _pair,
    "cached": int,
    "reasoning": int,
    "pictures": int,
    "fail": _flag,
    "looks": int,
}
