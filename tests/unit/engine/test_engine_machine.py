"""The machine, in words."""

from waferbench.base.machine import processors
from waferbench.engine.machine import hardware


def test_the_hardware_is_told_in_words():
    told = hardware()
    assert told.startswith(f"{processors()} x ") and told.endswith(" GiB")
