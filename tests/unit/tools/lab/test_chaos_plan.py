from tools.lab.chaos.faults import KINDS, plan
from tools.lab.chaos.injector import Injector


def test_the_same_seed_gives_the_same_faults() -> None:
    """A run can be repeated. A longer run starts like a shorter one, and another seed gives another sequence."""
    assert plan(5, 60) == plan(5, 60)
    assert plan(5, 120)[: len(plan(5, 60))] == plan(5, 60)
    assert plan(5, 60) != plan(6, 60)


def test_every_fault_has_its_turn() -> None:
    """Every kind of fault occurs regularly, at each of its targets."""
    dealt = {(fault.verb, fault.target) for fault in plan(1, 600)}
    assert dealt == {(kind.verb, target) for kind in KINDS for target in kind.targets}


def test_the_injector_knows_every_kind() -> None:
    assert all(hasattr(Injector, kind.verb) for kind in KINDS)
