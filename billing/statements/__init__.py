"""Statements: what an organization had, got and used in a period. docs/statements.md says what they contain."""
