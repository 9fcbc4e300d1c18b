"""What was meant by a name that is none."""

import pytest

from verify.names import nearest

NAMES = ("compression.exact-step-descends", "compression.exact-step-limit-is-sharp", "layers.crate-lowers-loss", "aot")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("crate-lowers", "; did you mean layers.crate-lowers-loss?"),
        ("EXACT", "; did you mean compression.exact-step-descends or compression.exact-step-limit-is-sharp?"),
        ("layers.crate-lower-los", "; did you mean layers.crate-lowers-loss?"),
        ("ao", "; did you mean aot?"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_names_that_contain_the_word_or_are_spelled_like_it(word, said):
    assert nearest(word, NAMES) == said


def test_no_more_than_three_in_their_order():
    assert nearest("step", [f"step-{n}" for n in range(9)]) == "; did you mean step-0, step-1 or step-2?"
