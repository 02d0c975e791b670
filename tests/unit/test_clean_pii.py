"""Personal data and secrets: what is found, what is not, what is masked. All numbers are made up."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.data.clean.pii import PiiRule, PiiSettings
from jobs.data.clean.pii_numbers import is_bank_card, is_resident_id
from jobs.data.clean.text import View

ID = "11010519491231002X"  # the example of GB 11643-1999
CARD = "4111111111111111"  # the test number of Visa
KEY = "AKIAIOSFODNN7EXAMPLE"  # the example of AWS's documentation


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"身份证{ID}，谢谢", "身份证[ID_NUMBER]，谢谢"),
        ("身份证 110105 19491231 002x。", "身份证 [ID_NUMBER]。"),
        ("老证件110105491231002", "老证件[ID_NUMBER]"),
        ("身份证１１０１０５１９４９１２３１００２Ｘ", "身份证[ID_NUMBER]"),
        ("手机13812345678号", "手机[PHONE]号"),
        ("电话：+86 138-1234-5678", "电话：[PHONE]"),
        ("电话：8613812345678", "电话：[PHONE]"),
        ("电话１３８１２３４５６７８", "电话[PHONE]"),
        ("call +44 20 7946 0958 now", "call [PHONE] now"),
        ("call (555) 234-5678.", "call [PHONE]."),
        (f"卡号 {CARD} 和 6222 0200 0000 0000 004", "卡号 [BANK_CARD] 和 6222 0200 0000 0000 004"),
        ("card 4111-1111-1111-1111", "card [BANK_CARD]"),
        ("write to Li.Hua+x@mail.example.com.", "write to [EMAIL]."),
        ("邮箱：lihua＠example.com", "邮箱：[EMAIL]"),
        ("from 8.134.20.7:443", "from [IP_ADDRESS]:443"),
        (f"key={KEY};", "key=[SECRET];"),
        ("sk-abcdefghijklmnopqrst1234", "[SECRET]"),
        ("token ghp_" + "a1" * 18, "token [SECRET]"),
        ("eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.SflKxwRJSMeK", "[SECRET]"),
        ("password=hunter2!", "password=[SECRET]"),
        ('{"api_key": "abc-123-def"}', '{"api_key": "[SECRET]"}'),
        ("密码是Abc12345，请修改", "密码是[SECRET]，请修改"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nok", "[SECRET]\nok"),
    ],
)
def test_found(text: str, masked: str) -> None:
    assert PiiRule().mask(text)[0] == masked


@pytest.mark.parametrize(
    "text",
    [
        "110105194912310021",  # check digit
        "110105194913310021",  # month 13
        "991105194912310021",  # no such region
        "123456789012345",
        "订单号2024061813812345678901",
        "SN13812345678",
        "x13812345678y",
        "0.13812345678",
        "12812345678",
        "4111111111111112",  # Luhn
        "0000000000000000",
        "20240618123456789",
        "π = 3.14159265358979323846",
        "version 1.2.3.4",
        "192.168.1.1 and 127.0.0.1 and 255.255.255.0",
        "256.300.1.1",
        "a@b and @name and me@localhost",
        "password: required, your password=<yours>",
        "password = os.environ['PASSWORD']",
        "密码是什么？请输入密码：",
        "task-abcdefghijklmnopqrstuvwxyz",
        "sk-short",
        "2024-01-01 12:00:00",
        "1+1234567890",
        "普通的一句话，没有数字。",
        "",
    ],
)
def test_not_found(text: str) -> None:
    assert PiiRule().mask(text) == (text, Counter())


def test_kinds_can_be_chosen() -> None:
    text = f"{ID} 13812345678 a@b.cn"
    assert PiiRule(PiiSettings(("email",))).mask(text) == (f"{ID} 13812345678 [EMAIL]", Counter(email=1))
    assert PiiRule(PiiSettings(())).mask(text)[0] == text


def test_an_identity_number_is_no_card() -> None:
    found = next(
        n for n in (f"62010219900101{i:03}" for i in range(1000)) if _check(n) != "X" and is_bank_card(n + _check(n))
    )
    number = found + _check(found)
    assert PiiRule(PiiSettings(("bank_card",))).mask(number)[0] == number
    assert PiiRule().mask(number)[0] == "[ID_NUMBER]"


def _check(first: str) -> str:
    return next(c for c in "0123456789X" if is_resident_id(first + c))


def test_landlines_only_if_wanted() -> None:
    text = "总机 010-62345678"
    assert PiiRule().mask(text)[0] == text
    assert PiiRule(PiiSettings(landline=True)).mask(text)[0] == "总机 [PHONE]"


def test_the_reason_counts_and_does_not_tell() -> None:
    seen = View(("我的手机13812345678",), ["好的，13812345678，邮箱 a@b.cn"], [], "t", "free")
    assert PiiRule().check(seen) == "1 email, 2 phone"


def test_masking_is_done_once() -> None:
    masked, _ = PiiRule().mask(f"{ID} {CARD} 13812345678 a@b.cn {KEY} 8.134.20.7 密码=Abc12345")
    assert PiiRule().mask(masked) == (masked, Counter())


@given(st.text("0123456789Xx+-. @a0１８３", max_size=60))
def test_finds_do_not_overlap(text: str) -> None:
    found = PiiRule(PiiSettings(landline=True)).find(text)
    assert all(one.end <= other.start for one, other in pairwise(found))
    assert all(0 <= one.start < one.end <= len(text) for one in found)


@given(st.text("0123456789", min_size=20, max_size=60))
def test_nothing_is_found_inside_a_long_run_of_digits(digits: str) -> None:
    assert PiiRule().find(f"编号{digits}。") == []


@given(st.integers(0, 10**15 - 1))
def test_cards_have_a_check_digit(number: int) -> None:
    first = f"4{number:015}"[:15]
    valid = [digit for digit in "0123456789" if is_bank_card(first + digit)]
    assert len(valid) == 1 or len(set(first)) <= 2
