"""Holdouts: who is left out so that one can see what a strategy does, chosen by a salted hash."""

from __future__ import annotations

import hashlib
from typing import Final

from attrs import frozen

PRIME: Final = 2**31 - 1


def bucket_of(reference: str) -> int:
    """Return the number of a customer, from 0 up to `PRIME` - 1, that their reference gives."""
    return int(reference[:15], 16) % PRIME


@frozen
class Arm:
    """
    How a salt turns a customer's bucket into a place between 0 and `PRIME` - 1.

    `(factor * bucket + offset) mod PRIME` is the universal family of Carter and Wegman (1979): the
    places under two salts are pairwise independent, and integers of 64 bits can compute it in
    any database.

    Attributes:
        factor: From 1 up to `PRIME` - 1.
        offset: From 0 up to `PRIME` - 1.
    """

    factor: int
    offset: int

    @classmethod
    def of(cls, salt: str) -> Arm:
        """Return the arm that *salt* stands for, the same wherever it is asked."""
        digest = hashlib.sha256(salt.encode()).digest()
        factor = 1 + int.from_bytes(digest[:8], "big") % (PRIME - 1)
        return cls(factor, int.from_bytes(digest[8:16], "big") % PRIME)

    def place(self, bucket: int) -> int:
        """Return where a customer stands; who stands below a share of `PRIME` is left out."""
        return (self.factor * bucket + self.offset) % PRIME
