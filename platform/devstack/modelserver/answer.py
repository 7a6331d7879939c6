"""The answer to a prompt, as words, and its exact usage."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from devstack.modelserver.directives import Directives

Json = dict[str, Any]
TOKENS_OF_A_PICTURE = 100


@dataclass(frozen=True)
class Prompt:
    """What the request says. `limit` is the most tokens that each choice may have."""

    texts: list[str]
    limit: int | None
    choices: int
    directives: Directives
    # The function that is called instead of answering, and whether the answer is to be JSON.
    call: Json | None = None
    as_json: bool = False
    # Of each choice.
    pictures: int = 0

    @property
    def tokens(self) -> int:
        return sum(count(text) for text in self.texts)


@dataclass(frozen=True)
class Answer:
    """The words of each choice (all choices are alike) and why they end."""

    prompt: Prompt

    def words(self) -> Iterator[str]:
        """The words to send; without end for `!endless`."""
        wanted = self._wanted()
        return wanted if self.prompt.limit is None else itertools.islice(wanted, self.prompt.limit)

    def text(self) -> str:
        return " ".join(self.words())

    @property
    def finish_reason(self) -> str:
        if self.prompt.call:
            return "tool_calls"
        limit = self.prompt.limit
        if limit is None or self.prompt.directives.endless:
            return "stop"
        return "length" if len(list(itertools.islice(self._wanted(), limit + 1))) > limit else "stop"

    def usage(self) -> Json | None:
        """OpenAI's usage object, or None if the prompt asked for none."""
        asked = self.prompt.directives
        if asked.nousage:
            return None
        drawn = self.prompt.pictures * TOKENS_OF_A_PICTURE
        completion = (sum(1 for _ in self.words()) + asked.reasoning + drawn) * self.prompt.choices
        prompt, completion = asked.usage or (self.prompt.tokens, completion)
        usage: Json = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
        if asked.cached is not None:
            usage["prompt_tokens_details"] = {"cached_tokens": asked.cached}
        details = {"reasoning_tokens": asked.reasoning, "image_tokens": drawn}
        if any(details.values()):
            told = {name: tokens * self.prompt.choices for name, tokens in details.items() if tokens}
            usage["completion_tokens_details"] = told
        return usage

    def _wanted(self) -> Iterator[str]:
        asked = self.prompt.directives
        if self.prompt.call:
            return iter(self.prompt.call["function"]["arguments"].split())
        if self.prompt.as_json:
            return iter(json.dumps({"said": " ".join(self.prompt.texts[-1].split())}).split())
        if asked.huge is not None:
            return iter(["x" * asked.huge])
        if asked.endless:
            return (f"word{number}" for number in itertools.count(1))
        if asked.words is not None:
            return (f"word{number}" for number in range(1, asked.words + 1))
        return iter(["You", "said:", *(self.prompt.texts[-1].split() if self.prompt.texts else [])])


def count(text: str) -> int:
    """The tokens of a text: its words."""
    return len(text.split())


def text_of(content: Any) -> str:
    """A message's text: the string itself, or its text parts with spaces between them."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return " ".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))
