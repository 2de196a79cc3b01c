"""What a generator is trained on, as paths, seeds and tables have it."""

import pytest

from waferbench.base.errors import InputError
from waferbench.base.scope import POOLED, Fold, Scope
from waferbench.base.seeds import derive_seed


def test_a_scope_is_a_text_and_back():
    for scope, text, column in ((Fold(0), "fold0", 0), (Fold(12), "fold12", 12), (POOLED, "pooled", -1)):
        assert str(scope) == f"{scope}" == text and Scope.parse(text) == scope and scope.column == column
    assert [scope.pooled for scope in (Fold(0), POOLED)] == [False, True]
    assert Scope.parse("pooled") is POOLED
    assert len({Fold(1), Fold(1), Fold(2), POOLED}) == 3


@pytest.mark.parametrize("text", ["", "fold", "fold-1", "fold01", "fold1 ", "fold٣", "Pooled", "pooled\n"])
def test_other_texts_are_refused(text):
    with pytest.raises(InputError, match=r"scope: found .*, expected fold0, fold1, \.\.\. or pooled"):
        Scope.parse(text)


def test_seeds_take_a_scope_for_its_text():
    assert derive_seed(42, Fold(3)) == derive_seed(42, "fold3")
    assert derive_seed(42, POOLED) == derive_seed(42, "pooled")
