"""A class of its own for one object: what it changes, and that it goes whatever the order."""

import itertools

import pytest

from farend.settling.disguise import Disguise


class Layer:
    def __init__(self):
        self.name = "layer"

    def send(self):
        return "sent"


class Stubborn(Layer):
    def __getattribute__(self, name):
        return (lambda: "proxied") if name == "send" else super().__getattribute__(name)


@pytest.mark.parametrize(("kind", "real"), [(Layer, "sent"), (Stubborn, "proxied")])
def test_what_is_ours_is_ours_and_all_else_is_its_own(kind, real):
    layer = kind()
    disguise = Disguise(layer, {"send": lambda: "ours"})
    assert layer.send() == "ours"
    assert layer.name == "layer"
    assert disguise.real("send")() == real
    assert isinstance(layer, kind)
    assert type(layer).__name__ == kind.__name__
    assert kind().send() == real
    disguise.take_off()
    assert layer.send() == real
    assert type(layer) is kind
    disguise.take_off()
    assert type(layer) is kind


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_several_go_in_any_order(order):
    layer = Layer()
    disguises = [Disguise(layer, {"send": lambda number=number: number}) for number in range(3)]
    left = {0, 1, 2}
    for number in order:
        assert layer.send() == max(left)
        disguises[number].take_off()
        left.discard(number)
    assert layer.send() == "sent"
    assert type(layer) is Layer


def test_what_lets_its_class_not_be_changed():
    with pytest.raises(TypeError):
        Disguise(7, {"send": None})
