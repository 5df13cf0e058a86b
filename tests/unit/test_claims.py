"""Finding a claim by its name"""
from payments_service.tokens.claims import find_claim


def test_a_claim_is_found_on_its_way():
    claims = {"a": {"b": {"c": 1}}, "a.b": {"d": 2}, "a.b.e": 3, "x": None, "y": 0}
    assert [find_claim(claims, path) for path in ("a.b.c", "a.b.d", "a.b.e", "y")] == [1, 2, 3, 0]
    for path in ("a.b.f", "a.c", "b", "x", "x.y", "y.z", "a.b.c.d"):
        assert find_claim(claims, path) is None
