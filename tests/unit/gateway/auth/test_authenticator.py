"""What a caller may do by their role, and by their issuer."""

from typing import get_args

import pytest

from services.gateway.auth.authenticator import Access, Verified, accepts, require
from services.gateway.errors import AccountRequired
from shared.errors import DashboardError, Forbidden
from shared.http.identity import Caller
from shared.http.tokens import USER_ISSUER, Role
from shared.ids import new_id

ISSUER = "https://identity.example.com"


def verified(role: Role = "user", issuer: str | None = None) -> Verified:
    caller = Caller(new_id(), role)
    return Verified(caller, 0, str(caller.user_id), "ann", issuer, {}, 0)


def verdict(access: Access, by: Verified, *, needs_account: bool = True, for_others: bool = False) -> str:
    try:
        require(access, by, needs_account=needs_account, for_others=for_others)
    except DashboardError as refused:
        return refused.code
    return "yes"


ALLOWED: dict[Role, dict[Access, str]] = {
    "user": {"anonymous": "yes", "user": "yes", "operator": "forbidden", "admin": "forbidden"},
    "support": {"anonymous": "yes", "user": "yes", "operator": "yes", "admin": "forbidden"},
    "admin": {"anonymous": "yes", "user": "yes", "operator": "yes", "admin": "yes"},
}


@pytest.mark.parametrize("access", get_args(Access))
@pytest.mark.parametrize("role", get_args(Role))
def test_an_account_may_do_what_its_role_may(role: Role, access: Access) -> None:
    """Whatever else is said of the route."""
    for needs_account in (True, False):
        for for_others in (True, False):
            by = verified(role)
            assert verdict(access, by, needs_account=needs_account, for_others=for_others) == ALLOWED[role][access]


@pytest.mark.parametrize("access", get_args(Access))
@pytest.mark.parametrize("role", get_args(Role))
def test_a_caller_of_another_issuer_has_no_account(role: Role, access: Access) -> None:
    """Roles count as for an account. Only what belongs to one's own account is refused."""
    by = verified(role, ISSUER)
    own = "account_required" if access == "user" else ALLOWED[role][access]
    assert verdict(access, by) == own
    assert verdict(access, by, needs_account=False) == ALLOWED[role][access]
    assert verdict(access, by, for_others=True) == (own if role == "user" else ALLOWED[role][access])


def test_the_refusal_says_what_is_missing() -> None:
    """It is a 403 with a code of its own."""
    with pytest.raises(AccountRequired, match="This needs an account of this system") as refused:
        require("user", verified(issuer=ISSUER))
    assert isinstance(refused.value, Forbidden)
    assert refused.value.status == 403


def test_a_list_of_issuers_accepts_its_own() -> None:
    """An empty list accepts all; `dashboard-users` is this system."""
    ours, theirs = verified(), verified(issuer=ISSUER)
    assert [accepts(named, ours) for named in ((), (USER_ISSUER,), (ISSUER,), (USER_ISSUER, ISSUER))] == [
        *(True, True, False, True)
    ]
    assert [accepts(named, theirs) for named in ((), (USER_ISSUER,), (ISSUER,), (f"{ISSUER}/",))] == [
        *(True, False, True, False)
    ]
