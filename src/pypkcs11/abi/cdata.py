"""The type of what CFFI hands over: structures and pointers whose fields mypy cannot know."""

from typing import Any, TypeAlias

CData: TypeAlias = Any
