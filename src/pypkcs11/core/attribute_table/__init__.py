"""The standard's attribute tables as data, one file per family of objects.

A row is written as the standard prints it: the attribute, what its value is, the numbers of its
footnotes (PKCS #11 v3.2, table 13) and its default. Where the standard contradicts itself or
leaves the choice to the token, a comment says which reading was taken.
:mod:`pypkcs11.core.attributes` puts the rows of one kind of object together.
"""
