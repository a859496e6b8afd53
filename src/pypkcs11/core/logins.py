"""A login: who uses a token, and under which terms."""

from __future__ import annotations

from pypkcs11.store.protocol import Role


class Login:
    """One login, from C_Login to C_Logout. Two are never equal, even of the same role.

    ``expired`` says that the PIN it was made with must be changed before anything else is done
    (section 3.2, CKF_USER_PIN_TO_BE_CHANGED). ``implicit`` says that nobody asked for it: the token
    needs no login, so whoever has a session is the user.
    """

    __slots__ = ("expired", "implicit", "role")

    def __init__(self, role: Role, *, expired: bool = False, implicit: bool = False) -> None:
        self.role = role
        self.expired = expired
        self.implicit = implicit
