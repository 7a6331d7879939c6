"""A small OpenAI-compatible model server for development and tests: it speaks the real protocol, and nothing is random.

**Tokens are words**: a text has as many tokens as `text.split()` has parts. A prompt's tokens are those of all its
messages, a completion's those of the answer, times `n`. The answer is `You said: ` and the last message, or what the
directives in that message ask for (see `directives`). Reported usage is exact.

It asks for `Authorization: Bearer $MODELS_CREDENTIAL` (`demo-upstream-credential` unless set), so that the gateway's
handling of credentials is exercised.
"""
