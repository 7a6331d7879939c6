"""Stub."""


def run(arguments: list[str]) -> None:
    raise NotImplementedError
