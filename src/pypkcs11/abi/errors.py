"""How an entry point is registered, and how an exception becomes a CK_RV."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from _pypkcs11 import ffi

from pypkcs11.core import log
from pypkcs11.standard.constants import CKR_GENERAL_ERROR, CKR_HOST_MEMORY
from pypkcs11.standard.errors import CryptokiError, MediumError
from pypkcs11.standard.names import name_of

EntryPoint = TypeVar("EntryPoint", bound=Callable[..., int])


def entry(function: EntryPoint) -> EntryPoint:
    """Register a Python function as what the C function of the same name calls.

    It returns a CK_RV or raises. There is no wrapper: CFFI itself hands what was raised to
    :func:`failed`, so a call that goes well pays nothing for this.
    """
    name = f"py_{function.__name__}"
    ffi.def_extern(name=name, error=CKR_GENERAL_ERROR, onerror=failed)(function)
    return function


def failed(kind: type[BaseException], error: BaseException, trace: TracebackType) -> int:
    """Turn an exception that left an entry point into the return value, and log it.

    What the core raises on purpose is the caller's business and logged as information, but for a
    medium that fails, which is the operator's. Anything else is a defect: it is logged with the
    lines it came through, but without its text, in which a value may stand that must not be
    written down.
    """
    function = trace.tb_frame.f_code.co_name if trace is not None else "?"
    if isinstance(error, CryptokiError):
        if isinstance(error, MediumError):
            log.error("%s: %s %s", function, name_of("CKR", error.rv), error.reason)
        elif log.enabled(log.INFO):
            log.info("%s: %s %s", function, name_of("CKR", error.rv), error.reason)
        return error.rv
    if isinstance(error, MemoryError):
        log.error("%s: out of memory", function)
        return CKR_HOST_MEMORY
    log.error("%s: %s at %s", function, kind.__name__, _path(trace))
    return CKR_GENERAL_ERROR


def _path(trace: TracebackType | None) -> str:
    """The files and lines of a traceback, outermost first."""
    steps = []
    while trace is not None:
        code = trace.tb_frame.f_code
        steps.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return " < ".join(reversed(steps))
