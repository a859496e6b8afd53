"""Domain parameters for the tests of DSA and Diffie-Hellman."""

from __future__ import annotations

from math import factorial

from pypkcs11.standard import constants as c

# Made for these tests, with a prime of 2048 and a subprime of 256 bits.
DSA_PRIME = bytes.fromhex(
    "e8bef3466ee5b66bb5b5b896e4026f817faed350382424d077d7a57bed60dc45fba5d6ad554c85448acd17a9"
    "9ab86d398c5d1adc72a3f0bafb99f7e0ecc543427e49b19bf1564cfdf235688ff9cd1a44ec45bd8ee5433043"
    "685ba29ba6bdbc89f07bf9883c4a99537961813bc18cd00173da5e5094d6369da0911b17f75fbedacf300685"
    "a64fa1a8001997733ea6912f6cecdd29bef684e26870264c8e1a8cc377aa3e1f63d6272740f3f9129fe915cd"
    "71cdf120fc28e844b91311ace79d7e0e6efba83e3d7c7d4602e4698556cc71115a900cbc2d29bede7b3b6919"
    "7318d06ed4c5ea0eb8500a3eca1d5811844d180a03ea846a19761bf86c148b1141cf4be7"
)
DSA_SUBPRIME = bytes.fromhex("9ecf1b99c1279ab2831766dc604610a293f0b362b241438872203a23de2b1829")
DSA_BASE = bytes.fromhex(
    "0249f2354a7e82720f2a36f44e789753818b527b448617853a8a06c701d068ed55df93ed46266416c311e0a6"
    "9a759ca5b718d9ce7e73fcf5090e175813779cb690570c5febac6b343ffc48bdc8023b1821061cf4efd6ca75"
    "4133a74dd3cd970d2e9b8cdddb19244a114da8df26d70fb1c38d05ad9577d1ecbe41b5e585be445479d2f095"
    "5cb317ba072cb11ed5f7906f0e4676c3bab8051cc263c91c98c11cd37899ccd99c8e39e7bd6ed5c4febeeb4e"
    "f7af391644a7fa3eb561eacc9e4b67b92a94a945dc31a1b2ff6d313e67c2c9fef4f78db6fefb577ae486d6ae"
    "413a1ad4c22cb49e05d5867e9e609c0bd279c51f0e9db98ae066278be88fa4f9b03276b9"
)

#: The prime of ffdhe2048 (RFC 7919, section A.1). The base is 2.
FFDHE2048 = bytes.fromhex(
    "ffffffffffffffffadf85458a2bb4a9aafdc5620273d3cf1d8b9c583ce2d3695a9e13641146433fbcc939dce"
    "249b3ef97d2fe363630c75d8f681b202aec4617ad3df1ed5d5fd65612433f51f5f066ed0856365553ded1af3"
    "b557135e7f57c935984f0c70e0e68b77e2a689daf3efe8721df158a136ade73530acca4f483a797abc0ab182"
    "b324fb61d108a94bb2c8e3fbb96adab760d7f4681d4f42a3de394df4ae56ede76372bb190b07a7c8ee0a6d70"
    "9e02fce1cdf7e2ecc03404cd28342f619172fe9ce98583ff8e4f1232eef28183c3fe3b1b4c6fad733bb5fcbc"
    "2ec22005c58ef1837d1683b2c6f34a26c1b2effa886b423861285c97ffffffffffffffff"
)

DSA = {c.CKA_PRIME: DSA_PRIME, c.CKA_SUBPRIME: DSA_SUBPRIME, c.CKA_BASE: DSA_BASE}
DH = {c.CKA_PRIME: FFDHE2048, c.CKA_BASE: b"\2"}
X942 = {
    **DH,
    c.CKA_SUBPRIME: (int.from_bytes(FFDHE2048, "big") >> 1).to_bytes(len(FFDHE2048), "big"),
}


def _prime(constant: int, offset: int) -> int:
    """A prime of 8192 bits, of a constant's first 8062 bits and what makes it one."""
    return (1 << 8192) - (1 << 8128) + ((constant + offset) << 64) - 1


def _e() -> int:
    """The first bits of e."""
    one = 1 << 8200
    return sum(one // factorial(n) for n in range(1200)) >> (8200 - 8062)


def _pi() -> int:
    """The first bits of pi, by Machin's formula."""
    one = 1 << 8200

    def arctan(inverse: int) -> int:
        power = one // inverse
        total, n = power, 1
        while power:
            power //= -inverse * inverse
            n += 2
            total += power // n
        return total

    return 4 * (4 * arctan(5) - arctan(239)) >> (8200 - 8062)


#: The primes of ffdhe8192 (RFC 7919, section A.5) and of group 18 (RFC 3526, section 7).
FFDHE_8192 = _prime(_e(), 10965728)
MODP_8192 = _prime(_pi(), 4743158)
