"""PKCS #11 v3.2 as data: constants, names, errors and the types that every layer speaks."""
