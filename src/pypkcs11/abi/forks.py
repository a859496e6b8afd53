"""What a call that waits tells fork(), which waits for the calls inside; see src/embed/gate.c."""

from __future__ import annotations

from _pypkcs11 import lib


class Resting:
    """A call that only waits, for as long as it likes, is not one that fork waits for."""

    def __enter__(self) -> None:
        lib.pypkcs11_rest()

    def __exit__(self, *_: object) -> None:
        lib.pypkcs11_resume()


RESTING = Resting()
