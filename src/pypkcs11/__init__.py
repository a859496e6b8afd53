"""pypkcs11: a PKCS #11 module whose token core is written in Python."""

#: Major, minor and patch number of this library.
VERSION = (0, 1, 0)
