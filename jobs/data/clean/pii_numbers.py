"""Numbers that name a person: which digits are one, by check digit, date and region. Pure functions of digits."""

from datetime import date

# GB/T 2260: first two digits of a Chinese division code; 81 to 83 are residence permits of Hong Kong, Macao, Taiwan.
_REGIONS = frozenset(
    str(code)
    for codes in ((11, 16), (21, 24), (31, 38), (41, 47), (50, 55), (61, 66), (71, 72), (81, 84))
    for code in range(*codes)
)
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK = "10X98765432"


def is_resident_id(digits: str) -> bool:
    """Chinese resident identity number: 18 characters with check digit (GB 11643-1999), or 15 of before 1999.

    18: region, date of birth, order, check = ISO 7064 MOD 11-2 over the first 17. 15: no century, no check digit.
    """
    if digits[:2] not in _REGIONS:
        return False
    if len(digits) == 15:
        return _is_date("19" + digits[6:12])
    if len(digits) != 18 or not _is_date(digits[6:14]):
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, digits[:17], strict=True))
    return _CHECK[total % 11] == digits[17].upper()


def is_bank_card(digits: str) -> bool:
    """Card number of 16 to 19 digits: first digits that are issued (ISO/IEC 7812) and the Luhn check digit."""
    issued = digits[0] in "46" or "51" <= digits[:2] <= "58" or "22" <= digits[:2] <= "27"
    issued = issued or digits[:2] in ("35", "94", "95")
    return issued and 16 <= len(digits) <= 19 and len(set(digits)) > 1 and _luhn(digits)


def is_public_ip(octets: list[int]) -> bool:
    """An IPv4 address that may name somebody: in range, not private (RFC 1918), loopback, a mask or a version."""
    if any(octet > 255 for octet in octets) or max(octets) < 10:
        return False  # 1.2.3.4 is a section or a version
    first, second = octets[0], octets[1]
    private = first in (0, 10, 127, 255) or (first == 172 and 16 <= second <= 31) or (first == 192 and second == 168)
    return not private


def _is_date(digits: str) -> bool:
    try:
        born = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return False
    return 1880 <= born.year <= 2099


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
