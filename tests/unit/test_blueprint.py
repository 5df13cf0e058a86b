"""The blueprint whose routes declare a permission"""
import pytest

from payments_service.web.blueprint import Blueprint


def test_a_blueprints_route_cannot_forget_its_permission():
    with pytest.raises(TypeError):
        Blueprint("forgetful", __name__).route("/forgotten")
